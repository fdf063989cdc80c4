"""From an image to the frame in which a network takes it, and prompts with it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.compat.arrays import array_of, finite_numbers
from samkit.errors import ImageError, PromptError
from samkit.geometry import checked_size
from samkit.sizes import NetworkConfig
from samkit.transforms import ImageTransform, resize_rgb

__all__ = ["InputTransform"]


class InputTransform:
    """Scales images and coordinates as a network needs them, for `SamPredictor.predict_torch`.

    For SAM the longer side becomes 1024 pixels; networks of other families stretch the image.

    Args:
        config: sizes of the network.
    """

    def __init__(self, config: NetworkConfig) -> None:
        self.config = config

    def of(self, original_size: tuple[int, int]) -> ImageTransform:
        """samkit's own transform of an image (H, W).

        Raises:
            InputError: not two sides in pixels.
        """
        size = checked_size(original_size, "original_size")
        return ImageTransform.for_network(self.config, size)

    def apply_image(self, image: Any) -> NDArray[np.uint8]:
        """An image (H, W, 3) uint8, scaled.

        Raises:
            ImageError: another shape or type.
        """
        array = array_of(image, "image", ImageError)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
            raise ImageError(
                "image: expected an array (H, W, 3) of uint8, "
                f"got {array.dtype} of shape {array.shape}"
            )
        return resize_rgb(array, self.of((array.shape[0], array.shape[1])).content_size)

    def apply_coords(self, coords: Any, original_size: tuple[int, int]) -> NDArray[np.float64]:
        """xy (..., 2) in pixels of an image (H, W) -> in those of the network's frame.

        Raises:
            PromptError: another shape.
        """
        array = finite_numbers(coords, "coords")
        if array.shape[-1:] != (2,):
            raise PromptError(f"coords: expected shape (..., 2), got {array.shape}")
        return array * self.scale(original_size)

    def apply_boxes(self, boxes: Any, original_size: tuple[int, int]) -> NDArray[np.float64]:
        """Boxes (..., 4) xyxy in pixels of an image (H, W) -> (N, 4) in the network's frame.

        Raises:
            PromptError: another shape.
        """
        array = finite_numbers(boxes, "boxes")
        if array.shape[-1:] != (4,):
            raise PromptError(f"boxes: expected shape (..., 4), got {array.shape}")
        return self.apply_coords(array.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_coords_torch(self, coords: Tensor, original_size: tuple[int, int]) -> Tensor:
        """As `apply_coords`, of a tensor on any device; float32."""
        return _like(self.apply_coords(coords, original_size), coords)

    def apply_boxes_torch(self, boxes: Tensor, original_size: tuple[int, int]) -> Tensor:
        """As `apply_boxes`, of a tensor on any device; float32."""
        return _like(self.apply_boxes(boxes, original_size), boxes)

    def scale(self, original_size: tuple[int, int]) -> NDArray[np.float64]:
        """(2,): pixels of the network's frame for one pixel of an image (H, W), in x and y."""
        height, width = self.of(original_size).prompt_content_size
        return np.array([width / original_size[1], height / original_size[0]])


def _like(array: NDArray[np.float64], tensor: Tensor) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(tensor.device)
