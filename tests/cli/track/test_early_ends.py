"""What stays after an interruption, an unreadable frame or a full disk."""

import os
import signal
from pathlib import Path

import pytest
from cli.track.results import OPTIONS, masks_of
from PIL import Image
from videos import make_video, picture

import samkit
from samkit import VideoPredictor
from samkit.errors import InputError
from samkit.media.frames import open_frames

OUTPUTS = ("-o", "o.mp4", "-o", "m.json", "-o", "pngs")


def check_saved(frames: list[int]) -> None:
    assert list(masks_of(Path("m.json"))) == frames
    assert open_frames("o.mp4").count == len(frames)
    assert sorted(os.listdir("pngs")) == [f"{i:05d}.png" for i in frames]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("direction", "saved"), [("forward", [1, 2, 3]), ("backward", [3, 4, 5]), ("both", [1, 2, 3])]
)
def test_ctrl_c_keeps_what_is_done(track, clip, monkeypatch, direction, saved, number) -> None:
    plain = VideoPredictor.track

    def interrupted(self, *arguments, **options):
        for i, result in enumerate(plain(self, *arguments, **options)):
            if i == 2:
                os.kill(os.getpid(), number)
            yield result

    monkeypatch.setattr(VideoPredictor, "track", interrupted)
    before = signal.getsignal(number)
    start = ["--start", 5] if direction == "backward" else []
    code, out, err = track(clip, *OPTIONS, *OUTPUTS, "--direction", direction, *start)
    assert code == 130
    assert signal.getsignal(number) == before
    check_saved(saved)
    assert f"stopped: frames {saved[0]} to {saved[-1]} were tracked and are saved" in err
    assert "m.json: 3 frames, 2 objects" in out


def test_a_second_ctrl_c_leaves_nothing_half(track, clip, monkeypatch) -> None:
    plain = VideoPredictor.track

    def interrupted(self, *arguments, **options):
        for i, result in enumerate(plain(self, *arguments, **options)):
            if i == 2:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            yield result

    monkeypatch.setattr(VideoPredictor, "track", interrupted)
    before = sorted(os.listdir())
    assert track(clip, *OPTIONS, "-o", "o.mp4", "-o", "m.json")[0] == 130
    assert sorted(os.listdir()) == before


def test_a_signal_elsewhere_ends_like_ctrl_c(track, clip, monkeypatch) -> None:
    """Also before tracking begins."""

    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(samkit, "load", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    assert track(clip, *OPTIONS, "-o", "m.json")[0] == 130
    assert signal.getsignal(signal.SIGTERM) == before
    assert not Path("m.json").exists()


def test_a_file_that_is_cut_off(track, tmp_path) -> None:
    data = make_video(tmp_path / "whole.mp4", 20).read_bytes()
    start = data.find(b"mdat")
    Path("cut.mp4").write_bytes(data[: start + (len(data) - start) // 2])
    count = open_frames("cut.mp4").count
    code, out, err = track("cut.mp4", "--point", "0:1:20,20", *OUTPUTS)
    assert code == 1
    check_saved(list(range(count)))
    assert f"error: cut.mp4 is cut off: it ends after frame {count - 1}" in err
    assert f"ended early: frames 0 to {count - 1} were tracked and are saved" in err
    assert f"o.mp4: {count} frames, 1 object" in out


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_a_broken_picture(track, tmp_path, direction) -> None:
    Path("frames").mkdir()
    for i in range(6):
        Image.fromarray(picture(i)).save(f"frames/{i:05d}.png")
    Path("frames/00004.png").write_bytes(b"broken")
    arguments = ("frames", "--point", "1:1:20,20", "--direction", direction)
    code, _, err = track(*arguments, *OUTPUTS)
    assert code == 1
    check_saved([1, 2, 3])
    assert "00004.png" in err
    assert "frames 1 to 3 were tracked and are saved" in err


def test_nothing_tracked_leaves_nothing(track, tmp_path) -> None:
    Path("frames").mkdir()
    for i in range(3):
        Image.fromarray(picture(i)).save(f"frames/{i:05d}.png")
    Path("frames/00000.png").write_bytes(b"broken")
    code, out, err = track("frames", "--point", "0:1:20,20", *OUTPUTS)
    assert code == 1
    assert err.count("00000.png") == 1
    assert out == ""
    assert sorted(os.listdir()) == ["frames"]


def test_an_output_that_fails_does_not_stop_the_others(track, clip, monkeypatch) -> None:
    from samkit.masks.sequences import CocoVideoWriter

    def full(self, number, masks):
        if number == 4:
            self._file._file.is_broken = True
            raise InputError("cannot write m.json: No space left on device")
        plain(self, number, masks)

    plain = CocoVideoWriter.write
    monkeypatch.setattr(CocoVideoWriter, "write", full)
    code, out, err = track(clip, *OPTIONS, "-o", "m.json", "-o", "o.mp4")
    assert code == 1
    assert "No space left" in err
    assert open_frames("o.mp4").count == 3
    assert not Path("m.json").exists()
    assert "m.json" not in out
