"""Arrays of any usual kind to (H, W, 3) uint8 RGB."""

import sys
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from samkit.errors import ImageError

_CHANNELS = (1, 3, 4)
# What rounding in a resize or a colour conversion may add to the range 0..1.
_FLOAT_TOLERANCE = 1e-3


def rgb_from_array(array: npt.NDArray[Any], name: str = "array") -> npt.NDArray[np.uint8]:
    """Convert an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) to (H, W, 3) uint8 RGB.

    One channel is grey, a fourth channel is alpha and is dropped. Values by type:

    - bool: False is 0, True is 255;
    - uint8: as they are;
    - uint16: 0..65535, divided by 257 and rounded;
    - other integers: have to lie in 0..255;
    - floats: have to lie in 0..1, multiplied by 255 and rounded. Up to 0.001 outside is rounding
      and is clipped; anything else (NaN, infinite, 0..255) is an error and is never guessed at.

    Args:
        array: any strides and byte order, not changed.
        name: what error messages call the array.

    Returns:
        A new C-contiguous array that shares no memory with ``array``.

    Raises:
        ImageError: another shape, an empty image, or values outside the range of their type.
    """
    _check_shape(array, name)
    if array.ndim == 3:
        array = array[:, :, 0] if array.shape[2] == 1 else array[:, :, :3]
    grey_or_rgb = _to_uint8(array, name)
    if grey_or_rgb is not array and grey_or_rgb.ndim == 3 and grey_or_rgb.flags.c_contiguous:
        return grey_or_rgb
    rgb = np.empty((*grey_or_rgb.shape[:2], 3), np.uint8)
    rgb[...] = grey_or_rgb[:, :, None] if grey_or_rgb.ndim == 2 else grey_or_rgb
    return rgb


def rgb_from_tensor(tensor: Any) -> npt.NDArray[np.uint8]:
    """Convert a torch tensor (3, H, W), (H, W, 3) or (H, W) to (H, W, 3) uint8 RGB.

    One or four channels are accepted in place of three. When both the first and the last axis
    could be the channels, the first one is taken, as is usual in torch. Values as in
    `rgb_from_array`.

    Raises:
        ImageError: as `rgb_from_array`, or a tensor that has no values to read.
    """
    try:
        dense = tensor.detach().cpu()
        if dense.is_floating_point():
            dense = dense.float()  # numpy has no bfloat16
        array: npt.NDArray[Any] = dense.numpy()
    except (NotImplementedError, RuntimeError, TypeError) as error:
        raise ImageError(f"cannot read the values of the tensor: {error}") from error
    if array.ndim == 3 and array.shape[0] in _CHANNELS:
        array = array.transpose(1, 2, 0)
    return rgb_from_array(array, "tensor")


def is_tensor(value: object) -> TypeGuard[Any]:
    """Tell whether a value is a torch tensor, without importing torch."""
    tensor_type = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor_type is not None and isinstance(value, tensor_type)


def _check_shape(array: npt.NDArray[Any], name: str) -> None:
    shape = array.shape
    expected = "expected an image (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
    hint = ""
    if array.ndim == 4:
        hint = ": pass the images one by one"
    elif array.ndim == 3 and shape[0] in _CHANNELS:
        hint = ", which has its channels first: use array.transpose(1, 2, 0)"
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in _CHANNELS):
        raise ImageError(f"{expected}, got {name} {shape}{hint}")
    if array.size == 0:
        raise ImageError(f"expected an image of at least 1 x 1 pixels, got {name} {shape}")


def _to_uint8(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    """Values of a non-empty array to 0..255 by the rule of their type, the shape as it was."""
    dtype = array.dtype.newbyteorder("=")
    if dtype == np.uint8:
        return array
    if dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not np.issubdtype(dtype, np.integer) and not np.issubdtype(dtype, np.floating):
        raise ImageError(f"expected {name} of bool, integers or floats, got {dtype}")
    low, high = array.min(), array.max()
    if np.issubdtype(dtype, np.integer):
        if low < 0 or high > 255:
            raise ImageError(
                f"expected {name} of {dtype} with values 0..255, got {low}..{high}: "
                "scale it, or use uint16 for 0..65535"
            )
        return array.astype(np.uint8)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(f"expected {name} of finite values, got NaN or infinity")
    if low < -_FLOAT_TOLERANCE or high > 1 + _FLOAT_TOLERANCE:
        raise ImageError(
            f"expected {name} of {dtype} with values 0..1, got {low:g}..{high:g}: "
            "scale it, or use uint8 for 0..255"
        )
    scaled = np.clip(array, 0, 1).astype(np.float32, copy=False)
    scaled *= np.float32(255)
    rounded: npt.NDArray[np.uint8] = np.rint(scaled, out=scaled).astype(np.uint8)
    return rounded
