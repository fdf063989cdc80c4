"""Position encodings of the ViT, as arrays, for another grid."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from samkit.compat.arrays import array_of
from samkit.errors import InputError
from samkit.nn.image_encoder import resize_offsets, resize_positions

__all__ = ["resized_offsets", "resized_positions"]


def resized_positions(weight: ArrayLike, grid: tuple[int, int]) -> NDArray[np.float32]:
    """Absolute positions (1, h, w, D) -> (1, *grid, D), bilinear.

    Raises:
        InputError: another shape, or values that are no numbers.
    """
    return resize_positions(_tensor(weight, "(1, h, w, D)"), grid, "bilinear").numpy()


def resized_offsets(weight: ArrayLike, size: int) -> NDArray[np.float32]:
    """Offsets (L, d) along an axis -> (2 * size - 1, d), linear.

    Raises:
        InputError: another shape, or values that are no numbers.
    """
    return resize_offsets(_tensor(weight, "(L, d)"), size).numpy()


def _tensor(weight: ArrayLike, shape: str) -> Tensor:
    array = array_of(weight, "weight", InputError)
    if array.dtype.kind != "f" or array.ndim != shape.count(",") + 1 or 0 in array.shape:
        raise InputError(
            f"weight: expected floats of shape {shape}, got {array.dtype} of shape {array.shape}"
        )
    return torch.from_numpy(array.astype(np.float32, copy=False))
