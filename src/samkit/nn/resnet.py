"""Residual network of bottleneck blocks (1512.03385) with group norm (1803.08494).

The image encoder of `pico`: from scratch, with few images and little time, convolutions learn much
faster than Hiera's attention. Group norm needs no statistics of other images: the features of an
image are the same alone and in a batch, in training and in evaluation.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.sizes import ResNetConfig

__all__ = ["Bottleneck", "ResNet"]


class ResNet(nn.Module):
    """A stem of stride 4, then four stages; each halves the grid of the one before."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        dims, groups = config.stage_dims, config.groups
        self.stem = nn.Sequential(
            ConvNorm(config.in_channels, dims[0] // 2, 3, stride=2, groups=groups),
            nn.ReLU(),
            ConvNorm(dims[0] // 2, dims[0], 3, stride=2, groups=groups),
            nn.ReLU(),
        )
        self.downsamples = nn.ModuleList(
            ConvNorm(a, b, 2, stride=2, groups=groups) for a, b in pairwise(dims)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(Bottleneck(dim, groups) for _ in range(depth)))
            for dim, depth in zip(dims, config.depths, strict=True)
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Normalised pixels (B, C, H, W) -> maps (B, C_i, H / s, W / s) of strides 4, 8, 16, 32."""
        x = self.stem(pixels.contiguous(memory_format=torch.channels_last))
        maps = [self.stages[0](x)]
        for downsample, stage in zip(self.downsamples, self.stages[1:], strict=True):
            maps.append(stage(downsample(maps[-1])))
        return maps


class ConvNorm(nn.Module):
    """Convolution without bias, then group norm; where it strides by its own size, unpadded."""

    def __init__(
        self, in_dim: int, out_dim: int, kernel: int = 1, *, stride: int = 1, groups: int
    ) -> None:
        super().__init__()
        padding = 0 if kernel == stride else kernel // 2
        self.conv = nn.Conv2d(in_dim, out_dim, kernel, stride, padding, bias=False)
        self.norm = nn.GroupNorm(groups, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, the middle one at half the channels, and a shortcut."""

    def __init__(self, dim: int, groups: int = 8) -> None:
        super().__init__()
        self.reduce = ConvNorm(dim, dim // 2, groups=groups)
        self.conv = ConvNorm(dim // 2, dim // 2, 3, groups=groups)
        self.expand = ConvNorm(dim // 2, dim, groups=groups)
        # A block starts close to the identity, so that a deep stack learns from the first step.
        nn.init.constant_(self.expand.norm.weight, 0.2)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv(F.relu(self.reduce(x))))
        return F.relu(x + self.expand(y))
