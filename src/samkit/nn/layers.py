"""Small layers that several networks share."""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import Linear
from samkit.nn.fast.switch import fast_on_cpu

__all__ = [
    "MLP",
    "DropPath",
    "LayerNorm2d",
    "PatchEmbed",
    "window_partition",
    "window_unpartition",
]


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of a (B, C, H, W) map."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        x = centred * torch.rsqrt(centred.square().mean(1, keepdim=True) + self.eps)
        return x * self.weight[:, None, None] + self.bias[:, None, None]

    def channels_last(self, x: Tensor) -> Tensor:
        """The same where the channels are the last axis."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class PatchEmbed(nn.Module):
    """A strided convolution: (B, C, H, W) -> (B, H / stride, W / stride, dim)."""

    def __init__(
        self, in_channels: int, dim: int, kernel: int, *, stride: int, padding: int = 0
    ) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, kernel, stride, padding)

    def forward(self, pixels: Tensor) -> Tensor:
        if fast_on_cpu(pixels):  # then the result has channels last, and needs no copy
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        return self.proj(pixels).permute(0, 2, 3, 1).contiguous()


class MLP(nn.Module):
    """Linear layers with an activation between them; optionally a sigmoid at the end."""

    def __init__(
        self,
        in_dim: int,
        hidden_dim: int,
        out_dim: int,
        depth: int = 2,
        *,
        activation: Callable[[Tensor], Tensor] = F.relu,
        sigmoid: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        dims = [in_dim, *[hidden_dim] * (depth - 1), out_dim]
        self.layers = nn.ModuleList(Linear(a, b) for a, b in pairwise(dims))
        self.activation = activation
        self.sigmoid = sigmoid
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.dropout(layer(x, self.activation))
        x = self.dropout(self.layers[-1](x))
        return x.sigmoid() if self.sigmoid else x


class DropPath(nn.Module):
    """Stochastic depth (1603.09382): in training, drop whole samples of a residual branch."""

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        return x * x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(keep) / keep


def window_partition(x: Tensor, size: int, fill: Tensor | None = None) -> Tensor:
    """(B, H, W, C), padded at the bottom and right -> (B * windows, size, size, C).

    The padding is `fill` (C,), or zero.
    """
    pad_h, pad_w = -x.shape[1] % size, -x.shape[2] % size
    if pad_h or pad_w:
        fill = x.new_zeros(x.shape[3]) if fill is None else fill.to(x.dtype)
        x = torch.cat([x, fill.expand(x.shape[0], pad_h, *x.shape[2:])], 1)
        x = torch.cat([x, fill.expand(*x.shape[:2], pad_w, -1)], 2)
    B, H, W, C = x.shape
    x = x.view(B, H // size, size, W // size, size, C)
    return x.transpose(2, 3).reshape(-1, size, size, C)


def window_unpartition(windows: Tensor, height: int, width: int) -> Tensor:
    """(B * windows, size, size, C) -> (B, height, width, C), without the padding."""
    size, C = windows.shape[1], windows.shape[-1]
    rows, columns = -(-height // size), -(-width // size)
    x = windows.view(-1, rows, columns, size, size, C)
    x = x.transpose(2, 3).reshape(-1, rows * size, columns * size, C)
    return x[:, :height, :width]
