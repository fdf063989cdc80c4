"""The output of the image encoder for an image, as a value that can be kept."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samkit.geometry import checked_size
from samkit.image_predictor.device import find_device
from samkit.nn import ImageFeatures
from samkit.transforms import ImageTransform
from samkit.weights.tensor_file import (
    read_bool,
    read_image_size,
    read_tensor_file,
    write_tensor_file,
)

__all__ = ["ImageEmbedding"]

_KIND, _VERSION = "embedding", 2


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ImageEmbedding:
    """What a network computes of one image once, for any number of prompts.

    It is immutable, and can be kept, moved to another device and saved.

    Attributes:
        features: output of the image encoder, for one image.
        transform: how the image lies in the network's input.
        network_id: identifies the network that made it; another network refuses it.
    """

    features: ImageFeatures
    transform: ImageTransform
    network_id: str

    def __repr__(self) -> str:
        height, width = self.image_size
        tensor = self.features.embedding
        dtype = str(tensor.dtype).removeprefix("torch.")
        return (
            f"<ImageEmbedding of an image {height} x {width} (height x width), {dtype} on "
            f"{tensor.device}>"
        )

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the original image in pixels."""
        return self.transform.image_size

    def to(self, device: str | torch.device) -> "ImageEmbedding":
        """The same embedding on another device.

        Raises:
            InputError: the device is not available.
        """
        device = find_device(device)
        return replace(self, features=self.features.map(lambda tensor: tensor.to(device)))

    def save(self, path: str | Path) -> None:
        """Write to a safetensors file, whole or not at all.

        Raises:
            InputError: the place cannot be written to.
        """
        features, transform = self.features, self.transform
        about = {
            "image_size": transform.image_size,
            "input_size": transform.input_size,
            "keep_aspect": transform.keep_aspect,
            "stride": transform.stride,
            "prompt_scale": transform.prompt_scale,
            "high_resolution": len(features.high_resolution),
        }
        tensors = {str(i): tensor for i, tensor in enumerate(features.tensors)}
        write_tensor_file(
            path, tensors, about, kind=_KIND, version=_VERSION, network_id=self.network_id
        )

    @classmethod
    def load(cls, path: str | Path) -> "ImageEmbedding":
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, damaged, or holds something else.
        """
        return read_tensor_file(path, cls._checked, kind=_KIND, version=_VERSION)

    @classmethod
    def _checked(cls, tensors: dict[str, Tensor], about: dict[str, Any]) -> "ImageEmbedding":
        """The contents of a file; ValueError or the like if they are impossible."""
        transform = ImageTransform(
            image_size=read_image_size(about["image_size"]),
            input_size=checked_size(about["input_size"], "input_size"),
            keep_aspect=read_bool(about["keep_aspect"]),
            stride=int(about["stride"]),
            prompt_scale=int(about["prompt_scale"]),
        )
        stride, (height, width) = transform.stride, transform.prompt_size
        if stride < 1 or height % stride or width % stride or not height * width:
            raise ValueError("the input is not a whole number of cells")
        if not isinstance(about["network"], str):
            raise ValueError("the header is damaged")
        embedding, *others = (tensors[str(i)] for i in range(len(tensors)))
        levels = int(about["high_resolution"])
        if embedding.shape[2:] != (height // stride, width // stride):
            raise ValueError("the embedding does not have the size that the header gives")
        for i, level in enumerate(reversed(others[:levels])):
            if level.shape[2:] != (height // stride * 2 ** (i + 1), width // stride * 2 ** (i + 1)):
                raise ValueError("a map does not have the size that the header gives")
        for tensor in (embedding, *others):
            if tensor.dtype != torch.float32 or tensor.ndim != 4 or tensor.shape[0] != 1:
                raise ValueError("a tensor is no map of one image in float32")
        features = ImageFeatures(
            embedding=embedding,
            high_resolution=tuple(others[:levels]),
            further=tuple(others[levels:]),
            stride=stride,
        )
        return cls(features=features, transform=transform, network_id=about["network"])
