"""Everything mode: how many of the true masks are among the proposals (2304.02643, 7.3)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from samkit.evaluation.datasets import Dataset
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
        recall_50, recall_75, recall_90: part of the true masks that some proposal meets with an
            IoU of at least 0.5, 0.75, 0.9.
        average_recall_100, average_recall_1000: recall averaged over IoU 0.5, 0.55, ... 0.95, where
            at most the 100 or 1000 best-scored proposals of an image count and each may meet one
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
        dataset: the true masks. Ignored pixels count for nothing.
        min_area: true masks that cover less than this fraction of their image are left out.
        on_image: called after each image with the number of images done and of all images.
    """
    best: list[npt.NDArray[np.float64]] = []
    matched: dict[int, list[npt.NDArray[np.bool_]]] = {100: [], 1000: []}
    counts = []
    proposals: Masks | None = None
    seen = np.zeros(0, np.uint8)
    for number in range(len(dataset)):
        item = dataset[number]
        areas = item.masks.mean((1, 2))
        targets = item.masks[(areas >= min_area) & (areas > 0)]
        # Several people's annotations of one image come one after the other.
        if proposals is None or not np.array_equal(item.image, seen):
            proposals = generate(item.image)
            proposals = proposals[np.argsort(-proposals.scores, kind="stable")]
            seen = item.image
        counts.append(len(proposals))
        iou = _iou_table(proposals, targets, item.ignore)
        best.append(iou.max(0, initial=0.0))
        for limit, parts in matched.items():
            parts.append(_matches(iou[:limit]))
        if on_image is not None:
            on_image(number + 1, len(dataset))
    found = np.concatenate(best) if best else np.zeros(0)

    def recall(threshold: float) -> float:
        return float((found >= threshold).mean()) if len(found) else 0.0

    def average(limit: int) -> float:
        parts = np.concatenate(matched[limit], 1) if len(found) else np.zeros((1, 1))
        return float(parts.mean())

    return ProposalReport(
        objects=len(found),
        proposals_per_image=float(np.mean(counts)) if counts else 0.0,
        recall_50=recall(0.5),
        recall_75=recall(0.75),
        recall_90=recall(0.9),
        average_recall_100=average(100),
        average_recall_1000=average(1000),
    )


def _iou_table(
    proposals: Masks, targets: npt.NDArray[np.bool_], ignore: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """IoU (proposals, targets), outside the ignored pixels."""
    if len(proposals) == 0 or len(targets) == 0:
        return np.zeros((len(proposals), len(targets)))
    size = list(targets.shape[1:])

    def coded(masks: Any) -> list[dict[str, Any]]:
        return [{"size": size, "counts": counts} for counts in encode(masks)]

    ours = coded(mask.masks[0] & ~ignore for mask in proposals)
    theirs = coded(target & ~ignore for target in targets)
    return np.asarray(coco.iou(ours, theirs, [0] * len(theirs)), np.float64)


def _matches(iou: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which targets are met at each threshold (thresholds, targets), as COCO pairs them.

    Proposals choose in order of their scores; each takes the free target that it meets best.
    """
    met = np.zeros((len(_THRESHOLDS), iou.shape[1]), np.bool_)
    for row, threshold in enumerate(_THRESHOLDS):
        for proposal in iou:
            free = np.where(met[row], -1.0, proposal)
            if free.size and free.max() >= min(threshold, 1 - 1e-10):
                # Of equally good targets COCO takes the last.
                met[row, free.size - 1 - int(free[::-1].argmax())] = True
    return met
