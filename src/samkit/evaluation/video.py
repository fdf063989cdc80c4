"""Video object segmentation: J, F and J&F as DAVIS defines them.

Perazzi et al., CVPR 2016; for several objects Pont-Tuset et al., 1704.00675.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.evaluation.boundary import boundary_f
from samkit.evaluation.clicks import farthest_point
from samkit.evaluation.metrics import BoolArray, bounding_box, mask_iou
from samkit.evaluation.sequences import AnnotatedVideo
from samkit.image_predictor import ImagePredictor
from samkit.prompts import Prompt
from samkit.video import VideoPredictor

__all__ = [
    "FirstPrompt",
    "Tracker",
    "VideoReport",
    "VideoScore",
    "evaluate_video",
    "score_sequence",
    "tracking_by",
]

FirstPrompt: TypeAlias = Literal["mask", "box", "click"]
"""The prompt on the first frame of a sequence."""

Tracker: TypeAlias = Callable[[Sequence[npt.NDArray[np.uint8]], Prompt], Iterable[BoolArray]]
"""Frames (H, W, 3) and a prompt on the first -> one mask (H, W) bool for each frame."""


@dataclass(frozen=True, kw_only=True)
class VideoScore:
    """Scores of one object through a sequence.

    Attributes:
        name: of the sequence; of one with several objects, with the object's id, as in `dogs/2`.
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
    """Scores of all objects of all sequences, with their mean.

    Attributes:
        objects: of the tracked masks.
        still: of the first true mask, repeated in all frames.
    """

    objects: tuple[VideoScore, ...]
    still: tuple[VideoScore, ...]

    def mean(self) -> VideoScore:
        """Each object counts alike, however long its sequence is.

        Raises:
            InputError: there are no objects.
        """
        return _mean(self.objects)

    def still_mean(self) -> VideoScore:
        """The mean of `still`."""
        return _mean(self.still)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {**_rows(self.objects), "first_mask_repeated": _rows(self.still)}


def tracking_by(predictor: ImagePredictor) -> Tracker:
    """A model's `VideoPredictor`, for `evaluate_video`."""

    def track(frames: Sequence[npt.NDArray[np.uint8]], prompt: Prompt) -> Iterator[BoolArray]:
        with VideoPredictor(predictor, list(frames)) as tracker:
            tracker.prompt(0, 1, prompt)
            for _, masks in tracker.track():
                yield masks.masks[0]

    return track


def score_sequence(
    predicted: Iterable[BoolArray],
    target: Sequence[BoolArray],
    *,
    ignore: Sequence[BoolArray | None] | None = None,
    name: str = "",
) -> VideoScore:
    """Compare the masks of one object through a sequence.

    As in DAVIS, the first and the last frame do not count, unless there are no others.

    Args:
        predicted, target: T masks (H, W) bool each.
        ignore: for each frame the pixels (H, W) bool that do not count, or None.
        name: of the sequence.

    Raises:
        InputError: there are no frames, not as many predictions as frames, or sizes differ.
    """
    predicted = list(predicted)
    if len(predicted) != len(target) or len(target) == 0:
        raise InputError(f"expected {len(target)} masks (at least 1), got {len(predicted)}")
    void = [None] * len(target) if ignore is None else ignore
    if len(void) != len(target):
        raise InputError(f"ignore: expected one for each of {len(target)} frames, got {len(void)}")
    inner = slice(1, -1) if len(target) > 2 else slice(None)
    frames = list(zip(predicted[inner], target[inner], void[inner], strict=True))
    return VideoScore(
        name=name,
        j=float(np.mean([mask_iou(*frame) for frame in frames])),
        f=float(np.mean([boundary_f(*frame) for frame in frames])),
    )


def evaluate_video(
    track: Tracker,
    sequences: Mapping[str, AnnotatedVideo],
    *,
    prompt: FirstPrompt = "mask",
    on_frame: Callable[[int, int], None] | None = None,
) -> VideoReport:
    """Track every object of each sequence's first frame, one at a time.

    The tracker gets all frames; those that are annotated are scored. Objects that are not on the
    first frame are not followed.

    Args:
        track: the method to measure.
        sequences: name -> annotated frames, as from `open_sequences`.
        prompt: the prompt on the first frame: the object's mask, the box around it, or one click
            at the point farthest from its boundary.
        on_frame: called after each frame with the number done and of all, once for each object.

    Raises:
        InputError: a sequence has no frames, or no object on its first frame.
    """
    scores, still = [], []
    # Raises before anything is measured.
    ids = {name: _first_objects(name, video) for name, video in sequences.items()}
    done, count = 0, sum(len(video) * len(ids[name]) for name, video in sequences.items())
    for name, video in sequences.items():
        frames = [video[i] for i in range(len(video))]
        images = [frame.image for frame in frames]
        labels = {i: frame.labels for i, frame in enumerate(frames) if frame.labels is not None}
        ignore = [frames[i].ignore for i in labels]
        for object_id in ids[name]:
            target = [label_map == object_id for label_map in labels.values()]
            masks = []
            for mask in track(images, _first_prompt(prompt, target[0])):
                masks.append(mask)
                done += 1
                if on_frame is not None:
                    on_frame(done, count)
            if len(masks) != len(frames):
                raise InputError(f"{name}: expected {len(frames)} masks, got {len(masks)}")
            row = name if len(ids[name]) == 1 else f"{name}/{object_id}"
            repeated = [target[0]] * len(target)
            tracked = [masks[i] for i in labels]
            scores.append(score_sequence(tracked, target, ignore=ignore, name=row))
            still.append(score_sequence(repeated, target, ignore=ignore, name=row))
    return VideoReport(objects=tuple(scores), still=tuple(still))


def _first_objects(name: str, video: AnnotatedVideo) -> list[int]:
    """Ids of the objects on the first frame."""
    labels = video[0].labels if len(video) else None
    ids = [] if labels is None else [i for i in np.unique(labels).tolist() if i > 0]
    if not ids:
        raise InputError(f"{name}: expected an object on the first frame, got none")
    return ids


def _first_prompt(kind: FirstPrompt, mask: BoolArray) -> Prompt:
    if kind == "mask":
        return Prompt.mask(mask)
    if kind == "box":
        return Prompt.box(*bounding_box(mask))
    x, y = farthest_point(mask)
    return Prompt.point(x + 0.5, y + 0.5)


def _mean(scores: Sequence[VideoScore]) -> VideoScore:
    if not scores:
        raise InputError("expected at least one sequence, got none")
    return VideoScore(
        name="mean",
        j=float(np.mean([score.j for score in scores])),
        f=float(np.mean([score.f for score in scores])),
    )


def _rows(scores: Sequence[VideoScore]) -> dict[str, Any]:
    def row(score: VideoScore) -> dict[str, Any]:
        return {**asdict(score), "j_and_f": score.j_and_f}

    return {"mean": row(_mean(scores)), "objects": [row(score) for score in scores]}
