"""The output of an image encoder."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

__all__ = ["ImageFeatures"]


@dataclass(frozen=True, kw_only=True)
class ImageFeatures:
    """The output of the image encoder for B images.

    Attributes:
        embedding: (B, D, h, w).
        high_resolution: () or maps at four and two times the embedding's resolution, finest first:
            (B, D / 8, 4 h, 4 w), (B, D / 4, 2 h, 2 w), already projected for the mask decoder.
        further: maps that only this network's decoder or detector reads; () for SAM and SAM 2.
        stride: pixels of the prompt frame for one cell of the embedding.
    """

    embedding: Tensor
    high_resolution: tuple[Tensor, ...] = ()
    further: tuple[Tensor, ...] = ()
    stride: int = 16

    @property
    def prompt_size(self) -> tuple[int, int]:
        """(H, W) in pixels of the frame that coordinates of prompts are in."""
        height, width = self.embedding.shape[-2:]
        return height * self.stride, width * self.stride

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The embedding and all other maps."""
        return (self.embedding, *self.high_resolution, *self.further)

    def map(self, change: Callable[[Tensor], Tensor]) -> "ImageFeatures":
        """The same with each tensor changed."""
        return replace(
            self,
            embedding=change(self.embedding),
            high_resolution=tuple(change(level) for level in self.high_resolution),
            further=tuple(change(level) for level in self.further),
        )

    def select(self, index: slice | Tensor) -> "ImageFeatures":
        """Features of some of the images, along the batch axis."""
        return self.map(lambda tensor: tensor[index])
