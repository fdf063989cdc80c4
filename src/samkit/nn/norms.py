"""Norms over the last axis of (B, H, W, C), by name."""

import torch
from torch import Tensor, nn

from samkit.sizes.image_encoders import NORM_GROUPS, Norm

__all__ = ["block_norm"]


def block_norm(name: Norm, channels: int, eps: float) -> nn.Module:
    """A norm from (B, H, W, C) to the same shape."""
    if name == "layer_norm":
        return nn.LayerNorm(channels, eps=eps)
    if name == "group_norm":
        return _GroupNorm(NORM_GROUPS, channels, eps=eps)
    if name == "group_norm_1grp":
        return _GroupNorm(1, channels, eps=eps)
    if name == "batch_norm":
        return _BatchNorm(channels, eps=eps)
    return _Affine(channels) if name == "affine" else nn.Identity()


class _Affine(nn.Module):
    """Scale and shift of each channel (2105.03404), without statistics."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.bias


class _GroupNorm(nn.GroupNorm):
    """Group norm (1803.08494): statistics of one image over all places and a group's channels."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(-1, 1)).movedim(1, -1)


class _BatchNorm(nn.BatchNorm2d):
    """Batch norm (1502.03167); in training it follows the statistics of the batches."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(-1, 1)).movedim(1, -1)
