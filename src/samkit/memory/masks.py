"""Predictions of objects as `Masks`."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from samkit.errors import SamkitError
from samkit.masks import Masks
from samkit.nn.memory import ObjectPrediction
from samkit.transforms import ImageTransform

__all__ = ["masks_of"]


def masks_of(
    found: Mapping[int, ObjectPrediction],
    transform: ImageTransform,
    *,
    non_overlapping: bool = False,
) -> Masks:
    """Masks of tracked objects, in their order; above 256 MB held as run lengths.

    Args:
        found: object id -> the object, each a batch of one.
        transform: of the image that they were found in.
        non_overlapping: give each pixel to the object that is surest of it.

    Raises:
        SamkitError: what the network found is not a number.
    """
    if not found:
        return Masks.empty(transform.image_size)
    low = torch.cat([one.logits for one in found.values()])
    scores = torch.cat([one.iou for one in found.values()]).float().cpu().numpy()
    presence = torch.cat([one.object_score for one in found.values()])[:, 0].float().sigmoid()
    if not (np.isfinite(scores).all() and presence.isfinite().all()):
        raise SamkitError("the network's answer is not a number: its weights are damaged")

    inside = _owner(low, transform) if non_overlapping else _above_zero
    # One at a time: at the image's size, logits take far more memory than a mask.
    pixels = (
        inside(transform.masks_to_image(one[None])[0], i).cpu().numpy() for i, one in enumerate(low)
    )
    return Masks.from_pixels(
        pixels,
        transform.image_size,
        scores,
        object_ids=list(found),
        presence=presence.cpu().numpy(),
        logits=low.float().cpu().numpy(),
    )


def _above_zero(logits: Tensor, _: int) -> Tensor:
    return logits > 0


def _owner(low: Tensor, transform: ImageTransform) -> Callable[[Tensor, int], Tensor]:
    """Test of logits (H, W) that only the surest object of a pixel passes, of equals the first."""
    height, width = transform.image_size
    best = low.new_full((height, width), -torch.inf)
    owner = torch.zeros_like(best, dtype=torch.long)
    for i, one in enumerate(low):
        logits = transform.masks_to_image(one[None])[0]
        owner = torch.where(logits > best, i, owner)
        best = torch.maximum(best, logits)
    return lambda logits, i: (logits > 0) & (owner == i)
