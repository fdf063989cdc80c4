"""From an image to a network's input and back, as arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from samkit.compat.arrays import array_of, finite_numbers
from samkit.errors import ImageError, InputError, PromptError, shown
from samkit.geometry import checked_size
from samkit.prompts import checks
from samkit.transforms import ImageTransform, resize, resize_rgb

__all__ = ["ImageResizer", "full_size"]


class ImageResizer:
    """Scales images, points, boxes and masks between an image and a network's input.

    Images are (H, W, C) or (N, H, W, C), with ``channels_last=False`` (C, H, W) or (N, C, H, W).
    They keep their type if that is uint8, and are float32 otherwise.

    Args:
        src_size: (H0, W0) of the image.
        dst_size: (H, W) of the network's input.
        pad_only: pad the image, but do not scale it; it has to fit into `dst_size`.

    Attributes:
        src_size, dst_size, pad_only: as given.
        transform: the same in samkit's core.

    Raises:
        InputError: a size that is no two positive integers, or an image that does not fit.

    >>> ImageResizer((480, 640), (1024, 1024)).rescaled_size
    (768, 1024)
    """

    def __init__(
        self, src_size: tuple[int, int], dst_size: tuple[int, int], pad_only: bool = False
    ) -> None:
        self.src_size = checked_size(src_size, "src_size")
        self.dst_size = checked_size(dst_size, "dst_size")
        self.pad_only = pad_only
        if pad_only and any(a > b for a, b in zip(self.src_size, self.dst_size, strict=True)):
            raise InputError(
                f"pad_only: expected an image of at most {self.dst_size}, got {self.src_size}"
            )
        self.transform = ImageTransform(
            image_size=self.src_size,
            input_size=self.dst_size,
            keep_aspect=True,
            pad_only=pad_only,
        )

    @property
    def scale(self) -> float:
        """Size of the scaled image over that of the image, before sides are rounded."""
        if self.pad_only:
            return 1.0
        return min(b / a for a, b in zip(self.src_size, self.dst_size, strict=True))

    @property
    def rescaled_size(self) -> tuple[int, int]:
        """(h, w) of the scaled image, before padding: the longest side fits, sides are rounded."""
        return self.transform.content_size

    def scale_image(self, image: ArrayLike, channels_last: bool = True) -> NDArray[Any]:
        """An image of `src_size` -> of `rescaled_size`, aspect kept.

        Raises:
            ImageError: another size or shape, or values that are no numbers.
        """
        return _on_batch(
            lambda images: _resize(images, self.rescaled_size), image, channels_last, self.src_size
        )

    def pad_image(self, image: ArrayLike, channels_last: bool = True) -> NDArray[Any]:
        """An image that fits into `dst_size` -> of that size: zeros at the bottom and the right.

        Normalise before: zero is then the mean colour, with which the networks were trained.

        Raises:
            ImageError: a larger image, another shape, or values that are no numbers.
        """
        H, W = self.dst_size

        def pad(images: NDArray[Any]) -> NDArray[Any]:
            h, w = images.shape[1:3]
            if h > H or w > W:
                raise ImageError(f"image: expected at most {self.dst_size}, got {(h, w)}")
            return np.pad(images, ((0, 0), (0, H - h), (0, W - w), (0, 0)))

        return _on_batch(pad, image, channels_last)

    def unscale_image(self, image: ArrayLike, channels_last: bool = True) -> NDArray[Any]:
        """An image of `rescaled_size`, or of `dst_size` with its padding -> of `src_size`.

        Raises:
            ImageError: another size or shape, or values that are no numbers.
        """
        h, w = self.rescaled_size

        def unscale(images: NDArray[Any]) -> NDArray[Any]:
            return _resize(images[:, :h, :w], self.src_size)

        return _on_batch(unscale, image, channels_last, self.rescaled_size, self.dst_size)

    def scale_points(self, points: ArrayLike) -> NDArray[np.float32]:
        """xy (..., 2) in pixels of the image -> in pixels of the network's input.

        Raises:
            PromptError: another shape, or values that are no numbers.
        """
        return self.transform.points_to_input(_coordinates(points, "points", 2))

    def scale_boxes(self, boxes: ArrayLike) -> NDArray[np.float32]:
        """xyxy (..., 4) in pixels of the image -> in pixels of the network's input.

        Raises:
            PromptError: another shape, or values that are no numbers.
        """
        array = _coordinates(boxes, "boxes", 4)
        corners = self.transform.points_to_input(array.reshape(*array.shape[:-1], 2, 2))
        return corners.reshape(array.shape)

    def postprocess_mask(
        self, mask: ArrayLike, threshold: float | None = None
    ) -> NDArray[np.float32] | NDArray[np.bool_]:
        """Logits of the network's input, at any resolution -> at `src_size`, without padding.

        Args:
            mask: (..., h, w), such as (M, H, W) or (M, H', W'). Scaling is bilinear.
            threshold: None for logits; else True where logits are above it.

        Raises:
            InputError: another shape, values that are no numbers, or a threshold that is none.
        """
        if threshold is not None and not isinstance(threshold, (int, float, np.number)):
            raise InputError(f"threshold: expected a number or None, got {shown(threshold)}")
        array = finite_numbers(mask, "mask")
        if array.ndim < 2 or 0 in array.shape[-2:]:
            raise InputError(f"mask: expected shape (..., h, w), got {array.shape}")
        flat = torch.from_numpy(array.reshape(-1, *array.shape[-2:]))
        masks = full_size(self.transform, flat, threshold)
        return masks.reshape(*array.shape[:-2], *self.src_size)

    @staticmethod
    def scale_to_size(
        image: ArrayLike, size: tuple[int, int], channels_last: bool = True
    ) -> NDArray[Any]:
        """An image -> of `size` (H, W), whatever its aspect; bilinear, smoothed when it shrinks.

        8-bit colour pixels are scaled as SAM scales them, by Pillow.

        Raises:
            ImageError: no image, or values that are no numbers.
            InputError: a size that is no two positive integers.
        """
        size = checked_size(size, "size")
        return _on_batch(lambda images: _resize(images, size), image, channels_last)


def full_size(
    transform: ImageTransform, logits: Tensor, threshold: float | None
) -> NDArray[np.float32] | NDArray[np.bool_]:
    """Logits (N, h, w) of the network's input -> logits, or a mask, (N, H0, W0) of the image."""
    size = (len(logits), *transform.image_size)
    masks: NDArray[Any] = np.empty(size, np.float32 if threshold is None else np.bool_)
    # One at a time: at the image's size, logits take far more memory than a mask.
    for mask, low in zip(masks, logits, strict=True):
        full = transform.masks_to_image(low[None])[0]
        mask[...] = (full if threshold is None else full > threshold).cpu().numpy()
    return masks


