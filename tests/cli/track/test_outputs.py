"""Videos, tables and pictures of what is tracked."""

import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from cli.track.results import OPTIONS, PROMPTS, TIMES, check_same, masks_of
from PIL import Image
from videos import make_video, number_of, picture

from samkit.masks import drawing
from samkit.media.frames import open_frames


def test_three_outputs_in_one_pass(track, tracked, clip) -> None:
    code, out, err = track(clip, *OPTIONS, "-o", "o.mp4", "-o", "new/m.json", "-o", "pngs")
    assert code == 0, err
    assert out.splitlines() == [
        f"{name}: 7 frames, 2 objects" for name in ("o.mp4", "new/m.json", "pngs")
    ]
    expected = tracked(PROMPTS)
    assert list(expected) == list(range(1, 8))
    assert any(masks.masks.any() for masks in expected.values())
    check_same(masks_of(Path("new/m.json")), expected)

    data = json.loads(Path("new/m.json").read_text())
    assert data["videos"] == [
        {"id": 1, "name": "clip.mkv", "width": 51, "height": 37, "frame_rate": pytest.approx(25)}
    ]
    assert [image["time"] for image in data["images"]] == [t / 1000 for t in TIMES[1:]]
    assert data["images"][0]["file_name"] == "00001.jpg"
    assert [one["id"] for one in data["annotations"]] == list(range(1, 15))

    assert sorted(os.listdir("pngs")) == [f"{i:05d}.png" for i in range(1, 8)]
    for frame, masks in expected.items():
        with Image.open(f"pngs/{frame:05d}.png") as image:
            assert image.mode == "P"
            assert image.getpalette()[3 * 7 : 3 * 8] == list(drawing.colour_of(7))
            labels = np.asarray(image)
        assert np.array_equal(labels > 0, masks.masks.any(0))
        for masks_of_one in masks:
            where = masks_of_one.masks[0] & (masks.masks.sum(0) == 1)
            assert (labels[where] == masks_of_one.object_ids[0]).all()

    frames, source = open_frames("o.mp4"), open_frames(clip)
    with av.open("o.mp4") as container:
        stream = container.streams.video[0]
        found = (stream.codec_context.name, stream.pix_fmt, stream.width, stream.height)
        assert found == ("h264", "yuv420p", 52, 38)
    assert [frames.time(i) for i in range(7)] == [Fraction(t - 40, 1000) for t in TIMES[1:]]
    for i in range(7):
        overlay = expected[i + 1].overlay(source.read(i + 1))
        assert np.abs(frames.read(i)[:37, :51].astype(int) - overlay).mean() < 8


@pytest.mark.parametrize("direction", ["backward", "both"])
def test_backward_comes_out_in_the_order_of_frames(track, tracked, clip, direction) -> None:
    start = ["--start", 5] if direction == "backward" else []
    code, _, err = track(
        clip, *OPTIONS, "-o", "m.json", "-o", "o.mp4", "-o", "pngs", "--direction", direction,
        *start,
    )  # fmt: skip
    assert code == 0, err
    expected = tracked(PROMPTS, direction, start=5 if start else None)
    check_same(masks_of(Path("m.json")), expected)
    frames = open_frames("o.mp4")
    source = open_frames(clip)
    for i, frame in enumerate(sorted(expected)):
        overlay = expected[frame].overlay(source.read(frame))
        assert np.abs(frames.read(i)[:37, :51].astype(int) - overlay).mean() < 8
    assert sorted(os.listdir("pngs")) == [f"{i:05d}.png" for i in sorted(expected)]


def test_start_stop_and_the_tracker_s_options(track, tracked, clip) -> None:
    code, _, err = track(
        clip, *OPTIONS, "-o", "m.json", "--start", 2, "--stop", 6, "--non-overlapping",
        "--nearest-prompts", 1, "--select-frames",
    )  # fmt: skip
    assert code == 0, err
    options = {"nearest_prompts": 1, "select_frames": True, "non_overlapping": True}
    expected = tracked(PROMPTS, start=2, stop=6, tracker=options)
    assert list(expected) == [2, 3, 4, 5]
    check_same(masks_of(Path("m.json")), expected)


