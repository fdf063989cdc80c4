"""Objects of a frame, some of them found by words, as `Masks` with names."""

from collections.abc import Mapping

from samkit.masks import Masks
from samkit.memory.masks import grouped_masks
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
    found = [tracks.get(object_id) for object_id in predictions]
    names = [NO_WORDS if one is None else one.name for one in found]
    # Objects with the same key do not overlap.
    keys = ["" if non_overlapping else None if one is None else one.name for one in found]
    return grouped_masks(
        predictions,
        transform,
        [[i for i, own in enumerate(keys) if own == key] for key in set(keys) - {None}],
        by_presence=not non_overlapping,
        scores={object_id: track.score for object_id, track in tracks.items()},
        names=names,
    )
