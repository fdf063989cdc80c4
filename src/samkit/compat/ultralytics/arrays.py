"""Arrays from whatever a caller gives."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from samkit.errors import ImageError, InputError, PromptError

__all__ = [
    "array_of",
    "check_preprocessed",
    "coordinates",
    "image_list",
    "rgb_of_bgr",
    "tensor_of",
]

_HINTS = {
    (2,): ": of a grey image use cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)",
    (3, 1): ": of a grey image use cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)",
    (3, 4): ": leave alpha out, image[..., :3]",
}


def array_of(value: Any, name: str) -> NDArray[Any]:
    """A new array of the values of an array, tensor or nested lists.

    Raises:
        PromptError: it is none of these, such as nested lists of different lengths.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    try:
        return np.array(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise PromptError(f"{name}: expected an array of numbers ({error})") from error


def tensor_of(value: Any, name: str) -> torch.Tensor:
    """A tensor of the values of an array, tensor or nested lists, not copied where that can be.

    Raises:
        InputError: it is none of these.
    """
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: expected a tensor ({error})") from error


def coordinates(value: Any, name: str) -> NDArray[np.float32]:
    """A new array of finite float32 numbers, at least one.

    Raises:
        PromptError: it is something else.
    """
    array = array_of(value, name)
    if array.size == 0:
        raise PromptError(f"{name}: expected at least one, got an empty array {array.shape}")
    if array.dtype.kind not in "iuf":
        raise PromptError(f"{name}: expected numbers, got {array.dtype}")
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise PromptError(f"{name}: expected finite numbers, got NaN or infinity")
    return array


def rgb_of_bgr(image: Any, name: str = "image") -> NDArray[np.uint8]:
    """An array (H, W, 3) uint8 BGR, as OpenCV reads it, as a new one in RGB.

    Raises:
        ImageError: another shape or type. Grey, alpha and 16 bits are not guessed at.
    """
    array = np.asarray(image)
    expected = f"{name}: expected an array (H, W, 3) of uint8 in BGR"
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        hint = _HINTS.get((array.ndim, *array.shape[2:]), "")
        raise ImageError(f"{expected}, got shape {array.shape}{hint}")
    if array.dtype != np.uint8:
        hint = ": divide 16 bits by 257" if array.dtype == np.uint16 else ": scale it to 0..255"
        raise ImageError(f"{expected}, got {array.dtype}{hint}")
    return np.ascontiguousarray(array[..., ::-1])


def image_list(images: Any) -> list[Any]:
    """A list of images, at least one.

    Raises:
        ImageError: it is none, or empty.
    """
    if not isinstance(images, (list, tuple)) or not images:
        length = f" of length {len(images)}" if hasattr(images, "__len__") else ""
        raise ImageError(
            "im: expected a list of images (H, W, 3), at least one, "
            f"got {type(images).__name__}{length}"
        )
    return list(images)


def check_preprocessed(im: Any) -> None:
    """Raise ImageError unless this is a tensor as a network takes it."""
    if not isinstance(im, torch.Tensor) or im.ndim != 4 or im.shape[1] != 3:
        got = tuple(im.shape) if hasattr(im, "shape") else type(im).__name__
        raise ImageError(f"im: expected a tensor (N, 3, H, W) of preprocess, got {got}")