def test_without_an_output_there_is_an_overlay(track, clip) -> None:
    assert track(clip, "--point", "0:1:20,20")[0] == 0
    assert open_frames("clip_overlay.mp4").count == 8


def test_pictures(track, tmp_path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(picture(i)).save(folder / f"img_{i + 9}.png")
    point = ("--point", "0:1:20,20")
    code, _, err = track(folder, *point, "-o", "a", "-o", "a.json", "-o", "a.mp4", "--fps", 10)
    assert code == 0, err
    assert sorted(os.listdir("a")) == ["img_10.png", "img_11.png", "img_9.png"]
    images = json.loads(Path("a.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["img_9.png", "img_10.png", "img_11.png"]
    assert {image["time"] for image in images} == {None}
    frames = open_frames("a.mp4")
    assert frames.format.rate == 10
    assert [number_of(frames.read(i)) for i in range(3)] == [0, 1, 2]
    code, _, err = track(folder, *point, "-o", "frames")
    assert code == 2
    assert "frames is read from" in err
    Path("links").mkdir()
    Path("links/img.png").symlink_to(folder / "img_9.png")
    for source in ("frames/*.png", "fr*/*.png", "**/img_9.png", "links"):
        code, _, err = track(source, *point, "-o", "frames", "--overwrite")
        assert (code, "is read from" in err) == (2, True), source


def test_colours_stay_with_their_objects(track, clip) -> None:
    """Also where there are others, and where one is prompted later."""
    assert track(clip, *OPTIONS, "-o", "two")[0] == 0
    assert track(clip, *OPTIONS[2:], "-o", "one", "--start", 3)[0] == 0
    with Image.open("two/00003.png") as two, Image.open("one/00003.png") as one:
        assert two.getpalette() == one.getpalette()
        assert set(np.unique(np.asarray(two))) <= {0, 2, 7}
        assert set(np.unique(np.asarray(one))) <= {0, 2}


def test_a_rotated_video(track, tmp_path) -> None:
    make_video(tmp_path / "t.mp4", 3, matrix=(0, -1, 1, 0))
    assert track("t.mp4", "--point", "0:1:20,20", "-o", "o.mp4")[0] == 0
    frames = open_frames("o.mp4")
    assert frames.read(0).shape == (64, 48, 3)
    assert track("t.mp4", "--point", "0:1:20,20", "-o", "m.json")[0] == 0
    overlay = masks_of(Path("m.json"))[2].overlay(open_frames("t.mp4").read(2))
    assert np.abs(frames.read(2).astype(int) - overlay).mean() < 8


def test_cutouts_as_a_video_and_as_pictures(track, clip, tmp_path) -> None:
    code, _, err = track(clip, *OPTIONS, "-o", "cut.mov", "-o", "cut", "--cutouts", "--largest",
                         "--feather", 1)  # fmt: skip
    assert code == 0, err
    with av.open("cut.mov") as container:
        assert sum(1 for _ in container.decode(video=0)) == 7
    pictures = sorted(Path("cut").glob("*.png"))
    assert len(pictures) == 7
    with Image.open(pictures[0]) as picture:
        assert picture.mode == "RGBA"


def test_an_interrupted_folder_of_cutouts_is_known_by_its_options(track, clip) -> None:
    command = (clip, *OPTIONS, "-o", "cut", "--cutouts")
    assert track(*command)[0] == 0
    assert "skipped" in track(*command)[2]
    code, _, err = track(*command, "--feather", 2)
    assert code == 2
    assert "holds PNGs already" in err


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_smooth_is_that_of_python(track, tracked, clip, direction):
    arguments = (*OPTIONS, "--smooth", 2, "--direction", direction)
    code, _, err = track(clip, *arguments, "-o", "out.json", "-o", "pngs", "-o", "out.mp4")
    assert code == 0, err
    wanted = tracked(PROMPTS, direction, smooth=2)
    found = masks_of(Path("out.json"))
    assert found.keys() == wanted.keys()
    for frame, masks in wanted.items():
        assert np.array_equal(found[frame].masks, masks.masks)
    assert len(list(Path("pngs").glob("*.png"))) == len(wanted)
