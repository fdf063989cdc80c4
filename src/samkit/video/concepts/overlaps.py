"""What becomes of masks of one concept that overlap, and of their holes and specks."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.video.concepts.association import overlaps

__all__ = ["BLANK_LOGIT", "clear_of_others", "covered_by_others", "filled"]

BLANK_LOGIT = -10.0
"""Of a mask that does not count: nowhere above this."""

# Logits of pixels that are changed, as in transformers.
_FILLED, _REMOVED = 0.1, -0.1
# A mask counts if others leave at least this share of it.
_LEAST_SHARE = 0.3


def filled(logits: Tensor, area: int) -> Tensor:
    """Mask logits (N, h, w) without holes and specks of `area` pixels and fewer.

    Specks that are more than half of a mask stay.
    """
    if not area or not len(logits):
        return logits
    result = logits.clone()
    for own, mask in zip(result, (logits > 0).cpu().numpy(), strict=True):
        holes = _small_parts(~mask, area)
        whole = mask | holes
        specks = _small_parts(whole, min(area, int(whole.sum()) // 2))
        own[torch.from_numpy(holes & ~specks).to(own.device)] = _FILLED
        own[torch.from_numpy(specks).to(own.device)] = _REMOVED
    return result


def _small_parts(mask: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """The parts of a mask (h, w) of so many pixels; those that touch at a corner are one."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    is_small = statistics[:, cv2.CC_STAT_AREA] <= most
    is_small[0] = False  # what is not in the mask
    small: NDArray[np.bool_] = is_small[labels]
    return small


def covered_by_others(
    masks: Tensor, away: Sequence[int | None], iou: float, *, backward: bool
) -> Tensor:
    """Which masks (N,) are of an object that came back onto another one.

    Args:
        masks: (N, h, w) bool.
        away: the last frame in which each object was not seen, if there was one. Of two masks, that
            of the object that was away last goes.
        iou: beyond which two masks are of the same thing; 0: none are.
        backward: going towards the start of the video.
    """
    goes = torch.zeros(len(masks), dtype=torch.bool)
    if not iou:
        return goes
    is_same = (overlaps(masks, masks) >= iou).cpu()
    for i, mine in enumerate(away):
        for j, other in enumerate(away):
            if i != j and is_same[i, j] and mine is not None and other is not None:
                goes[i] |= mine < other if backward else mine > other
    return goes


def clear_of_others(logits: Tensor) -> Tensor:
    """Which masks (N,) keep enough of their pixels if each goes to the highest of logits (N, h, w).

    Reduced size is enough for that.
    """
    if len(logits) < 2:
        return torch.ones(len(logits), dtype=torch.bool, device=logits.device)
    masks = logits > 0
    owner = logits.argmax(0)
    own = torch.stack([mask & (owner == i) for i, mask in enumerate(masks)])
    before, after = masks.sum((1, 2)).clamp(min=1), own.sum((1, 2))
    return after / before >= _LEAST_SHARE
