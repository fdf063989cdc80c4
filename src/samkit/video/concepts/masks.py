"""Objects of a frame, some of them found by words, as `Masks` with names."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.image_predictor import check_finite
from samkit.masks import Masks
from samkit.memory.masks import owner_of_pixels
from samkit.nn.memory import ObjectPrediction
from samkit.transforms import ImageTransform
from samkit.video.concepts.state import Track

__all__ = ["NO_WORDS", "named_masks"]

NO_WORDS = "object"
"""The name of objects that were prompted."""


def named_masks(
    predictions: Mapping[int, ObjectPrediction],
    tracks: Mapping[int, Track],
    transform: ImageTransform,
    *,
    non_overlapping: bool,
) -> Masks:
    """Masks of objects in an image, in their order; above 256 MB held as run lengths.

    Of objects of one concept, each pixel goes to the one that is most surely there.

    Args:
        predictions: object id -> the object, each a batch of one.
        tracks: of those that were found, of which scores are probabilities; of the others they are
            the predicted IoU.
        transform: of the image.
        non_overlapping: give each pixel to the object with the highest logit there instead, among
            all objects.

    Raises:
        SamkitError: the network predicted NaN or infinity.
    """
    if not predictions:
        return Masks.empty(transform.image_size)
    logits = torch.cat([one.logits for one in predictions.values()])
    iou = torch.cat([one.iou for one in predictions.values()]).float()
    presence = torch.cat([one.object_score for one in predictions.values()])[:, 0].float().sigmoid()
    check_finite(torch.cat([iou, presence]))
    found = [tracks.get(object_id) for object_id in predictions]
    names = [NO_WORDS if one is None else one.name for one in found]
    # Objects with the same key do not overlap.
    keys = ["" if non_overlapping else None if one is None else one.name for one in found]
    groups = [[i for i, own in enumerate(keys) if own == key] for key in set(keys) - {None}]
    scores = [float(own) if one is None else one.score for own, one in zip(iou, found, strict=True)]
    return Masks.from_pixels(
        _pixels(logits, None if non_overlapping else presence, groups, transform),
        transform.image_size,
        scores,
        object_ids=list(predictions),
        presence=presence.cpu().numpy(),
        names=np.array(names),
        logits=logits.float().cpu().numpy(),
    )


def _pixels(
    logits: Tensor, ranks: Tensor | None, groups: list[list[int]], transform: ImageTransform
) -> Iterator[NDArray[np.bool_]]:
    """Masks (H, W) one at a time, without overlaps inside of each group of indices."""
    owners: dict[int, tuple[Tensor, int]] = {}
    for group in groups:
        if len(group) > 1:
            owner = owner_of_pixels(
                logits[group], transform, None if ranks is None else ranks[group]
            )
            owners.update((i, (owner, place)) for place, i in enumerate(group))
    for i, low in enumerate(logits):
        mask = transform.masks_to_image(low[None])[0] > 0
        if i in owners:
            owner, place = owners[i]
            mask = mask & (owner == place)
        yield mask.cpu().numpy()
