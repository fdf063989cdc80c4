"""Which detections and which tracked objects of one concept are the same, by their masks."""

from dataclasses import dataclass

import torch
from torch import Tensor

from samkit.video.concepts.settings import ConceptTracking

__all__ = ["Association", "associate", "best_of_overlapping", "overlaps"]


@dataclass(frozen=True, kw_only=True)
class Association:
    """What D detections have to do with T tracked objects; all numbers are indices.

    Attributes:
        new: detections that are no tracked object, in order.
        shared: of each detection, the objects that overlap it.
        unmatched: objects that are seen where nothing was detected.
        empty: objects that are not seen.
        sure: object -> the detection that is surely the same.
    """

    new: tuple[int, ...]
    shared: tuple[tuple[int, ...], ...]
    unmatched: tuple[int, ...]
    empty: tuple[int, ...]
    sure: dict[int, int]


def associate(
    detections: Tensor, probabilities: Tensor, tracked: Tensor, settings: ConceptTracking
) -> Association:
    """Compare masks; several objects may belong to one detection.

    Args:
        detections: (D, h, w) bool.
        probabilities: (D,) of them.
        tracked: (T, h, w) bool.
        settings: with the thresholds.
    """
    ious = overlaps(detections, tracked)
    near = ious >= settings.assoc_iou_thresh
    is_new = ~near.any(1)
    sure: dict[int, int] = {}
    if len(tracked):
        is_new &= probabilities >= settings.new_det_thresh
        most, best = ious.max(1)
        is_sure = ~is_new & (probabilities >= settings.high_conf_thresh)
        is_sure &= most >= settings.high_iou_thresh
        sure = {int(best[i]): i for i in _where(is_sure)}
    is_seen = tracked.flatten(1).any(1)
    is_matched = (ious >= settings.trk_assoc_iou_thresh).any(0)
    return Association(
        new=_where(is_new),
        shared=tuple(_where(row) for row in near),
        unmatched=_where(is_seen & ~is_matched),
        empty=_where(~is_seen),
        sure=sure,
    )


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """IoU (N, M) of masks (N, h, w) and (M, h, w) bool; 0 of two empty ones."""
    a, b = first.flatten(1).float(), second.flatten(1).float()
    both = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1) - both
    return both / either.clamp(min=1)


def best_of_overlapping(masks: Tensor, probabilities: Tensor, most: float) -> Tensor:
    """Greedy non-maximum suppression: indices of what is kept, in order.

    Args:
        masks: (N, h, w) bool.
        probabilities: (N,); of equal ones the first counts more.
        most: IoU beyond which the less probable one goes.
    """
    ious = overlaps(masks, masks)
    kept: list[int] = []
    for i in probabilities.argsort(descending=True, stable=True).tolist():
        if not kept or float(ious[i, kept].max()) <= most:
            kept.append(i)
    return torch.tensor(sorted(kept), dtype=torch.long, device=masks.device)


def _where(flags: Tensor) -> tuple[int, ...]:
    return tuple(flags.nonzero()[:, 0].tolist())
