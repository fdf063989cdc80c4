"""Predictions of objects as `Masks`."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from samkit import rle
from samkit.errors import SamkitError
from samkit.masks import Masks
from samkit.nn.memory import ObjectPrediction
from samkit.transforms import ImageTransform

__all__ = ["masks_of"]

# Beyond this many bytes masks are held as RLE.
_DENSE_BYTES = 2**28


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
    size = transform.image_size
    if not found:
        return Masks.empty(size)
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
    ids, logits, here = list(found), low.float().cpu().numpy(), presence.cpu().numpy()
    if len(low) * size[0] * size[1] > _DENSE_BYTES:
        rles = [{"size": size, "counts": counts} for counts in rle.encode(pixels)]
        return Masks.from_rle(rles, size, scores, object_ids=ids, presence=here, logits=logits)
    masks = np.stack(list(pixels))
    masks.flags.writeable = False  # so that Masks need not copy them
    return Masks(masks, scores, object_ids=ids, presence=here, logits=logits)


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
