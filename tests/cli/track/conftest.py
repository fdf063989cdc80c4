"""A short clip, tracked by `samkit track` and by the Python interface."""

from fractions import Fraction
from pathlib import Path

import pytest
from cli.track.results import TIMES
from videos import make_video

import samkit
from samkit import Masks, VideoPredictor


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Eight frames 51 x 37, not at equal times."""
    return make_video(
        tmp_path / "clip.mkv", 8, size=(51, 37), codec="ffv1", times=TIMES, unit=Fraction(1, 1000)
    )


@pytest.fixture
def track(run, model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `samkit track` in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def track(*arguments: object) -> tuple[int, str, str]:
        code, out, err = run("track", *arguments, "--model", model, "--dtype", "float32")
        return code, out, " ".join(err.replace("│", " ").split())

    return track


@pytest.fixture
def tracked(model, clip: Path):
    """Frame -> masks, by the Python interface."""

    def tracked(prompts, direction="forward", **options) -> dict[int, Masks]:
        predictor = samkit.load(model, dtype="float32")
        tracker = VideoPredictor(predictor, clip, **options.pop("tracker", {}))
        for frame, object_id, prompt in prompts:
            tracker.prompt(frame, object_id, prompt)
        return dict(tracker.track(direction, **options))

    return tracked
