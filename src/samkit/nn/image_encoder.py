"""Image encoder of SAM: a ViT with windowed and global attention (2304.02643, appendix A)."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.bands import in_bands, in_windows
from samkit.nn.fast.bfloat16_attention import attend_on_grid_in_bfloat16, bfloat16_is_faster
from samkit.nn.fast.linear import Linear
from samkit.nn.fast.onednn_attention import attend_on_grid_by_onednn, onednn_attends_faster
from samkit.nn.layers import (
    MLP,
    DropPath,
    LayerNorm2d,
    PatchEmbed,
    window_partition,
    window_unpartition,
)
from samkit.nn.norms import block_norm
from samkit.sizes import Activation, Resampling, ViTConfig

__all__ = ["ViTImageEncoder", "resize_offsets", "resize_positions"]

# Elements of the bias that are computed at a time: to stay in the cache; in graphs, where each part
# is a few nodes more, not to take too much memory.
_BIAS_ELEMENTS, _TRACED_BIAS_ELEMENTS = 2**21, 2**24


def _linear(x: Tensor) -> Tensor:
    return x


_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "linear": _linear,
    "mish": F.mish,
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
}


class ViTImageEncoder(nn.Module):
    """Vision transformer, and a convolutional neck that projects to the decoder's channels."""

    def __init__(self, config: ViTConfig, out_dim: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        patch = config.patch_size
        self.position_resampling = config.position_resampling
        grid = (image_size[0] // patch, image_size[1] // patch)
        self.patch_embed = PatchEmbed(config.in_channels, config.dim, patch, stride=patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, *grid, config.dim))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.dropout = nn.Dropout(config.dropout)
        rates = torch.linspace(0, config.drop_path, config.depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(
            Block(
                config,
                window_size=0 if i in config.global_blocks else config.window_size,
                grid=grid,
                drop_path=rates[i],
            )
            for i in range(config.depth)
        )
        self.neck = neck(config.dim, out_dim)
        self.early_block = min(config.global_blocks, default=config.depth - 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, C, H, W) -> features (B, D, H / patch, W / patch)."""
        return self.with_early_map(pixels)[0]

    def with_early_map(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Features, and the map (B, C, H / patch, W / patch) after the first global attention."""
        x = self.patch_embed(pixels)
        positions = resize_positions(self.pos_embed, x.shape[1:3], self.position_resampling)
        x = self.dropout(x + positions.to(x.dtype))
        early = x
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == self.early_block:
                early = x
        return self.neck(x.permute(0, 3, 1, 2)), early.permute(0, 3, 1, 2)


def resize_positions(positions: Tensor, grid: Sequence[int], mode: Resampling) -> Tensor:
    """Absolute positions (1, h, w, C) -> (1, *grid, C), interpolated if grids differ."""
    if positions.shape[1:3] == tuple(grid):
        return positions
    maps = positions.permute(0, 3, 1, 2).float()
    maps = F.interpolate(maps, tuple(grid), mode=mode, align_corners=False)
    return maps.permute(0, 2, 3, 1)


def neck(in_dim: int, out_dim: int) -> nn.Sequential:
    """The two convolutions after SAM's image encoders, each followed by a layer norm."""
    return nn.Sequential(
        nn.Conv2d(in_dim, out_dim, 1, bias=False),
        LayerNorm2d(out_dim),
        nn.Conv2d(out_dim, out_dim, 3, padding=1, bias=False),
        LayerNorm2d(out_dim),
    )


class Block(nn.Module):
    """Transformer block; a window size of 0 means global attention."""

    def __init__(
        self, config: ViTConfig, *, window_size: int, grid: tuple[int, int], drop_path: float
    ) -> None:
        super().__init__()
        self.window_size = window_size
        size = (window_size, window_size) if window_size else grid
        self.norms_whole_image = config.norm in ("group_norm", "group_norm_1grp")
        self.norm1 = block_norm(config.norm, config.dim, config.norm_eps)
        self.attn = RelativeAttention(config, size, window_size=window_size)
        self.norm2 = block_norm(config.norm, config.dim, config.norm_eps)
        self.mlp = MLP(
            config.dim,
            int(config.dim * config.mlp_ratio),
            config.dim,
            activation=_ACTIVATIONS[config.activation],
            dropout=config.dropout,
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.norms_whole_image:
            return self._feed_forward(self._attend(x))
        if self.window_size:
            return in_windows(
                lambda some: self._feed_forward(self._attend(some)), x, self.window_size
            )
        return in_bands(self._feed_forward, self._attend(x))

    def _attend(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.attn(self.norm1(x)))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.mlp(self.norm2(x)))


class RelativeAttention(nn.Module):
    """Self-attention with decomposed relative positions (2112.01526, 4.1).

    It is in windows (0: global); `size` (H, W) is that of one, or of the grid.
    """

    def __init__(self, config: ViTConfig, size: tuple[int, int], *, window_size: int = 0) -> None:
        super().__init__()
        self.window_size = window_size
        head_dim = config.dim // config.heads
        self.heads = config.heads
        self.qkv = Linear(config.dim, config.dim * 3, bias=config.qkv_bias)
        self.proj = Linear(config.dim, config.dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * size[0] - 1, head_dim))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * size[1] - 1, head_dim))
        self.attention_dropout = config.attention_dropout
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> the same shape."""
        qkv, (height, width) = self.qkv(x), x.shape[1:3]
        if self.window_size:
            # Projected before they are padded: what the layer makes of zeros is its bias.
            windows = self._on_grid(window_partition(qkv, self.window_size, self.qkv.bias))
            x = window_unpartition(windows, height, width)
        else:
            x = self._on_grid(qkv)
        return self.dropout(self.proj(x))

    def _on_grid(self, qkv: Tensor) -> Tensor:
        """(B, H, W, 3 * C) -> (B, H, W, C), before the projection."""
        B, H, W, _ = qkv.shape
        qkv = qkv.flatten(1, 2).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, H * W, c)
        grid = q.unflatten(2, (H, W))
        row_bias = torch.einsum("bnhwc,hkc->bnhwk", grid, relative_table(self.rel_pos_h, H))
        column_bias = torch.einsum("bnhwc,wkc->bnhwk", grid, relative_table(self.rel_pos_w, W))
        x = self._attend(q, k, v, row_bias.contiguous(), column_bias.contiguous())
        return x.transpose(1, 2).reshape(B, H, W, -1)

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, row_bias: Tensor, column_bias: Tensor
    ) -> Tensor:
        B, heads, H, W, _ = row_bias.shape
        dropout = self.attention_dropout if self.training else 0.0
        if not dropout and bfloat16_is_faster(q, H * W):
            return attend_on_grid_in_bfloat16(q, k, v, row_bias, column_bias)
        if not dropout and onednn_attends_faster(q, H * W):
            return attend_on_grid_by_onednn(q, k, v, row_bias, column_bias)
        most = _TRACED_BIAS_ELEMENTS if torch.compiler.is_compiling() else _BIAS_ELEMENTS
        rows = max(1, most // (B * heads * W * H * W))
        parts = []
        for top in range(0, H, rows):
            part = slice(top, top + rows)
            bias = row_bias[:, :, part, :, :, None] + column_bias[:, :, part, :, None, :]
            bias = bias.view(B, heads, -1, H * W)
            query = q[:, :, top * W : (top + rows) * W]
            parts.append(F.scaled_dot_product_attention(query, k, v, bias, dropout))
        return torch.cat(parts, 2) if len(parts) > 1 else parts[0]


def relative_table(positions: Tensor, size: int) -> Tensor:
    """(L, C) learned offsets, of any grid -> (size, size, C): row q, column k is offset q - k."""
    positions = resize_offsets(positions, size)
    index = torch.arange(size, device=positions.device)
    return positions[index[:, None] - index[None, :] + size - 1]


def resize_offsets(positions: Tensor, size: int) -> Tensor:
    """Offsets (L, C) -> (2 * size - 1, C), interpolated linearly if grids differ."""
    if positions.shape[0] == 2 * size - 1:
        return positions
    resized = F.interpolate(positions.float().T[None], 2 * size - 1, mode="linear")
    return resized[0].T.to(positions.dtype)
