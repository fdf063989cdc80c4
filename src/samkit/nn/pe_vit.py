"""The vision transformer of SAM 3 (2511.16719): windows, and rotary positions (2403.13298)."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.bands import in_bands, in_windows, rows_at_a_time
from samkit.nn.fast.bfloat16_attention import attend_in_bfloat16, bfloat16_is_faster
from samkit.nn.fast.linear import Linear
from samkit.nn.fast.onednn_attention import attend_by_onednn, onednn_attends_faster
from samkit.nn.layers import MLP, window_partition, window_unpartition
from samkit.nn.position_encoding import apply_rotary, axial_rotary
from samkit.sizes import PeViTConfig

__all__ = ["PeViT"]


class PeViT(nn.Module):
    """Plain transformer on one grid, with attention in windows except in a few blocks."""

    def __init__(self, config: PeViTConfig) -> None:
        super().__init__()
        self.window_size, self.theta = config.window_size, config.rope_theta
        self.head_dim = config.dim // config.heads
        patch = config.patch_size
        conv = nn.Conv2d(config.in_channels, config.dim, patch, patch, bias=False)
        self.patch_embed = nn.Sequential(OrderedDict(proj=conv))
        self.position_size = config.position_size
        rows, columns = config.position_size
        self.pos_embed = nn.Parameter(torch.zeros(1, rows * columns, config.dim))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.ln_pre = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.blocks = nn.ModuleList(
            Block(config, window_size=0 if i in config.global_blocks else config.window_size)
            for i in range(config.depth)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, C, H, W) -> the map (B, D, H / patch, W / patch) of the last block.

        H and W are multiples of the patch.
        """
        x = self.patch_embed(pixels).permute(0, 2, 3, 1)
        height, width = x.shape[1:3]
        x = self.ln_pre(x + self._positions(height, width))
        of_window = self._turns(self.window_size, self.window_size, x.device)
        of_grid = self._turns(height, width, x.device)
        for block in self.blocks:
            x = block(x, of_window if block.window_size else of_grid)
        return x.permute(0, 3, 1, 2)

    def _positions(self, height: int, width: int) -> Tensor:
        """(1, height, width, D): the learned positions, repeated as far as the grid goes."""
        rows, columns = self.position_size
        positions = self.pos_embed.unflatten(1, self.position_size)
        positions = positions.tile(1, -(-height // rows), -(-width // columns), 1)
        return positions[:, :height, :width]

    def _turns(self, height: int, width: int, device: torch.device) -> Tensor:
        """Rotary positions of a grid, which all lie within those of a window."""
        return axial_rotary(
            self.head_dim, height, width, theta=self.theta, span=self.window_size, device=device
        )


class Block(nn.Module):
    """Transformer block; a window size of 0 means global attention."""

    def __init__(self, config: PeViTConfig, *, window_size: int) -> None:
        super().__init__()
        dim = config.dim
        self.window_size = window_size
        self.norm1 = nn.LayerNorm(dim, eps=config.norm_eps)
        self.attn = RotarySelfAttention(dim, config.heads)
        self.norm2 = nn.LayerNorm(dim, eps=config.norm_eps)
        self.mlp = MLP(dim, int(dim * config.mlp_ratio), dim, activation=F.gelu)

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        """(B, H, W, D) -> the same shape; turns are those of a window, or of the grid."""
        if self.window_size:
            return in_windows(
                lambda some: self._feed_forward(self._attend(some, turns)), x, self.window_size
            )
        return in_bands(self._feed_forward, self._attend(x, turns))

    def _attend(self, x: Tensor, turns: Tensor) -> Tensor:
        if not self.window_size:
            return x + self.attn(self.norm1(x), turns)
        windows = window_partition(self.norm1(x), self.window_size)
        return x + window_unpartition(self.attn(windows, turns), *x.shape[1:3])

    def _feed_forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm2(x))


class RotarySelfAttention(nn.Module):
    """Self-attention over a (H, W) grid with rotary positions of queries and keys."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = Linear(dim, dim)
        self.k_proj = Linear(dim, dim)
        self.v_proj = Linear(dim, dim)
        self.out_proj = Linear(dim, dim)

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        """(B, H, W, D) and turns (H * W, c / 2, 2) of `axial_rotary` -> (B, H, W, D)."""
        k = apply_rotary(self._by_head(self.k_proj, x), turns)
        v = self._by_head(self.v_proj, x)
        rows = rows_at_a_time(x)
        queries = zip(x.split(rows, 1), turns.split(rows * x.shape[2]), strict=True)
        return torch.cat([self._attend(some, where, k, v) for some, where in queries], 1)

    def _attend(self, x: Tensor, turns: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries of some rows (B, h, W, D), and their turns (h * W, c / 2, 2)."""
        q = apply_rotary(self._by_head(self.q_proj, x), turns)
        if bfloat16_is_faster(q, k.shape[2]):
            y = attend_in_bfloat16(q * q.shape[-1] ** -0.5, k, v)
        elif onednn_attends_faster(q, k.shape[2]):
            y = attend_by_onednn(q, k, v)
        else:
            y = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(y.transpose(1, 2).flatten(2).unflatten(1, x.shape[1:3]))

    def _by_head(self, projection: nn.Module, x: Tensor) -> Tensor:
        """(B, H, W, D) -> (B, heads, H * W, c)."""
        projected: Tensor = projection(x)
        return projected.flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)
