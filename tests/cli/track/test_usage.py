"""What cannot be tracked is said before any work."""

import os
from pathlib import Path

import numpy as np
import pytest
from cli.track.results import OPTIONS
from PIL import Image
from tiny import make
from videos import make_video

import samkit
from samkit.weights import save_network


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "point at something"),
        (["--point", "1,2"], "expected FRAME:ID:X,Y"),
        (["--point", "0:1"], "expected FRAME:ID:X,Y"),
        (["--point", "0:x:1,2"], "expected FRAME:ID:X,Y"),
        (["--point", "-1:1:1,2"], "expected FRAME:ID:X,Y"),
        (["--point", "0:1:1,2,3"], "LABEL 1 or 0"),
        (["--point", "0:1:nan,2"], "finite"),
        (["--box", "0:1:1,2,3"], "expected FRAME:ID:X0,Y0,X1,Y1"),
        (["--box", "0:1:9,9,3,3"], "box"),
        (["--box", "0:1:1,2,3,4", "--box", "0:1:1,2,3,4"], "two boxes"),
        (["--mask", "0:1:no.png"], "no.png: no such file"),
        (["--mask", "0:1"], "expected FRAME:ID:FILE"),
        (["--prompts", "no.json"], "cannot read no.json"),
        (["--point", "8:1:1,2"], "--point 8:1:1,2: there is no frame 8; the last one is 7"),
        (["--point", "0:1:1,2", "--direction", "up"], "expected forward, backward or both"),
        (["--point", "0:1:1,2", "--start", "9"], "there is no frame 9"),
        (["--point", "2:1:1,2", "--stop", "2"], "expected a frame after 2"),
        (
            ["--point", "2:1:1,2", "--direction", "backward", "--stop", "5"],
            "expected a frame before 2",
        ),
        (["--point", "0:1:1,2", "-o", "x.avi"], "expected a file .mp4, .mov, .json"),
        (["--point", "0:1:1,2", "-o", "x.m4v"], "expected a file .mp4, .mov, .json"),
        (["--point", "0:1:1,2", "-o", "a.mp4", "-o", "./a.mp4"], "named twice"),
        (["--point", "0:300:1,2", "-o", "pngs"], "ids from 1 to 254, got 300"),
        (["--point", "0:0:1,2", "-o", "pngs"], "ids from 1 to 254, got 0"),
        (["--point", "0:65536:1,2", "-o", "a.tif"], "ids from 1 to 65535, got 65536"),
        (["--point", "0:0:1,2", "-o", "a.json", "-o", "a.tiff"], "ids from 1 to 65535, got 0"),
        (["--point", "0:1:1,2", "--fps", "10"], "the video has times of its own"),
        (["--point", "0:1:1,2", "--fps", "0"], "expected a number from 0.001 to 1000"),
        (["--point", "0:1:1,2", "--fps", "1e-9"], "expected a number from 0.001 to 1000"),
        (["--point", f"0:{2**63}:1,2", "-o", "m.json"], "expected FRAME:ID:X,Y"),
        (["--point", "0:1:1,2", "-o", ""], "expected the name of a file or folder"),
        (["--point", "0:1:1,2", "-o", "-", "-o", "-"], "standard output is named twice"),
        (["--point", "0:1:1,2", "--nearest-prompts", "0"], "--nearest-prompts"),
    ],
)
def test_wrong_usage(track, clip, tmp_path, monkeypatch, arguments, message) -> None:
    monkeypatch.setattr(samkit, "load", lambda *a, **k: pytest.fail("no work is to be done"))
    before = sorted(os.listdir(tmp_path))
    code, out, err = track(clip, *arguments)
    assert code == 2
    assert message in err
    assert out == ""
    assert sorted(os.listdir(tmp_path)) == before


def test_wrong_videos_and_places(track, clip, tmp_path) -> None:
    Path("text.mp4").write_text("no video")
    Path("empty").mkdir()
    make_video(tmp_path / "in.mp4", 2)
    Path("p.json").write_text('[{"frame": 0, "object_id": 1, "box": [1, 2, 30, 40]}]')
    Path("old").mkdir()
    Image.fromarray(np.zeros((48, 64), np.uint8) + 255).save("old/00000.png")
    point = ("--point", "0:1:1,2")
    for arguments, message in (
        (["missing.mp4", *point], "no such file or folder: missing.mp4"),
        (["empty", *point], "no image in the folder"),
        (["no*.png", *point], "no image matches"),
        (["97", *point], "cannot open camera 97"),
        (["in.mp4", *point, "-o", "in.mp4"], "would overwrite what is read"),
        (["in.mp4", "--prompts", "p.json", "-o", "p.json"], "would overwrite what is read"),
        (["in.mp4", *point, "-o", "old"], "old holds PNGs already"),
        (["in.mp4", "--mask", "0:1:old/00000.png", "-o", "old", "--overwrite"], "is read from"),
    ):
        code, _, err = track(*arguments)
        assert code == 2, arguments
        assert message in err
    code, _, err = track("text.mp4", *point)
    assert (code, "cannot read text.mp4 as a video" in err) == (1, True)
    assert track("in.mp4", *point, "-o", "old", "--overwrite")[0] == 0
    assert sorted(os.listdir("old")) == ["00000.png", "00001.png"]


def test_a_network_without_memory(run, clip, tmp_path) -> None:
    from tiny import tiny_sam

    save_network(make(tiny_sam()), tmp_path / "sam.safetensors")
    output = tmp_path / "o.mp4"
    code, _, err = run(
        "track", clip, "--point", "0:1:1,2", "-o", output, "-m", tmp_path / "sam.safetensors"
    )
    assert code == 1
    assert "memory" in err
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["-o", "x.mp4", "--feather", 2], "--feather, --refine"),
        (["-o", "x", "--refine", 2], "--feather, --refine"),
        (["-o", "x.json", "--cutouts"], "--cutouts"),
        (["-o", "x.json", "--format", "davis"], "--format"),
        (["-o", "x.mp4", "--format", "sav"], "--format"),
    ],
)
def test_options_that_change_nothing(track, clip, options, named) -> None:
    code, _, err = track(clip, *OPTIONS, *options)
    assert code == 2
    assert named in err
