"""Video object segmentation: J, F and J&F as DAVIS defines them (Perazzi et al., CVPR 2016)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.evaluation.boundary import boundary_f
from samkit.evaluation.clicks import farthest_point
from samkit.evaluation.datasets import Dataset
from samkit.evaluation.metrics import bounding_box, mask_iou
from samkit.prompts import Prompt

__all__ = ["Tracker", "VideoReport", "VideoScore", "evaluate_video", "score_sequence"]

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
    """Scores of all sequences, with their mean."""

    sequences: tuple[VideoScore, ...]

    def mean(self) -> VideoScore:
        """Each sequence counts alike, however long it is.

        Raises:
            InputError: there are no sequences.
        """
        if not self.sequences:
            raise InputError("expected at least one sequence, got none")
        return VideoScore(
            name="mean",
            j=float(np.mean([score.j for score in self.sequences])),
            f=float(np.mean([score.f for score in self.sequences])),
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        rows = [*self.sequences, self.mean()]
        return {"sequences": [{**asdict(row), "j_and_f": row.j_and_f} for row in rows]}


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
    prompt: Literal["mask", "box", "click"] = "mask",
    on_sequence: Callable[[int, int], None] | None = None,
) -> VideoReport:
    """Track the first object of each sequence from its first frame on.

    Args:
        track: what is measured.
        sequences: name -> frames with their masks; every frame's first mask is the object.
        prompt: what is given on the first frame: its mask, the box around it, or one click at the
            point farthest from its boundary.
        on_sequence: called after each sequence with the number done and of all.

    Raises:
        InputError: the first frame of a sequence has no object.
    """
    scores = []
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
        masks = track([item.image for item in items], first)
        scores.append(score_sequence(masks, target, name=name))
        if on_sequence is not None:
            on_sequence(len(scores), len(sequences))
    return VideoReport(sequences=tuple(scores))
