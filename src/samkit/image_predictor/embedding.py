"""What a network sees in an image, as a value that can be kept."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from samkit.errors import InputError
from samkit.media import write_atomically
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

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> "ImageEmbedding":
        """The same embedding on another device, or in another precision."""
        levels = tuple(level.to(device, dtype) for level in self.features.high_resolution)
        features = ImageFeatures(
            embedding=self.features.embedding.to(device, dtype), high_resolution=levels
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
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            reason = "it holds no embedding" if isinstance(error, KeyError) else str(error)
            raise InputError(f"cannot read an image embedding from {path}: {reason}") from error
        levels = [tensors[f"high_resolution.{i}"] for i in range(len(tensors) - 1)]
        transform = ImageTransform(
            image_size=tuple(about["image_size"]),
            input_size=tuple(about["input_size"]),
            keep_aspect=about["keep_aspect"],
        )
        features = ImageFeatures(embedding=tensors["embedding"], high_resolution=tuple(levels))
        return cls(features=features, transform=transform, network_id=about["network_id"])
