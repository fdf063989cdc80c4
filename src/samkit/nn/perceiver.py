"""The 2D spatial perceiver of EdgeTAM (2501.07256, section 3.2): a memory in few tokens.

A map becomes tokens that sum up all of it, and tokens that sum up a window each. Both kinds are
learned queries, the latents, and go through the same layers (2103.03206).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.position_encoding import sine_positions
from samkit.sizes import MemoryConfig

__all__ = ["Perceiver"]

_MLP_RATIO = 4


class Perceiver(nn.Module):
    """Maps (N, d, h, w) -> tokens (N, latents + grid_latents ^ 2, d)."""

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__()
        dim = config.dim
        self.side = config.grid_latents
        self.latents = nn.Parameter(torch.randn(config.latents, dim))
        self.latents_2d = nn.Parameter(torch.randn(config.grid_latents**2, dim))
        self.layers = nn.ModuleList(PerceiverLayer(dim) for _ in range(config.perceiver_layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, maps: Tensor) -> Tensor:
        """Tokens of the whole maps first; those of windows follow row by row.

        The height and width of the maps are multiples of `grid_latents`.
        """
        return self.norm(torch.cat([self._whole(maps), self._windows(maps)], 1))

    def _whole(self, maps: Tensor) -> Tensor:
        positions = sine_positions(maps.shape[1], *maps.shape[-2:]).to(maps)
        tokens, where = (each.flatten(2).transpose(1, 2) for each in (maps, positions))
        x = self.latents.expand(maps.shape[0], -1, -1)
        for layer in self.layers:
            x = layer(x, tokens, where)
        return x

    def _windows(self, maps: Tensor) -> Tensor:
        N, d, h, w = maps.shape
        side = self.side
        windows = maps.view(N, d, side, h // side, side, w // side).permute(0, 2, 4, 3, 5, 1)
        tokens = windows.reshape(N * side * side, -1, d)
        x = self.latents_2d.expand(N, -1, -1).reshape(-1, 1, d)
        for layer in self.layers:
            x = layer(x, tokens, None)
        return x.view(N, -1, d)


class PerceiverLayer(nn.Module):
    """Latents attend to the map, then to each other; an MLP after each."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attn = CrossAttention(dim)
        self.ff = mlp(dim)
        self.self_attn = SelfAttention(dim)
        self.self_ff = mlp(dim)

    def forward(self, latents: Tensor, tokens: Tensor, positions: Tensor | None) -> Tensor:
        """(B, L, d), (B, K, d) and (1, K, d) or None -> (B, L, d)."""
        x = latents + self.attn(latents, tokens, positions)
        x = x + self.ff(x)
        x = x + self.self_attn(x)
        return x + self.self_ff(x)


class Projections(nn.Module):
    """Attention of one head, without biases."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(dim, dim, bias=False)
        self.to_v = nn.Linear(dim, dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def attend(self, queries: Tensor, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        """Positions are added to projected keys, and to projected values too."""
        q, k, v = self.to_q(queries), self.to_k(tokens), self.to_v(tokens)
        if positions is not None:
            k, v = k + positions, v + positions
        return self.to_out(F.scaled_dot_product_attention(q, k, v))


class CrossAttention(Projections):
    """Of latents to a map."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.norm_x = nn.LayerNorm(dim)
        self.norm_latents = nn.LayerNorm(dim)

    def forward(self, latents: Tensor, tokens: Tensor, positions: Tensor | None) -> Tensor:
        return self.attend(self.norm_latents(latents), self.norm_x(tokens), positions)


class SelfAttention(Projections):
    """Of latents to each other."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.norm(latents)
        return self.attend(x, x)


def mlp(dim: int) -> nn.Sequential:
    """Norm, and two linear layers without biases."""
    hidden = dim * _MLP_RATIO
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, hidden, bias=False),
        nn.GELU(),
        nn.Linear(hidden, dim, bias=False),
    )
