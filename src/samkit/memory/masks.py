"""Predictions of objects as `Masks`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.image_predictor import check_finite
from samkit.masks import Masks
from samkit.nn.memory import ObjectPrediction
from samkit.transforms import ImageTransform

__all__ = ["grouped_masks", "masks_of"]


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
    groups = [range(len(predictions))] if non_overlapping else []
    return grouped_masks(predictions, transform, groups)


def grouped_masks(
    predictions: Mapping[int, ObjectPrediction],
    transform: ImageTransform,
    groups: Iterable[Sequence[int]],
    *,
    by_presence: bool = False,
    scores: Mapping[int, float] | None = None,
    names: Sequence[str] | None = None,
) -> Masks:
    """The same, where objects of one group do not overlap.

    Args:
        predictions: object id -> the object, each a batch of one.
        transform: of the image.
        groups: places of objects in `predictions`; an object is in one group at most.
        by_presence: give each pixel to the object that is most surely there, instead of the one
            with the highest logit.
        scores: object id -> score, of those whose score is not the predicted IoU.
        names: of all objects.

    Raises:
        SamkitError: the network predicted NaN or infinity.
    """
    if not predictions:  # fields by which masks can be chosen are there all the same
        none = np.zeros((0, *transform.image_size), np.bool_)
        return Masks(none, (), presence=(), names=names)
    logits = torch.cat([one.logits for one in predictions.values()])
    iou = torch.cat([one.iou for one in predictions.values()]).float()
    presence = torch.cat([one.object_score for one in predictions.values()])[:, 0].float().sigmoid()
    check_finite(torch.cat([iou, presence]))
    known = scores or {}
    ious = zip(predictions, iou.tolist(), strict=True)
    return Masks.from_pixels(
        _pixels(logits, presence if by_presence else None, groups, transform),
        transform.image_size,
        [known.get(object_id, one) for object_id, one in ious],
        object_ids=list(predictions),
        presence=presence.cpu().numpy(),
        names=None if names is None else np.array(names),
        logits=logits.float().cpu().numpy(),
    )


def _pixels(
    logits: Tensor,
    ranks: Tensor | None,
    groups: Iterable[Sequence[int]],
    transform: ImageTransform,
) -> Iterator[NDArray[np.bool_]]:
    """Masks (H, W) one at a time: at the image's size, logits take far more memory than a mask."""
    owners: dict[int, tuple[Tensor, int]] = {}
    for group in map(list, groups):
        if len(group) > 1:
            owner = _owner_of_pixels(
                logits[group], transform, None if ranks is None else ranks[group]
            )
            owners.update((i, (owner, place)) for place, i in enumerate(group))
    for i, low in enumerate(logits):
        mask = transform.masks_to_image(low[None])[0] > 0
        if i in owners:
            owner, place = owners[i]
            mask = mask & (owner == place)
        yield mask.cpu().numpy()


def _owner_of_pixels(logits: Tensor, transform: ImageTransform, ranks: Tensor | None) -> Tensor:
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
