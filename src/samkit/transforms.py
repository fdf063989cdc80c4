"""From an image to a network's input and back: pixels, coordinates and masks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from samkit.errors import InputError

__all__ = ["ImageTransform", "checked_size", "resize", "resize_rgb"]

# A binary mask becomes logits of this size, as in SAM 2 (sigmoid(10) = 0.99995).
BINARY_LOGIT = 10.0


@dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """Places an image in a network's input, and finds the way back.

    Attributes:
        image_size: (H0, W0) of the original image.
        input_size: (H, W) of the network's input.
        keep_aspect: True (SAM): the image is scaled until it fits and padded at the bottom and
            right. False (SAM 2): it is stretched to the whole input.
        stride: pixels of the input for one cell of the embedding; mask logits are four times finer.
        pad_only: with `keep_aspect`, the image is padded but not scaled, so it has to fit.
    """

    image_size: tuple[int, int]
    input_size: tuple[int, int]
    keep_aspect: bool
    stride: int = 16
    pad_only: bool = False

    @property
    def content_size(self) -> tuple[int, int]:
        """(h, w) of the part of the input that the image covers."""
        if not self.keep_aspect:
            return self.input_size
        if self.pad_only:
            return self.image_size
        (H0, W0), (H, W) = self.image_size, self.input_size
        scale = min(H / H0, W / W0)
        return max(1, int(H0 * scale + 0.5)), max(1, int(W0 * scale + 0.5))

    @property
    def mask_size(self) -> tuple[int, int]:
        """(h, w) of the mask logits: a quarter of the input in all released networks."""
        return self.input_size[0] // self.stride * 4, self.input_size[1] // self.stride * 4

    def points_to_input(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """xy (..., 2) in pixels of the image -> in pixels of the input."""
        (H0, W0), (h, w) = self.image_size, self.content_size
        return points * np.array([w / W0, h / H0], np.float32)

    def pixels(
        self, image: NDArray[np.generic], mean: tuple[float, ...], std: tuple[float, ...]
    ) -> Tensor:
        """Image (H0, W0, C), values 0..255 -> normalised input (1, C, H, W) float32.

        Resampling is the references': SAM resizes 8-bit pixels, SAM 2 resizes floats; both
        smooth when they shrink. Padding is added after normalising, so it is zero.
        """
        if self.keep_aspect and image.dtype == np.uint8 and image.shape[2] == 3:
            resized = resize_rgb(image.astype(np.uint8, copy=False), self.content_size)
            x = torch.from_numpy(resized).permute(2, 0, 1)[None].float() / 255
        else:
            x = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None] / 255
            x = resize(x, self.content_size)
        x = (x - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
        return self._pad(x, 0.0)

    def masks_to_image(self, logits: Tensor) -> Tensor:
        """Logits (N, h, w) of the whole input -> logits (N, H0, W0), bilinear."""
        logits = logits[:, None].float()
        if self.keep_aspect:
            h, w = self.content_size
            logits = F.interpolate(logits, self.input_size, mode="bilinear")[..., :h, :w]
        return F.interpolate(logits, self.image_size, mode="bilinear")[:, 0]

    def mask_to_input(self, mask: NDArray[np.bool_] | NDArray[np.float32]) -> Tensor:
        """Mask of any size over the whole image -> logits (h, w) of `mask_size`.

        Args:
            mask: (h, w) bool, or float32 logits.
        """
        x = torch.from_numpy(np.array(mask, np.float32))[None, None]
        if mask.dtype == np.bool_:
            x = (2 * x - 1) * BINARY_LOGIT
        if not self.keep_aspect:
            return resize(x, self.mask_size)[0, 0]
        x = self._pad(resize(x, self.content_size), -BINARY_LOGIT)
        return F.adaptive_avg_pool2d(x, self.mask_size)[0, 0]

    def _pad(self, x: Tensor, value: float) -> Tensor:
        (H, W), (h, w) = self.input_size, x.shape[-2:]
        return F.pad(x, (0, W - w, 0, H - h), value=value) if (h, w) != (H, W) else x


def checked_size(value: Any, name: str) -> tuple[int, int]:
    """(height, width) in pixels, as a caller gave them.

    Raises:
        InputError: no two whole numbers from 1 on.
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # such as nested lists of different lengths
        array = np.array(None)
    if array.shape != (2,) or array.dtype.kind not in "iu" or array.min() < 1:
        raise InputError(
            f"{name}: expected (height, width) in pixels, both at least 1, got {value!r}"
        )
    return int(array[0]), int(array[1])


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, H, W) -> (N, C, *size), bilinear, smoothed when it shrinks."""
    if size[1] == 1:  # which torch 2.13 gets wrong; a height of 1 it gets right
        lying = F.interpolate(x.mT.contiguous(), size[::-1], mode="bilinear", antialias=True)
        return lying.mT
    return F.interpolate(x, size, mode="bilinear", antialias=True)


def resize_rgb(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) -> (*size, 3) as SAM resizes 8-bit pixels: by Pillow, which rounds them."""
    height, width = size
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized)
