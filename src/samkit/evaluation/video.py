"""Video object segmentation: J, F and J&F as DAVIS defines them (Perazzi et al., CVPR 2016)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.evaluation.boundary import boundary_f
from samkit.evaluation.clicks import farthest_point
from samkit.evaluation.datasets import Dataset, MaskFolderDataset
from samkit.evaluation.metrics import bounding_box, mask_iou
from samkit.image_predictor import ImagePredictor
from samkit.prompts import Prompt
from samkit.video import VideoPredictor

__all__ = [
    "FirstPrompt",
    "Tracker",
    "VideoReport",
    "VideoScore",
    "evaluate_video",
    "open_sequences",
    "score_sequence",
    "tracking_by",
]

FirstPrompt: TypeAlias = Literal["mask", "box", "click"]
"""What is given on the first frame of a sequence."""

Tracker: TypeAlias = Callable[
    [Sequence[npt.NDArray[np.uint8]], Prompt], Iterable[npt.NDArray[np.bool_]]
]
"""Frames (H, W, 3) and a prompt on the first -> one mask (H, W) bool for each frame."""


@dataclass(frozen=True, kw_only=True)
class VideoScore:
    """Scores of one sequence.

    Attributes:
        name: of the sequence.
        j: region similarity, the mean IoU over frames.
        f: boundary accuracy, the mean boundary F over frames.
    """

    name: str
    j: float
    f: float

    @property
    def j_and_f(self) -> float:
        """The mean of J and F."""
        return (self.j + self.f) / 2


@dataclass(frozen=True, kw_only=True)
class VideoReport:
    """Scores of all sequences, with their mean.

    Attributes:
        sequences: what was measured.
        still: what the first true mask scores where it is repeated unchanged.
    """

    sequences: tuple[VideoScore, ...]
    still: tuple[VideoScore, ...]

    def mean(self) -> VideoScore:
        """Each sequence counts alike, however long it is.

        Raises:
            InputError: there are no sequences.
        """
        return _mean(self.sequences)

    def still_mean(self) -> VideoScore:
        """The mean of `still`."""
        return _mean(self.still)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "mean": _row(self.mean()),
            "sequences": [_row(score) for score in self.sequences],
            "first_mask_repeated": {
                "mean": _row(self.still_mean()),
                "sequences": [_row(score) for score in self.still],
            },
        }


def open_sequences(path: str | Path) -> dict[str, Dataset]:
    """Sequences in DAVIS's manner: a folder with one folder of `images/` and `masks/` for each.

    A folder that has `images/` and `masks/` itself is one sequence.

    Raises:
        InputError: there is none.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"no such folder: {path}")
    if (path / "masks").is_dir():
        return {path.resolve().name: MaskFolderDataset(path)}
    folders = sorted(folder for folder in path.iterdir() if (folder / "masks").is_dir())
    if not folders:
        raise InputError(f"{path}: expected folders with images/ and masks/ in them")
    return {folder.name: MaskFolderDataset(folder) for folder in folders}


def tracking_by(predictor: ImagePredictor) -> Tracker:
    """A model's `VideoPredictor`, as `evaluate_video` wants it."""

    def track(
        frames: Sequence[npt.NDArray[np.uint8]], prompt: Prompt
    ) -> Iterator[npt.NDArray[np.bool_]]:
        with VideoPredictor(predictor, list(frames)) as tracker:
            tracker.prompt(0, 1, prompt)
            for _, masks in tracker.track():
                yield masks.masks[0]

    return track


def score_sequence(
    predicted: Iterable[npt.NDArray[np.bool_]],
    target: Sequence[npt.NDArray[np.bool_]],
    *,
    name: str = "",
) -> VideoScore:
    """Compare the masks of one object through a sequence.

    As in DAVIS, the first and the last frame do not count, unless there are no others.

    Args:
        predicted, target: T masks (H, W) bool each.
        name: of the sequence.

    Raises:
        InputError: there are no frames, not as many predictions as frames, or sizes differ.
    """
    predicted = list(predicted)
    if len(predicted) != len(target) or len(target) == 0:
        raise InputError(f"expected {len(target)} masks (at least 1), got {len(predicted)}")
    inner = slice(1, -1) if len(target) > 2 else slice(None)
    pairs = list(zip(predicted[inner], target[inner], strict=True))
    return VideoScore(
        name=name,
        j=float(np.mean([mask_iou(a, b) for a, b in pairs])),
        f=float(np.mean([boundary_f(a, b) for a, b in pairs])),
    )


def evaluate_video(
    track: Tracker,
    sequences: dict[str, Dataset],
    *,
    prompt: FirstPrompt = "mask",
    on_frame: Callable[[int, int], None] | None = None,
) -> VideoReport:
    """Track the first object of each sequence from its first frame on.

    Args:
        track: what is measured.
        sequences: name -> frames with their masks; every frame's first mask is the object.
        prompt: what is given on the first frame: its mask, the box around it, or one click at the
            point farthest from its boundary.
        on_frame: called after each frame with the number done and of all.

    Raises:
        InputError: the first frame of a sequence has no object.
    """
    scores, still = [], []
    done, count = 0, sum(len(dataset) for dataset in sequences.values())
    for name, dataset in sequences.items():
        items = [dataset[i] for i in range(len(dataset))]
        empty = np.zeros(items[0].image.shape[:2], np.bool_)
        target = [item.masks[0] if len(item.masks) else empty for item in items]
        if not target[0].any():
            raise InputError(f"{name}: expected an object on the first frame, got none")
        if prompt == "mask":
            first = Prompt.mask(target[0])
        elif prompt == "box":
            first = Prompt.box(*bounding_box(target[0]))
        else:
            x, y = farthest_point(target[0])
            first = Prompt.point(x + 0.5, y + 0.5)
        masks = []
        for mask in track([item.image for item in items], first):
            masks.append(mask)
            done += 1
            if on_frame is not None:
                on_frame(done, count)
        scores.append(score_sequence(masks, target, name=name))
        still.append(score_sequence([target[0]] * len(target), target, name=name))
    return VideoReport(sequences=tuple(scores), still=tuple(still))


def _mean(scores: Sequence[VideoScore]) -> VideoScore:
    if not scores:
        raise InputError("expected at least one sequence, got none")
    return VideoScore(
        name="mean",
        j=float(np.mean([score.j for score in scores])),
        f=float(np.mean([score.f for score in scores])),
    )


def _row(score: VideoScore) -> dict[str, Any]:
    return {**asdict(score), "j_and_f": score.j_and_f}
