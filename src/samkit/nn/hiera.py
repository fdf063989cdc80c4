"""Hiera, the hierarchical image encoder of SAM 2 (2306.00989; windowed positions 2311.05613)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.bands import in_bands, in_windows
from samkit.nn.fast.bfloat16_attention import attend_in_bfloat16, bfloat16_is_faster
from samkit.nn.fast.interpolation import interpolate_by_products
from samkit.nn.fast.linear import Linear
from samkit.nn.fast.onednn_attention import attend_by_onednn, onednn_attends_faster
from samkit.nn.fast.switch import fast_on_cpu
from samkit.nn.layers import MLP, DropPath, PatchEmbed, window_partition, window_unpartition
from samkit.sizes import HieraConfig

__all__ = ["Hiera"]


class Hiera(nn.Module):
    """Four stages of transformer blocks; each stage halves the grid and doubles the channels."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(config.in_channels, config.dim, 7, stride=4, padding=3)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.dim, *config.position_size))
        window = config.window_sizes[0]
        self.pos_embed_window = nn.Parameter(torch.zeros(1, config.dim, window, window))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.pos_embed_window, std=0.02)

        rates = iter(torch.linspace(0, config.drop_path, sum(config.stages), device="cpu").tolist())
        self.blocks = nn.ModuleList()
        self.stage_ends: list[int] = []
        dim = config.dim
        for stage, depth in enumerate(config.stages):
            for i in range(depth):
                # The block that pools has the windows of the stage before it.
                pools = stage > 0 and i == 0
                window = config.window_sizes[stage - 1 if pools else stage]
                self.blocks.append(
                    Block(
                        dim,
                        config.stage_dims[stage],
                        heads=config.heads * 2**stage,
                        window_size=0 if len(self.blocks) in config.global_blocks else window,
                        pools=pools,
                        mlp_ratio=config.mlp_ratio,
                        drop_path=next(rates),
                    )
                )
                dim = config.stage_dims[stage]
            self.stage_ends.append(len(self.blocks) - 1)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Normalised pixels (B, C, H, W) -> maps (B, C_i, H / s, W / s) of strides 4, 8, 16, 32."""
        x = self.patch_embed(pixels)
        x = x + self._positions(x.shape[1], x.shape[2]).to(x.dtype)
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.stage_ends:
                maps.append(x.permute(0, 3, 1, 2))
        return maps

    def _positions(self, height: int, width: int) -> Tensor:
        """(1, height, width, C): a coarse map interpolated to the grid plus a tiled window."""
        window = self.pos_embed_window.permute(0, 2, 3, 1)
        rows, columns = -(-height // window.shape[1]), -(-width // window.shape[2])
        tiled = window.tile(1, rows, columns, 1)[:, :height, :width]
        coarse = self.pos_embed.float()
        if fast_on_cpu(coarse):
            coarse = interpolate_by_products(coarse, (height, width))
        else:
            coarse = F.interpolate(coarse, (height, width), mode="bicubic")
        return coarse.permute(0, 2, 3, 1) + tiled


class Block(nn.Module):
    """Transformer block in windows (0: global); the first of a stage pools its queries by 2."""

    def __init__(
        self,
        dim: int,
        out_dim: int,
        *,
        heads: int,
        window_size: int,
        pools: bool,
        mlp_ratio: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.pools = pools
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = PooledAttention(dim, out_dim, heads=heads, window_size=window_size, pools=pools)
        self.norm2 = nn.LayerNorm(out_dim, eps=1e-6)
        self.mlp = MLP(out_dim, int(out_dim * mlp_ratio), out_dim, activation=F.gelu)
        self.drop_path = DropPath(drop_path)
        if pools:
            self.proj = Linear(dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, dim) -> (B, H, W, out_dim), or half the grid where the block pools."""
        if self.training:  # drops whole samples
            return self._feed_forward(self._attend(x))
        if self.window_size:
            return in_windows(
                lambda some: self._feed_forward(self._attend(some)), x, self.window_size
            )
        return in_bands(self._feed_forward, self._attend(x))

    def _attend(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        shortcut = pool(self.proj(y)) if self.pools else x
        return shortcut + self.drop_path(self.attn(y))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PooledAttention(nn.Module):
    """Self-attention in windows (0: global), whose queries may be max-pooled to half the grid."""

    def __init__(
        self, dim: int, out_dim: int, *, heads: int, window_size: int, pools: bool
    ) -> None:
        super().__init__()
        self.heads = heads
        self.window_size = window_size
        self.pools = pools
        self.qkv = Linear(dim, out_dim * 3)
        self.proj = Linear(out_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, dim) -> (B, H, W, out_dim), or half the grid where queries are pooled."""
        if not self.window_size:
            return self.proj(self._attend(self.qkv(x)))
        # Projected before they are padded: what the layer makes of zeros is its bias.
        windows = window_partition(self.qkv(x), self.window_size, self.qkv.bias)
        step = 2 if self.pools else 1
        found = window_unpartition(self._attend(windows), x.shape[1] // step, x.shape[2] // step)
        return self.proj(found)

    def _attend(self, qkv: Tensor) -> Tensor:
        """(B, H, W, 3 * out_dim) -> (B, H, W, out_dim), before the projection."""
        q, k, v = qkv.chunk(3, -1)
        if self.pools:
            q = pool(q)
        B, H, W, _ = q.shape
        q, k, v = (
            t.flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v)
        )
        if bfloat16_is_faster(q, k.shape[2]):
            x = attend_in_bfloat16(q * q.shape[-1] ** -0.5, k, v)
        elif onednn_attends_faster(q, k.shape[2]):
            x = attend_by_onednn(q, k, v)
        else:
            x = F.scaled_dot_product_attention(q, k, v)
        return x.transpose(1, 2).reshape(B, H, W, -1)


def pool(x: Tensor) -> Tensor:
    """2x2 max pooling of (B, H, W, C)."""
    if fast_on_cpu(x) and x.shape[1] % 2 == x.shape[2] % 2 == 0:
        rows = torch.maximum(x[:, ::2], x[:, 1::2])
        return torch.maximum(rows[:, :, ::2], rows[:, :, 1::2])
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
