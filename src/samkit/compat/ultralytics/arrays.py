"""Images and tensors from what a caller gives, checked."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from samkit.errors import ImageError, InputError
from samkit.limits import check_image_size

__all__ = ["check_preprocessed", "cpu_tensor", "rgb_images", "rgb_of_bgr", "tensor_of"]

_HINTS = {
    (2,): ": of a grey image use cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)",
    (3, 1): ": of a grey image use cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)",
    (3, 4): ": leave alpha out, image[..., :3]",
}


def cpu_tensor(array: NDArray[Any]) -> torch.Tensor:
    """A copy of an array, on the CPU whatever the default device is."""
    return torch.tensor(array, device="cpu")


def tensor_of(value: Any, name: str) -> torch.Tensor:
    """A tensor of the values of an array, tensor or nested lists, not copied where possible.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(value, np.ndarray):  # torch takes the byte order of this machine only
        value = value.astype(value.dtype.newbyteorder("="), copy=False)
    try:
        # as_tensor would move a tensor to the default device.
        return value if isinstance(value, torch.Tensor) else torch.as_tensor(value, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: expected a tensor ({error})") from error


def rgb_of_bgr(image: Any, name: str = "image") -> NDArray[np.uint8]:
    """An array (H, W, 3) uint8 BGR, as OpenCV reads it, as a new one in RGB.

    Raises:
        ImageError: another shape or type, or masked values. Grey, alpha and 16 bits are not
            converted.
    """
    if np.ma.is_masked(image):
        raise ImageError(f"{name}: expected no masked values; give image.filled(0)")
    expected = f"{name}: expected an array (H, W, 3) of uint8 in BGR"
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # lists, other tensors
        raise ImageError(f"{expected}, got {type(image).__name__}") from error
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        hint = _HINTS.get((array.ndim, *array.shape[2:]), "")
        raise ImageError(f"{expected}, got shape {array.shape}{hint}")
    if array.dtype != np.uint8:
        hint = ": divide 16 bits by 257" if array.dtype == np.uint16 else ": scale it to 0..255"
        raise ImageError(f"{expected}, got {array.dtype}{hint}")
    check_image_size(array.shape[0], array.shape[1], name)
    return np.ascontiguousarray(array[..., ::-1])


def rgb_images(images: Any) -> list[NDArray[np.uint8]]:
    """A list of arrays (H, W, 3) uint8 BGR, at least one, as new ones in RGB.

    Raises:
        ImageError: it is no list, or empty, or as for `rgb_of_bgr`.
    """
    if not isinstance(images, (list, tuple)) or not images:
        length = " of length 0" if isinstance(images, (list, tuple)) else ""
        raise ImageError(
            "im: expected a list of images (H, W, 3), at least one, "
            f"got {type(images).__name__}{length}"
        )
    return [rgb_of_bgr(one) for one in images]


def check_preprocessed(im: Any) -> None:
    """Raise ImageError unless `im` is a tensor (N, 3, H, W), as `preprocess` returns it."""
    if not isinstance(im, torch.Tensor) or im.ndim != 4 or im.shape[1] != 3:
        got = tuple(im.shape) if hasattr(im, "shape") else type(im).__name__
        raise ImageError(f"im: expected a tensor (N, 3, H, W) of preprocess, got {got}")
