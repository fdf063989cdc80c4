"""What a layout says of the two files of an image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.exporter.parts import Part
from samkit.nn import Network, PromptTensors
from samkit.transforms import ImageTransform

__all__ = ["Layout", "RandomPrompts", "normalised", "padded"]


@dataclass(frozen=True, kw_only=True)
class RandomPrompts:
    """N prompts of T points and corners of boxes each, without padding, for a comparison.

    Attributes:
        points: (N, T, 2) in the prompt frame.
        labels: (N, T) of clicks, or of the two corners of a box.
        masks: (N, 1, h, w) logits.
        has_mask: whether all of them have their mask, or none.
    """

    points: Tensor
    labels: Tensor
    masks: Tensor
    has_mask: bool


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the two files of an image look.

    Attributes:
        encoder, decoder: parts of a network.
        pixels: the input of the encoder for an image (H, W, 3).
        prompts: the inputs of the decoder beside the maps of the image, by name; None where the
            layout has no such prompts.
        logits: name of the decoder's output with mask logits (..., h, w) of the prompt frame.
        decoded: the maps of the encoder as the decoder takes them, for an image without memory.
        configs: name of a JSON file that belongs to the layout -> its contents.
    """

    encoder: Callable[[Network], Part]
    decoder: Callable[[Network], Part]
    pixels: Callable[[Network, NDArray[np.uint8]], Tensor]
    prompts: Callable[[Network, RandomPrompts], dict[str, Tensor] | None]
    logits: Callable[[Network], str]
    decoded: Callable[[Network, dict[str, Tensor]], dict[str, Tensor]] = lambda _, maps: maps
    configs: Callable[[Network], dict[str, Any]] = lambda _: {}


def normalised(network: Network, image: NDArray[np.uint8]) -> Tensor:
    config = network.config
    transform = ImageTransform.for_network(config, image.shape[:2])
    return transform.pixels(image, config.mean, config.std)


def padded(network: Network, prompts: RandomPrompts) -> dict[str, Tensor]:
    tensors = PromptTensors.padded(
        prompts.points, prompts.labels, pad_boxes=network.config.prompt_encoder.pad_boxes
    )
    return {
        "points": tensors.points,
        "labels": tensors.labels,
        "masks": prompts.masks,
        "has_mask": torch.full((len(prompts.points),), prompts.has_mask),
    }