def _coordinates(value: ArrayLike, name: str, length: int) -> NDArray[np.float32]:
    """An array (..., length)."""
    array = checks.coordinates(array_of(value, name), name)
    if array.ndim < 1 or array.shape[-1] != length:
        raise PromptError(f"{name}: expected shape (..., {length}), got {array.shape}")
    return array


def _on_batch(
    function: Callable[[NDArray[Any]], NDArray[Any]],
    image: ArrayLike,
    channels_last: bool,
    *sizes: tuple[int, int],
) -> NDArray[Any]:
    """Apply a function of (N, H, W, C), uint8 or float32, to an image in any of the four layouts.

    Args:
        function: such as `_resize`.
        image: of the caller.
        channels_last: whether C is its last axis.
        sizes: that the image may have; none for any.

    Raises:
        ImageError: another size or shape, or values that are no numbers.
    """
    array = array_of(image, "image", ImageError)
    if array.ndim not in (3, 4) or 0 in array.shape[-3:]:
        raise ImageError(f"image: expected 3 or 4 axes and pixels, got shape {array.shape}")
    if array.dtype.kind not in "iuf":
        raise ImageError(f"image: expected numbers, got {array.dtype}")
    batch = array if array.ndim == 4 else array[None]
    batch = batch if channels_last else batch.transpose(0, 2, 3, 1)
    size = batch.shape[1:3]
    if sizes and size not in sizes:
        expected = " or ".join(str(size) for size in dict.fromkeys(sizes))
        raise ImageError(f"image: expected size {expected}, got {size}")
    result = function(batch if batch.dtype == np.uint8 else batch.astype(np.float32, copy=False))
    result = result if channels_last else result.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(result if array.ndim == 4 else result[0])


def _resize(images: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """(N, H, W, C) -> (N, *size, C), uint8 or float32."""
    if images.dtype == np.uint8 and images.shape[3] == 3 and len(images):
        return np.stack([resize_rgb(np.ascontiguousarray(image), size) for image in images])
    x = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)
    if x.shape[2:] != size:
        x = resize(x, size)
    resized = x.permute(0, 2, 3, 1).numpy()
    return np.rint(resized).astype(np.uint8) if images.dtype == np.uint8 else resized
