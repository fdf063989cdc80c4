"""What a network sees in an image, as a value that can be kept."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samkit.errors import InputError
from samkit.image_predictor.device import find_device
from samkit.media import MAX_PIXELS, write_atomically
from samkit.nn import ImageFeatures
from samkit.transforms import ImageTransform

__all__ = ["ImageEmbedding"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ImageEmbedding:
    """What a network sees in one image: computed once, used for any number of prompts.

    It is never changed. It can be kept, moved to another device and saved.

    Attributes:
        features: output of the image encoder, for one image.
        transform: how the image lies in the network's input.
        network_id: names the network that made it; another network refuses it.
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
        features = replace(
            self.features,
            embedding=self.features.embedding.to(device),
            high_resolution=tuple(level.to(device) for level in self.features.high_resolution),
        )
        return replace(self, features=features)

    def save(self, path: str | Path) -> None:
        """Write to a safetensors file, whole or not at all.

        Raises:
            InputError: the place cannot be written to.
        """
        from safetensors.torch import save_file

        tensors = {"embedding": self.features.embedding}
        for i, level in enumerate(self.features.high_resolution):
            tensors[f"high_resolution.{i}"] = level
        transform = self.transform
        about = {
            "image_size": transform.image_size,
            "input_size": transform.input_size,
            "keep_aspect": transform.keep_aspect,
            "stride": transform.stride,
            "network_id": self.network_id,
        }
        with write_atomically(path) as temporary:
            save_file(
                {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
                temporary,
                metadata={"samkit.embedding": json.dumps(about)},
            )

    @classmethod
    def load(cls, path: str | Path) -> "ImageEmbedding":
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, damaged, or holds something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                about = json.loads((file.metadata() or {})["samkit.embedding"])
            return cls._checked(tensors, about)
        except (OSError, SafetensorError) as error:
            raise InputError(f"cannot read an image embedding from {path}: {error}") from error
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise InputError(
                f"cannot read an image embedding from {path}: it is damaged, or holds none"
            ) from error

    @classmethod
    def _checked(cls, tensors: dict[str, Tensor], about: dict[str, Any]) -> "ImageEmbedding":
        """What a file says, if it can be true; any of the usual errors if not."""
        names = ["embedding", *(f"high_resolution.{i}" for i in range(len(tensors) - 1))]
        stride = int(about.get("stride", 16))
        features = ImageFeatures(
            embedding=tensors[names[0]],
            high_resolution=tuple(tensors[name] for name in names[1:]),
            stride=stride,
        )
        sizes = [
            (int(height), int(width))
            for height, width in (about["image_size"], about["input_size"])
        ]
        transform = ImageTransform(
            image_size=sizes[0],
            input_size=sizes[1],
            keep_aspect=about["keep_aspect"],
            stride=stride,
        )
        if stride < 1 or any(side % stride for side in sizes[1]):
            raise ValueError("the input is not a whole number of cells")
        strides = (stride, 4, 8)
        for step, tensor in zip(strides, (tensors[name] for name in names), strict=False):
            grid = (sizes[1][0] // step, sizes[1][1] // step)
            if tuple(tensor.shape[2:]) != grid or tensor.shape[0] != 1:
                raise ValueError("the tensors do not have the sizes that the header gives")
            if tensor.dtype != torch.float32:
                raise ValueError("the tensors are not float32")
        if not 0 < sizes[0][0] * sizes[0][1] <= MAX_PIXELS or min(sizes[0]) < 1:
            raise ValueError("the image has an impossible size")
        if not isinstance(about["keep_aspect"], bool) or not isinstance(about["network_id"], str):
            raise ValueError("the header is damaged")
        return cls(features=features, transform=transform, network_id=about["network_id"])
