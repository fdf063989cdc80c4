"""Everything mode: how many of the true masks are among the proposals (2304.02643, 7.3)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from samkit.evaluation.datasets import Dataset
from samkit.evaluation.metrics import BoolArray
from samkit.masks import Masks
from samkit.rle import encode

__all__ = ["ProposalReport", "evaluate_proposals"]

# COCO's thresholds of average recall.
_THRESHOLDS = np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True, kw_only=True)
class ProposalReport:
    """Recall of true masks over a data set.

    Attributes:
        objects: number of true masks.
        proposals_per_image: mean number of proposals.
        recall_50, recall_75, recall_90: fraction of the true masks that some proposal matches with
            an IoU of at least 0.5, 0.75, 0.9.
        average_recall_100, average_recall_1000: recall averaged over IoU 0.5, 0.55, ... 0.95, where
            at most the 100 or 1000 best-scored proposals of an image count and each may match one
            true mask only (COCO's AR).
    """

    objects: int
    proposals_per_image: float
    recall_50: float
    recall_75: float
    recall_90: float
    average_recall_100: float
    average_recall_1000: float

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return asdict(self)


def evaluate_proposals(
    generate: Callable[[npt.NDArray[np.uint8]], Masks],
    dataset: Dataset,
    *,
    min_area: float = 0.0,
    on_image: Callable[[int, int], None] | None = None,
) -> ProposalReport:
    """Compare the proposals for each image of a data set with its true masks.

    Args:
        generate: image (H, W, 3) uint8 -> proposals.
        dataset: the true masks; its ignored pixels do not count.
        min_area: true masks that cover less than this fraction of their image are left out.
        on_image: called after each image with the number of images done and of all images.
    """
    best = [np.zeros(0)]
    matched = {limit: [np.zeros((len(_THRESHOLDS), 0), np.bool_)] for limit in (100, 1000)}
    counts = []
    proposals: Masks | None = None
    previous = np.zeros(0, np.uint8)
    for number in range(len(dataset)):
        item = dataset[number]
        targets = item.masks[item.objects_from(min_area)]
        # Several annotations of one image follow each other.
        if proposals is None or not np.array_equal(item.image, previous):
            proposals = generate(item.image)
            proposals = proposals[np.argsort(-proposals.scores, kind="stable")]
            previous = item.image
        counts.append(len(proposals))
        iou = _iou_table(proposals, targets, item.ignore)
        best.append(iou.max(0, initial=0.0))
        for limit, parts in matched.items():
            parts.append(_matches(iou[:limit]))
        if on_image is not None:
            on_image(number + 1, len(dataset))
    ious = np.concatenate(best)
    return ProposalReport(
        objects=len(ious),
        proposals_per_image=float(np.mean(counts)) if counts else 0.0,
        recall_50=_fraction(ious >= 0.5),
        recall_75=_fraction(ious >= 0.75),
        recall_90=_fraction(ious >= 0.9),
        average_recall_100=_fraction(np.concatenate(matched[100], 1)),
        average_recall_1000=_fraction(np.concatenate(matched[1000], 1)),
    )


def _fraction(values: BoolArray) -> float:
    return float(values.mean()) if values.size else 0.0


def _iou_table(proposals: Masks, targets: BoolArray, ignore: BoolArray) -> npt.NDArray[np.float64]:
    """IoU (proposals, targets), outside the ignored pixels."""
    if len(proposals) == 0 or len(targets) == 0:
        return np.zeros((len(proposals), len(targets)))
    size = list(targets.shape[1:])

    def coded(masks: Any) -> list[dict[str, Any]]:
        return [{"size": size, "counts": counts} for counts in encode(masks)]

    ours = coded(mask.masks[0] & ~ignore for mask in proposals)
    theirs = coded(target & ~ignore for target in targets)
    return np.asarray(coco.iou(ours, theirs, [0] * len(theirs)), np.float64)


def _matches(iou: npt.NDArray[np.float64]) -> BoolArray:
    """Which targets are matched at each threshold: (thresholds, targets), as in COCO.

    In order of their scores, proposals take the free target with the highest IoU.
    """
    matched = np.zeros((len(_THRESHOLDS), iou.shape[1]), np.bool_)
    for row, threshold in enumerate(_THRESHOLDS):
        for proposal in iou:
            free = np.where(matched[row], -1.0, proposal)
            if free.size and free.max() >= min(threshold, 1 - 1e-10):
                # Of equally good targets COCO takes the last.
                matched[row, free.size - 1 - int(free[::-1].argmax())] = True
    return matched
