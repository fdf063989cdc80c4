"""Predictions of objects as `Masks`."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.image_predictor import check_finite
from samkit.masks import Masks
from samkit.nn.memory import ObjectPrediction
from samkit.transforms import ImageTransform

__all__ = ["masks_of", "owner_of_pixels"]


def masks_of(
    predictions: Mapping[int, ObjectPrediction],
    transform: ImageTransform,
    *,
    non_overlapping: bool = False,
) -> Masks:
    """Masks of objects in an image, in their order; above 256 MB held as run lengths.

    Args:
        predictions: object id -> the object, each a batch of one.
        transform: of the image.
        non_overlapping: give each pixel to the object with the highest logit there, of equals to
            the first.

    Raises:
        SamkitError: the network predicted NaN or infinity.
    """
    if not predictions:
        return Masks.empty(transform.image_size)
    logits = torch.cat([one.logits for one in predictions.values()])
    iou = torch.cat([one.iou for one in predictions.values()]).float()
    presence = torch.cat([one.object_score for one in predictions.values()])[:, 0].float().sigmoid()
    check_finite(torch.cat([iou, presence]))
    return Masks.from_pixels(
        _pixels(logits, transform, non_overlapping),
        transform.image_size,
        iou.cpu().numpy(),
        object_ids=list(predictions),
        presence=presence.cpu().numpy(),
        logits=logits.float().cpu().numpy(),
    )


def _pixels(
    logits: Tensor, transform: ImageTransform, non_overlapping: bool
) -> Iterator[NDArray[np.bool_]]:
    """Masks (H, W) one at a time: at the image's size, logits take far more memory than a mask."""
    owner = owner_of_pixels(logits, transform) if non_overlapping else None
    for i, low in enumerate(logits):
        mask = transform.masks_to_image(low[None])[0] > 0
        yield (mask if owner is None else mask & (owner == i)).cpu().numpy()


def owner_of_pixels(
    logits: Tensor, transform: ImageTransform, ranks: Tensor | None = None
) -> Tensor:
    """For each pixel (H, W), the index of the object with the highest logit, of equals the first.

    With ranks (N,) above 0, of the object with the highest rank of those whose mask has the pixel.
    """
    best = logits.new_full(transform.image_size, -torch.inf)
    owner = torch.zeros_like(best, dtype=torch.long)
    for i, low in enumerate(logits):
        full = transform.masks_to_image(low[None])[0]
        if ranks is not None:
            full = (full > 0) * ranks[i]
        owner = torch.where(full > best, i, owner)
        best = torch.maximum(best, full)
    return owner
