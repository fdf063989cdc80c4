"""Which images a preprocessed tensor was made of."""

from collections.abc import MutableMapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["record_images", "recorded_images"]

Images: TypeAlias = tuple[NDArray[np.uint8], ...]

# Shared, so that one predictor knows what another one preprocessed; entries end with their tensor.
_IMAGES: MutableMapping[Tensor, Images] = WeakTensorKeyDictionary()


def record_images(im: Tensor, images: Sequence[NDArray[np.uint8]]) -> None:
    """Record that a new tensor (N, 3, H, W) was made of N images, for as long as it lives."""
    _IMAGES[im] = tuple(images)


def recorded_images(im: Tensor) -> Images | None:
    """The N images (H0, W0, 3) that `im` (N, 3, H, W) was made of, None if that is not known.

    It is known of the tensor given to `record_images` itself, and of slices along its first axis,
    which share its memory; not of copies.
    """
    whole = im if im._base is None else im._base
    images = _IMAGES.get(whole)
    if images is None or im.shape[1:] != whole.shape[1:] or im.stride()[1:] != whole.stride()[1:]:
        return None
    if len(im) > 1 and im.stride(0) != whole.stride(0):
        return None
    first = im.storage_offset() // whole[0].numel()
    return images[first : first + len(im)]
