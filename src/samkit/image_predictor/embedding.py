"""The output of the image encoder for an image, as a value that can be kept."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samkit.errors import InputError
from samkit.geometry import checked_size
from samkit.image_predictor.device import find_device
from samkit.nn import ImageFeatures
from samkit.sizes import NetworkConfig
from samkit.transforms import ImageTransform
from samkit.weights.tensor_file import (
    read_bool,
    read_image_size,
    read_tensor_file,
    write_tensor_file,
)

__all__ = ["ImageEmbedding", "check_features"]

_KIND, _VERSION = "embedding", 2
_SERIES = ("high_resolution", "further")


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
        shape = " x ".join(map(str, tensor.shape[1:]))
        megabytes = sum(one.nbytes for one in self.features.tensors) / 1e6
        return (
            f"<ImageEmbedding of an image {height} x {width} (height x width): {shape}, {dtype} on "
            f"{tensor.device}, {megabytes:.3g} MB>"
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
        }
        tensors = {"embedding": features.embedding}
        for name in _SERIES:
            levels = getattr(features, name)
            tensors |= {f"{name}.{i}": level for i, level in enumerate(levels)}
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
            stride=_whole(about["stride"]),
            prompt_scale=_whole(about["prompt_scale"]),
        )
        if not isinstance(about["network"], str):
            raise ValueError("the header names no network")
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32 or tensor.ndim != 4 or not tensor.isfinite().all():
                raise ValueError(f"{name} is no map of finite float32 numbers")
        series = {
            name: tuple(tensors[f"{name}.{i}"] for i in range(_count(name, tensors)))
            for name in _SERIES
        }
        if 1 + sum(map(len, series.values())) != len(tensors):
            raise ValueError("there are other tensors than those of an embedding")
        features = ImageFeatures(embedding=tensors["embedding"], stride=transform.stride, **series)
        return cls(features=features, transform=transform, network_id=about["network"])


def check_features(features: ImageFeatures, config: NetworkConfig) -> None:
    """Raise InputError unless features are of one image, and of a network of these sizes."""
    if not isinstance(features, ImageFeatures):
        raise InputError(f"features: expected ImageFeatures, got {type(features).__name__}")
    h, w = (0, 0, *features.embedding.shape)[-2:]
    expected = [(1, config.dim, h, w)]
    if config.mask_decoder.high_resolution:
        expected += [(1, config.dim // 8, h * 4, w * 4), (1, config.dim // 4, h * 2, w * 2)]
    actual = [tuple(level.shape) for level in (features.embedding, *features.high_resolution)]
    if actual != expected or any(tensor.shape[:1] != (1,) for tensor in features.further):
        raise InputError(
            f"features: expected one image of this network, of shapes {expected}, got {actual}"
        )
    if features.stride != config.stride or h * w == 0:
        raise InputError(
            f"features: expected cells of {config.stride} pixels and at least one, got {h} x "
            f"{w} of {features.stride} pixels"
        )
    kinds = {tensor.dtype for tensor in features.tensors if not tensor.is_floating_point()}
    if kinds:
        raise InputError(f"features: expected floats, got {kinds.pop()}")


def _count(name: str, tensors: dict[str, Tensor]) -> int:
    return sum(key.startswith(f"{name}.") for key in tensors)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"expected a whole number from 1 on, got {value!r}")
    return value
