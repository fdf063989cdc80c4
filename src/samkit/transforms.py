"""From an image to a network's input and back: pixels, coordinates and masks."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from samkit.sizes import NetworkConfig

__all__ = ["ImageTransform", "resize", "resize_rgb"]

# A binary mask becomes logits of this size, as in SAM 2 (sigmoid(10) = 0.99995).
BINARY_LOGIT = 10.0


@dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """How an image lies in a network's input, for pixels, points and masks.

    Attributes:
        image_size: (H0, W0) of the original image.
        input_size: (H, W) of the network's input.
        keep_aspect: True (SAM): the image is scaled until it fits and padded at the bottom and
            right. False (SAM 2): it is stretched to the whole input.
        stride: pixels of the prompt frame for one cell of the embedding; mask logits are four times
            finer.
        prompt_scale: how many times the prompt frame, to which coordinates refer, is larger than
            the input.
        pad_only: with `keep_aspect`, the image is padded but not scaled, so it has to fit.
    """

    image_size: tuple[int, int]
    input_size: tuple[int, int]
    keep_aspect: bool
    stride: int = 16
    prompt_scale: int = 1
    pad_only: bool = False

    @classmethod
    def for_network(
        cls,
        config: NetworkConfig,
        image_size: tuple[int, int],
        input_size: tuple[int, int] | None = None,
    ) -> "ImageTransform":
        """The transform of an image (H0, W0); `input_size` is by default the network's own."""
        return cls(
            image_size=image_size,
            input_size=config.image_size if input_size is None else input_size,
            keep_aspect=config.keep_aspect,
            stride=config.stride,
            prompt_scale=config.image_encoder.prompt_scale,
        )

    @property
    def content_size(self) -> tuple[int, int]:
        """(h, w) of the part of the input that the image covers."""
        return self._content(self.input_size)

    @property
    def prompt_size(self) -> tuple[int, int]:
        """(H, W) of the prompt frame."""
        return self.input_size[0] * self.prompt_scale, self.input_size[1] * self.prompt_scale

    @property
    def prompt_content_size(self) -> tuple[int, int]:
        """(h, w) of the part of the prompt frame that the image covers."""
        return self._content(self.prompt_size)

    @property
    def mask_size(self) -> tuple[int, int]:
        """(h, w) of the mask logits: a quarter of the prompt frame in all released networks."""
        height, width = self.prompt_size
        return height // self.stride * 4, width // self.stride * 4

    def _content(self, size: tuple[int, int]) -> tuple[int, int]:
        if not self.keep_aspect:
            return size
        if self.pad_only:
            return self.image_size
        (H0, W0), (H, W) = self.image_size, size
        scale = min(H / H0, W / W0)
        return max(1, int(H0 * scale + 0.5)), max(1, int(W0 * scale + 0.5))

    def points_to_input(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """xy (..., 2) in pixels of the image -> in pixels of the prompt frame."""
        (H0, W0), (h, w) = self.image_size, self.prompt_content_size
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
            x = torch.from_numpy(resized).permute(2, 0, 1)[None].float()
        else:
            x = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
            x = resize(x, self.content_size)
        # On 0..255 and resized, which takes one pass over fewer pixels.
        centre, spread = (255 * x.new_tensor(value).view(-1, 1, 1) for value in (mean, std))
        return _pad(x.sub_(centre).div_(spread), self.input_size, 0.0)

    def masks_to_image(self, logits: Tensor) -> Tensor:
        """Logits (N, h, w) of the whole prompt frame -> logits (N, H0, W0), bilinear."""
        logits = logits.float()
        if logits.device.type == "cpu" and not logits.requires_grad:
            full = np.empty((len(logits), *self.image_size), np.float32)
            for low, into in zip(logits.numpy(), full, strict=True):
                into[:] = self._to_image(low)
            return torch.from_numpy(full)
        logits = logits[:, None]
        if self.keep_aspect:
            h, w = self.prompt_content_size
            logits = F.interpolate(logits, self.prompt_size, mode="bilinear")[..., :h, :w]
        return F.interpolate(logits, self.image_size, mode="bilinear")[:, 0]

    def mask_in_image(self, logits: Tensor) -> NDArray[np.bool_]:
        """Where logits (h, w) of the whole prompt frame are above 0 in the image: (H0, W0)."""
        if logits.device.type == "cpu":
            full = self._to_image(logits.detach().float().numpy())
        else:
            full = self.masks_to_image(logits[None])[0].cpu().numpy()
        # On CPUs NumPy compares several times faster than torch.
        above: NDArray[np.bool_] = full > 0
        return above

    def _to_image(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """`masks_to_image` of one mask, by OpenCV: faster than torch on a CPU, and more exact."""
        if self.keep_aspect:
            h, w = self.prompt_content_size
            logits = _resize_bilinear(logits, self.prompt_size)[:h, :w]
        return _resize_bilinear(logits, self.image_size)

    def mask_to_input(
        self, mask: NDArray[np.bool_] | NDArray[np.float32], *, padding: float = -BINARY_LOGIT
    ) -> Tensor:
        """Mask of any size over the whole image, bool or logits -> logits (h, w) of `mask_size`.

        Around an image that does not fill the prompt frame, logits are `padding`.
        """
        x = torch.from_numpy(np.array(mask, np.float32))[None, None]
        if mask.dtype == np.bool_:
            x = (2 * x - 1) * BINARY_LOGIT
        if not self.keep_aspect:
            return resize(x, self.mask_size)[0, 0]
        x = _pad(resize(x, self.prompt_content_size), self.prompt_size, padding)
        return F.adaptive_avg_pool2d(x, self.mask_size)[0, 0]


def _resize_bilinear(x: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) -> size, bilinear, pixel centres at halves."""
    resized = cv2.resize(x, size[::-1], interpolation=cv2.INTER_LINEAR)
    return resized.reshape(size).astype(np.float32, copy=False)


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


def _pad(x: Tensor, size: tuple[int, int], value: float) -> Tensor:
    """Fill (..., h, w) up at the bottom and right."""
    (H, W), (h, w) = size, x.shape[-2:]
    return F.pad(x, (0, W - w, 0, H - h), value=value) if (h, w) != (H, W) else x
