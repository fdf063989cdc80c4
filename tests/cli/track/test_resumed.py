"""`samkit track` into a folder: an interrupted run goes on, and leaves only its own PNGs."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import make, tiny_sam2
from videos import make_video, picture, served

from samkit import VideoPredictor
from samkit.cli.track import unfinished
from samkit.errors import InputError
from samkit.media.frames import open_frames
from samkit.weights import save_network

HIDDEN = ".samkit-unfinished"
PROMPTS = ("--box", "1:7:5,6,25,30", "--point", "4:2:40,20", "--point", "4:2:3,4,0")
JOBS = {
    "forward": ("--start", 2, "--stop", 7),
    "backward": ("--direction", "backward", "--start", 7, "--stop", 0),
    "both": ("--direction", "both", "--start", 3, "--stop", 8),
    "options": ("--nearest-prompts", 1, "--non-overlapping", "--direction", "both"),
}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_video(tmp_path / "clip.mp4", 10, size=(50, 36))


@pytest.fixture
def track(run, model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def track(
        *arguments: object, model: object = model, dtype: str = "float32"
    ) -> tuple[int, str, str]:
        code, out, err = run("track", *arguments, "--model", model, "--dtype", dtype)
        return code, out, " ".join(err.replace("│", " ").split())

    return track


class Killed(BaseException):
    """Ends the program between two of its steps."""


def end_after(monkeypatch: pytest.MonkeyPatch, count: int, how: str) -> None:
    """Stop, kill or let fail what tracks `count` frames."""
    plain = VideoPredictor.track
    left = [count]

    def track(self, *arguments, **options):
        for result in plain(self, *arguments, **options):
            left[0] -= 1
            if left[0] < 0 and how == "killed":
                raise Killed
            if left[0] < 0 and how == "failed":
                raise InputError("the network drive is gone")
            if left[0] == 0 and how == "stopped":
                os.kill(os.getpid(), signal.SIGINT)
            yield result

    monkeypatch.setattr(VideoPredictor, "track", track)


def pngs(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


@pytest.mark.parametrize(
    ("job", "how"),
    [*((job, "stopped") for job in JOBS), ("both", "killed"), ("backward", "failed")],
)
def test_a_run_that_goes_on_gives_the_same(track, clip, monkeypatch, job, how) -> None:
    command = (clip, *PROMPTS, *JOBS[job], "-o")
    assert track(*command, "whole")[0] == 0
    whole = pngs("whole")
    assert len(set(whole.values())) == len(whole)  # masks that change
    assert all(np.asarray(Image.open(f"whole/{name}")).any() for name in whole)
    monkeypatch.setattr(unfinished, "_SECONDS", 0)
    monkeypatch.setattr(unfinished, "_TIMES", 0)
    done = 0
    for count in (1, 4):  # with "both", the second one is where it turns
        with monkeypatch.context() as patch:
            end_after(patch, count, how)
            if how == "killed":
                with pytest.raises(Killed):
                    track(*command, "part")
            else:
                code, _, err = track(*command, "part")
                assert code == {"stopped": 130, "failed": 1}[how]
                assert "the same command goes on from there" in err
        done += count
        assert len(pngs_alone("part")) == done
    code, out, err = track(*command, "part")
    assert code == 0, err
    assert f"part: {len(whole)} frames, 2 objects" in out
    assert "going on after frames" in err
    assert pngs("part") == whole


def pngs_alone(folder: str) -> list[str]:
    assert (Path(folder) / HIDDEN).is_dir()
    return [name for name in os.listdir(folder) if name.endswith(".png")]


def test_frames_after_the_last_session_are_written_again(track, clip, monkeypatch) -> None:
    """Also where there is no session yet."""
    command = (clip, *PROMPTS, "-o")
    assert track(*command, "whole")[0] == 0
    for count, how, sessions in ((2, "killed", 0), (2, "stopped", 2), (3, "killed", 2)):
        with monkeypatch.context() as patch:
            end_after(patch, count, how)
            if how == "killed":
                with pytest.raises(Killed):
                    track(*command, "part")
            else:
                assert track(*command, "part")[0] == 130
        names = [name for name in os.listdir(Path("part") / HIDDEN) if "session" in name]
        assert len(names) == sessions  # one, with its prompts
    assert len(pngs_alone("part")) == 5
    code, _, err = track(*command, "part")
    assert code == 0, err
    assert "going on after frames 1 to 2 of an unfinished run" in err
    assert pngs("part") == pngs("whole")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signal")
def test_kill_minus_nine(track, clip, model, tmp_path) -> None:
    options = (*PROMPTS, "--direction", "both", "--start", 3)
    script = (
        "import os, signal, sys, torch\n"
        "torch.set_num_threads(1)\n"  # as here; sums in another order may flip a pixel
        "from samkit import cli\n"
        "from samkit.cli.track import unfinished\n"
        "from samkit.masks.sequences import IndexedPngWriter\n"
        "plain = IndexedPngWriter.write\n"
        "def write(self, frame, masks):\n"
        "    if frame == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    plain(self, frame, masks)\n"
        "IndexedPngWriter.write = write\n"
        "unfinished._SECONDS = unfinished._TIMES = 0\n"
        "cli.main()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, "track", str(clip), *map(str, options),
         "-o", "part", "-m", model, "--dtype", "float32"],
        cwd=tmp_path, capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert track(clip, *options, "-o", "whole")[0] == 0
    code, _, err = track(clip, *options, "-o", "part")
    assert code == 0, err
    assert "going on after frames 2 to 9" in err
    assert pngs("part") == pngs("whole")


def test_another_run_is_refused(track, clip, monkeypatch, tmp_path) -> None:
    command = [clip, *PROMPTS, "-o", "part"]
    with monkeypatch.context() as patch:
        end_after(patch, 3, "stopped")
        assert track(*command)[0] == 130
    before = {path: path.read_bytes() for path in Path("part").rglob("*") if path.is_file()}
    other = make_video(tmp_path / "other.mp4", 10, size=(50, 36), first=1)
    network = make(tiny_sam2())
    with torch.no_grad():
        next(network.parameters()).add_(1.0)
    save_network(network, tmp_path / "other.safetensors")
    for arguments, options, what in (
        ([other, *command[1:]], {}, "another video"),
        ([clip, "--box", "1:7:5,6,25,31", *command[3:]], {}, "another set of prompts"),
        ([*command, "--stop", 9], {}, "another --stop"),
        ([*command, "--direction", "both"], {}, "another --direction"),
        ([*command, "--non-overlapping"], {}, "another --non-overlapping"),
        (command, {"dtype": "bfloat16"}, "another --dtype"),
        (command, {"model": tmp_path / "other.safetensors"}, "another --model"),
        ([*command, "-o", "m.json"], {}, "part holds PNGs already"),
    ):
        code, out, err = track(*arguments, **options)
        assert code == 2, (arguments, err)
        assert what in err
        assert out == ""
    assert before == {path: path.read_bytes() for path in before}
    (Path("part") / HIDDEN / "run.json").write_text("{}")
    code, _, err = track(*command)
    assert (code, "damaged" in err) == (2, True)
    code, _, err = track(*command, "--overwrite")
    assert code == 0, err
    assert track(clip, *PROMPTS, "-o", "whole")[0] == 0
    assert pngs("part") == pngs("whole")


@pytest.fixture
def stopped(track, clip, monkeypatch):
    """Begin a run anew that ends after three frames; gives the command, and the hidden folder."""
    monkeypatch.setattr(unfinished, "_SECONDS", 0)
    monkeypatch.setattr(unfinished, "_TIMES", 0)

    def stopped() -> tuple[tuple[object, ...], Path]:
        command = (clip, *PROMPTS, "-o", "part")
        with monkeypatch.context() as patch:
            end_after(patch, 3, "stopped")
            assert track(*command, "--overwrite")[0] == 130
        return command, Path("part", HIDDEN)

    return stopped


def test_files_that_were_changed_since(track, stopped) -> None:
    """What goes on with them would not be what an uninterrupted run gives."""

    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def session() -> Path:
        return next(Path("part", HIDDEN).glob("session-*.safetensors"))

    command, _ = stopped()
    shutil.copytree("part", "kept")
    for change, message in (
        (lambda: Path("part/00002.png").unlink(), "00002.png: no such file"),
        (lambda: shutil.copy("part/00001.png", "part/00002.png"), "PNGs that were changed"),
        (lambda: flip(Path("part/00003.png")), "PNGs that were changed"),
        (lambda: flip(session()), "session that was changed"),
        (lambda: os.truncate(session(), 100), "session that was changed"),
        (lambda: session().unlink(), "no such file"),
    ):
        shutil.rmtree("part")
        shutil.copytree("kept", "part")
        change()
        code, _, err = track(*command)
        assert code == 2, err
        assert message in err
        assert "begin anew with --overwrite" in err


def test_a_made_up_record_of_a_run(track, stopped) -> None:
    command, place = stopped()
    record = json.loads((place / "run.json").read_text())
    for frames in ([0, 10**30], [-5, 3], [3, 1], [1, 2], [1, float("inf")], [1], "x", None, {}):
        (place / "run.json").write_text(json.dumps({**record, "frames": frames}))
        code, _, err = track(*command)
        assert code == 2, (frames, err)
        assert "part holds an unfinished run" in err
    (place / "run.json").write_text(json.dumps(record))
    assert track(*command)[0] == 0  # nothing was touched


def test_two_processes_in_one_folder(track, stopped) -> None:
    command, place = stopped()
    fcntl = pytest.importorskip("fcntl")
    before = pngs_alone("part")
    other = os.open(place, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    for more in ((), ("--overwrite",)):
        code, _, err = track(*command, *more)
        assert (code, "another samkit track is writing to part" in err) == (1, True), err
        assert "Traceback" not in err
        assert pngs_alone("part") == before
    os.close(other)
    assert track(*command)[0] == 0
    assert not place.exists()


def test_a_finished_run_is_not_done_again(track, clip) -> None:
    """Also one that was killed while it tidied up: the hidden folder has no run any more."""
    command = (clip, *PROMPTS, "--direction", "both", "--start", 3, "-o", "out")
    assert track(*command)[0] == 0
    whole = pngs("out")
    times = [Path("out", name).stat().st_mtime_ns for name in sorted(whole)]
    (Path("out") / HIDDEN).mkdir()
    (Path("out") / HIDDEN / "session-1-2.safetensors").write_bytes(b"rest")
    code, out, err = track(*command)
    assert (code, out) == (0, ""), err
    assert "skipped: out holds all frames of this run" in err
    assert not (Path("out") / HIDDEN).exists()
    assert [Path("out", name).stat().st_mtime_ns for name in sorted(whole)] == times
    others = (("--non-overlapping",), ("--stop", 6), ("--nearest-prompts", 1))
    for more in others:
        code, _, err = track(*command, *more)
        assert code == 2, more
        assert "out holds PNGs already" in err
    for spoil in (
        lambda: Path("out/x.png").write_bytes(b"x"),
        lambda: Path("out/00004.png").unlink(),
    ):
        spoil()
        code, _, err = track(*command)
        assert code == 2
        Path("out/x.png").unlink(missing_ok=True)


def test_what_cannot_go_on(track, clip, monkeypatch) -> None:
    """Streams, and files beside the folder: nothing is kept for later, and nothing is claimed."""
    with served(clip.parent) as address:
        for video, more in ((f"{address}/clip.mp4", ()), (clip, ("-o", "m.json"))):
            with monkeypatch.context() as patch:
                end_after(patch, 3, "stopped")
                code, _, err = track(video, *PROMPTS[:2], "-o", "part", *more)
            assert code == 130
            assert "goes on" not in err
            assert sorted(os.listdir("part")) == [f"{i:05d}.png" for i in (1, 2, 3)]
            code, _, err = track(video, *PROMPTS[:2], "-o", "part", *more)
            assert code == 2
            assert "part holds PNGs already" in err
            shutil.rmtree("part")


def test_a_run_that_fails_at_once_leaves_nothing(track, clip, monkeypatch) -> None:
    end_after(monkeypatch, 0, "failed")
    before = sorted(os.listdir())
    code, _, err = track(clip, *PROMPTS, "-o", "part")
    assert code == 1
    assert "the network drive is gone" in err
    assert sorted(os.listdir()) == before


def test_a_frame_that_could_not_be_written_is_written_later(track, clip, monkeypatch) -> None:
    """The session at that point is of the frame after."""
    from samkit.masks.sequences import IndexedPngWriter

    command = (clip, *PROMPTS, "-o")
    assert track(*command, "whole")[0] == 0
    plain = IndexedPngWriter.write

    def full(self, frame, masks):
        if frame == 5:
            raise InputError("cannot write part/00005.png: No space left on device")
        plain(self, frame, masks)

    with monkeypatch.context() as patch:
        patch.setattr(IndexedPngWriter, "write", full)
        code, _, err = track(*command, "part")
        assert code == 1
        assert "No space left" in err
    assert track(*command, "part")[0] == 0
    assert pngs("part") == pngs("whole")


# What is left of earlier runs


def test_pngs_of_an_earlier_run_go(track, clip) -> None:
    point = ("--point", "0:1:20,20", "-o", "out")
    assert track(clip, *point)[0] == 0
    assert len(os.listdir("out")) == 10
    others = ["notes.txt", "hand.png", "1.png", "00003.jpg", "00003_b.png", "100000.png.bak"]
    for name in others:
        Image.new("L", (4, 4)).save(f"out/{name}", "png")
    Path("out/00009x.png").mkdir()
    code, _, err = track(clip, *point, "--stop", 4, "--overwrite")
    assert code == 0, err
    kept = [f"{i:05d}.png" for i in range(4)]
    assert sorted(os.listdir("out")) == sorted([*kept, *others, "00009x.png"])
    assert track(clip, *point, "--start", 2, "--stop", 4, "--overwrite")[0] == 0
    assert sorted(os.listdir("out")) == sorted([*kept[2:], *others, "00009x.png"])


def test_pngs_called_after_pictures_go(track, tmp_path) -> None:
    Path("frames").mkdir()
    for i in range(6):
        Image.fromarray(picture(i)).save(f"frames/img_{i}.png")
    point = ("--point", "0:1:20,20", "-o", "out", "--overwrite")
    assert track("frames", *point)[0] == 0
    Image.new("L", (4, 4)).save("out/hand.png")
    os.remove("frames/img_5.png")  # no picture of the video any more
    assert track("frames", *point, "--stop", 3)[0] == 0
    assert sorted(os.listdir("out")) == ["hand.png", "img_0.png", "img_1.png", "img_2.png"]
    make_video(tmp_path / "clip.mp4", 2)
    assert track("clip.mp4", *point)[0] == 0
    assert sorted(os.listdir("out")) == ["00000.png", "00001.png", "hand.png"]


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_an_early_end_removes_nothing(track, clip, monkeypatch, how) -> None:
    point = (clip, "--point", "0:1:20,20", "-o", "out")
    assert track(*point)[0] == 0
    others = ("--point", "0:1:30,10", "-o", "out")
    with monkeypatch.context() as patch:
        end_after(patch, 3, how)
        if how == "killed":
            with pytest.raises(Killed):
                track(clip, *others, "--stop", 6, "--overwrite")
        else:
            track(clip, *others, "--stop", 6, "--overwrite")
    assert len(pngs_alone("out")) == 10
    code, _, err = track(clip, *others, "--stop", 6)
    assert code == 0, err
    assert sorted(os.listdir("out")) == [f"{i:05d}.png" for i in range(6)]
    assert track(clip, *others[:2], "-o", "fresh", "--stop", 6)[0] == 0
    assert pngs("out") == pngs("fresh")


def test_the_same_frames_beside_other_outputs(track, clip) -> None:
    point = (clip, "--point", "0:1:20,20", "-o", "out", "-o", "m.json", "-o", "o.mp4")
    assert track(*point)[0] == 0
    assert track(*point, "--stop", 3, "--overwrite")[0] == 0
    assert len(os.listdir("out")) == len(json.loads(Path("m.json").read_text())["images"]) == 3
    assert open_frames("o.mp4").count == 3
    assert np.asarray(Image.open("out/00000.png")).shape == (36, 50)
