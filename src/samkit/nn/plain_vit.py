"""The plain vision transformer of EfficientTAM (2411.18933, section 3.1): one map, no pyramid."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import Linear
from samkit.nn.fast.tiled_attention import weighted_sums
from samkit.nn.image_encoder import neck, resize_positions
from samkit.nn.layers import MLP, PatchEmbed, window_partition, window_unpartition
from samkit.sizes import PlainViTConfig

__all__ = ["PlainNeck", "PlainViT"]

_MLP_RATIO, _NORM_EPS = 4, 1e-6


class PlainViT(nn.Module):
    """Transformer on one grid, with attention in windows except in a few blocks."""

    def __init__(self, config: PlainViTConfig) -> None:
        super().__init__()
        dim, patch = config.dim, config.stride
        self.position_size = config.position_size
        self.patch_embed = PatchEmbed(config.in_channels, dim, patch, stride=patch)
        rows, columns = config.position_size
        # The first is that of a class token, which released files have and nothing uses.
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + rows * columns, dim))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.blocks = nn.ModuleList(
            Block(config, window_size=0 if i in config.global_blocks else config.window_size)
            for i in range(config.depth)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, C, H, W) -> the map (B, D, H / 16, W / 16) of the last block."""
        x = self.patch_embed(pixels)
        positions = self.pos_embed[:, 1:].unflatten(1, self.position_size)
        x = x + resize_positions(positions, x.shape[1:3], "bicubic").to(x.dtype)
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2)


class PlainNeck(nn.Module):
    """SAM's neck, by the names of released files."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        names = ("conv_1x1", "norm_0", "conv_3x3", "norm_1")
        layers = OrderedDict(zip(names, neck(in_dim, out_dim), strict=True))
        self.convs = nn.ModuleList([nn.Sequential(layers)])

    def forward(self, x: Tensor, heads: tuple[()] = ()) -> list[Tensor]:
        """(B, C, h, w) -> the only level, (B, D, h, w); there are no finer ones with heads."""
        return [level(x) for level in self.convs]


class Block(nn.Module):
    """Transformer block; a window size of 0 means global attention."""

    def __init__(self, config: PlainViTConfig, *, window_size: int) -> None:
        super().__init__()
        dim = config.dim
        self.window_size = window_size
        self.norm1 = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.attn = SelfAttention(dim, config.heads)
        self.norm2 = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.mlp = MLP(dim, _MLP_RATIO * dim, dim, activation=F.gelu)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, D) -> the same shape."""
        height, width = x.shape[1:3]
        y = self.norm1(x)
        if self.window_size:
            y = self.attn(window_partition(y, self.window_size))
            y = window_unpartition(y, height, width)
        else:
            y = self.attn(y)
        x = x + y
        return x + self.mlp(self.norm2(x))


class SelfAttention(nn.Module):
    """Self-attention over a (H, W) grid, without relative positions."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(dim, dim * 3)
        self.proj = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, D) -> the same shape."""
        B, H, W, D = x.shape
        qkv = self.qkv(x).view(B, H * W, 3, self.heads, D // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, H * W, c)
        x = weighted_sums(q, k, v).transpose(1, 2).reshape(B, H, W, D)
        return self.proj(x)
