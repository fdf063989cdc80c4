"""Residual bottleneck block (1512.03385) with group norm (1803.08494)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import pointwise
from samkit.nn.fast.switch import fast_on_cpu

__all__ = ["Bottleneck"]

_GROUPS = 8


class ConvNorm(nn.Module):
    """Convolution without bias, then group norm."""

    def __init__(self, in_dim: int, out_dim: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_dim, out_dim, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        maps = pointwise(self.conv, x) if self.conv.kernel_size == (1, 1) else self.conv(x)
        return self.norm(maps)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, the middle one at half the channels, and a shortcut."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduce = ConvNorm(dim, dim // 2)
        self.conv = ConvNorm(dim // 2, dim // 2, 3)
        self.expand = ConvNorm(dim // 2, dim)
        # A block starts close to the identity, so that a deep stack learns from the first step.
        nn.init.constant_(self.expand.norm.weight, 0.2)

    def forward(self, x: Tensor) -> Tensor:
        if fast_on_cpu(x):
            x = x.contiguous(
                memory_format=torch.channels_last
            )  # in which 1x1 convolutions are fast
        y = F.relu(self.conv(F.relu(self.reduce(x))))
        return F.relu(x + self.expand(y))
