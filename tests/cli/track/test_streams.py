"""A video at an address, which is read once."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cli.track.results import BOX, CLICK, OPTIONS, TIMES, check_same, masks_of
from videos import served

import samkit
from samkit import VideoPredictor
from samkit.media.frames import open_frames


@pytest.fixture
def stream(clip: Path) -> Iterator[str]:
    """An address at which the clip can be read once."""
    with served(clip.parent) as address:
        yield f"{address}/clip.mkv?token=1"


def test_a_stream_is_prompted_as_it_goes(track, tracked, stream, clip, model) -> None:
    code, _, err = track(stream, *OPTIONS, "-o", "m.json", "-o", "o.mp4")
    assert code == 0, err
    tracker = VideoPredictor(samkit.load(model, dtype="float32"), iter(open_all(clip)))
    tracker.prompt(1, 7, BOX)
    expected = {}
    for frame, masks in tracker.track():
        expected[frame] = masks
        if frame == 2:
            tracker.prompt(3, 2, CLICK)
    found = masks_of(Path("m.json"))
    check_same(found, expected)
    assert [len(found[frame]) for frame in (2, 3)] == [1, 2]
    assert open_frames("o.mp4").time(6) == Fraction(TIMES[7] - TIMES[1], 1000)


def open_all(path: Path) -> list[np.ndarray]:
    frames = open_frames(path)
    return [frames.read(i) for i in range(frames.count)]


def test_what_a_stream_cannot_do(track, stream) -> None:
    for arguments, message in (
        (["--direction", "both"], "can only go forward"),
        (["--direction", "backward"], "can only go forward"),
        (["--start", 0], "from its first prompt, 1, on"),
        (["--stop", 3], "--point 3:2:40,20: it comes after --stop 3"),
    ):
        code, _, err = track(stream, *OPTIONS, *arguments, "-o", "m.json")
        assert code == 2
        assert message in err


def test_a_stream_that_ends_before_a_prompt(track, stream) -> None:
    code, _, err = track(stream, *OPTIONS, "--point", "30:3:4,5", "-o", "m.json")
    assert code == 1
    assert "--point 30:3:4,5: the video ended before frame 30" in err
    assert list(masks_of(Path("m.json"))) == list(range(1, 8))


def test_a_stream_is_not_smoothed(track, clip):
    with served(clip.parent) as address:
        code, _, err = track(f"{address}/{clip.name}", *OPTIONS, "--smooth", 2)
    assert code == 2
    assert "save it first" in err
