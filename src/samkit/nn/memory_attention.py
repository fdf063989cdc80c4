"""Memory attention of SAM 2 (2408.00714, section 4 and appendix D; rotary positions 2403.13298)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import Linear
from samkit.nn.fast.switch import fast_on_cpu, few_at_a_time
from samkit.nn.fast.tiled_attention import attend_then_project
from samkit.nn.memory import MemoryTokens
from samkit.nn.position_encoding import apply_rotary, axial_rotary, sine_positions
from samkit.sizes import MemoryConfig

__all__ = ["MemoryAttention"]

_RESIDUAL_SCALE = 0.1
# Locations at a time in the MLP, and about so many keys when they are rotated, on a CPU. For more,
# memory is taken from the system and given back to it at each turn.
_ROWS, _KEYS = 1024, 4096


class MemoryAttention(nn.Module):
    """Condition the features of a frame on the memories of an object."""

    def __init__(self, config: MemoryConfig, dim: int) -> None:
        super().__init__()
        self.head_dim = dim // config.heads
        self.theta = config.rope_theta
        self.latents, self.grid_latents = config.latents, config.grid_latents
        self.pooled = config.pooling != "none"
        self.layers = nn.ModuleList(MemoryAttentionLayer(config, dim) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim)
        if config.residual:  # untrained attention changes features little
            nn.init.constant_(self.norm.weight, _RESIDUAL_SCALE)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights; inputs must have it too."""
        return self.norm.weight.dtype

    def forward(self, features: Tensor, memory: MemoryTokens) -> Tensor:
        """Attention of features to memory.

        Args:
            features: (1 or N, D, h, w) of the current frame.
            memory: of N objects, on the same grid, or of latents.

        Returns:
            Features (N, D, h, w).
        """
        h, w = features.shape[-2:]
        positions = sine_positions(features.shape[1], h, w).to(features)
        x = (features + 0.1 * positions).flatten(2).transpose(1, 2).contiguous()
        turns = axial_rotary(self.head_dim, h, w, theta=self.theta, device=x.device)
        memory_turns = self._turns_of_latents(x.device) if self.latents else turns
        # On a CPU the memory of one object fits the cache, and needs no padding. Whether memories
        # are pooled depends on how many an object has.
        memories = memory.one_by_one() if self.pooled or fast_on_cpu(x) else [memory]
        for layer in self.layers:
            x = layer(x, memories, turns, memory_turns, (h, w))
        return self.norm(x).transpose(1, 2).unflatten(2, (h, w))

    def _turns_of_latents(self, device: torch.device) -> Tensor:
        """Rotary positions of one memory: latents that sum up all of it are not turned."""
        side, dim = self.grid_latents, self.head_dim
        whole = axial_rotary(dim, 1, 1, theta=self.theta, device=device)
        grid = axial_rotary(dim, side, side, theta=self.theta, device=device)
        return torch.cat([whole.expand(self.latents, *whole.shape[1:]), grid])


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to the memory, MLP; norms come first."""

    def __init__(self, config: MemoryConfig, dim: int) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(config, dim, dim)
        cross_attention = RotaryAttention if config.pooling == "none" else PooledAttention
        self.cross_attn_image = cross_attention(config, dim, config.dim)
        self.linear1 = Linear(dim, config.mlp_dim)
        self.linear2 = Linear(config.mlp_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        memories: list[MemoryTokens],
        turns: Tensor,
        memory_turns: Tensor,
        grid: tuple[int, int],
    ) -> Tensor:
        """(1 or N, h * w, D) and memories, of all N objects or of each alone -> (N, h * w, D)."""
        # Before the first cross-attention, all objects share one frame.
        y = self.norm1(x)
        x = x + self.dropout(self.self_attn(y, y, y, turns, turns, grid))
        if len(memories) == 1:
            return self._recall(x, memories[0], turns, memory_turns, grid)
        frames = x.expand(len(memories), -1, -1).split(1)
        return torch.cat(
            [
                self._recall(x, memory, turns, memory_turns, grid)
                for x, memory in zip(frames, memories, strict=True)
            ]
        )

    def _recall(
        self,
        x: Tensor,
        memory: MemoryTokens,
        turns: Tensor,
        memory_turns: Tensor,
        grid: tuple[int, int],
    ) -> Tensor:
        mask = None if memory.attended is None else memory.attended[:, None, None, :]
        y = self.cross_attn_image(
            self.norm2(x),
            memory.keys,
            memory.tokens,
            turns,
            memory_turns,
            grid,
            memory.pointer_tokens,
            mask,
        )
        x = x + self.dropout(y)
        y = self.norm3(x).transpose(0, 1)
        parts = [self._mlp(y[some]) for some in few_at_a_time(y, _ROWS)]
        return x + self.dropout(torch.cat(parts).transpose(0, 1))

    def _mlp(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.linear1(x, F.relu)))


class RotaryAttention(nn.Module):
    """Attention with rotary positions of queries and keys on the image grid."""

    def __init__(self, config: MemoryConfig, dim: int, key_dim: int) -> None:
        super().__init__()
        self.heads = config.heads
        self.dropout = config.dropout
        self.q_proj = Linear(dim, dim)
        self.k_proj = Linear(key_dim, dim)
        self.v_proj = Linear(key_dim, dim)
        self.out_proj = Linear(dim, dim)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        turns: Tensor,
        key_turns: Tensor,
        grid: tuple[int, int],
        unrotated_keys: int = 0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """(1 or B, h * w, C), (B, K, C'), (B, K, C') and (h, w) -> (B, h * w, C).

        Queries are rotated by `turns` and keys by `key_turns`, as of `axial_rotary`, except the
        last `unrotated_keys` keys, which have no position on the grid. Keys where mask (B, 1, 1, K)
        is False are not attended to.
        """
        q = self._rotated(self.q_proj, q, turns, 0)
        k = self._rotated(self.k_proj, k, key_turns, unrotated_keys)
        q = q.expand(k.shape[0], -1, -1, -1)
        k, v, mask = self._attended(k, v, mask, k.shape[-2] - unrotated_keys, grid)
        dropout = self.dropout if self.training else 0.0
        if self.heads == 1 and mask is None and not dropout and fast_on_cpu(q):
            x = attend_then_project(q, k, v, self.v_proj)
        else:
            x = F.scaled_dot_product_attention(q, k, self._heads(self.v_proj(v)), mask, dropout)
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def _rotated(self, projection: Linear, x: Tensor, turns: Tensor, unrotated: int) -> Tensor:
        """Project (B, n * L + unrotated, C'), and rotate by L turns -> (B, heads, N, c)."""
        rotated = x.shape[1] - unrotated
        if not fast_on_cpu(x):
            y = self._heads(projection(x))
            return torch.cat([apply_rotary(y[:, :, :rotated], turns), y[:, :, rotated:]], 2)
        y = x.new_empty(*x.shape[:2], projection.out_features)
        at_once = max(1, _KEYS // len(turns)) * len(turns)
        for start in range(0, rotated, at_once):
            some = slice(start, min(start + at_once, rotated))
            one = apply_rotary(self._heads(projection(x[:, some])), turns)
            y[:, some] = one.transpose(1, 2).flatten(2)
        y[:, rotated:] = projection(x[:, rotated:])
        return self._heads(y)

    def _attended(
        self, k: Tensor, v: Tensor, mask: Tensor | None, on_grid: int, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What is attended to, of rotated keys (B, heads, K, c), values (B, K, C') and a mask."""
        return k, v, mask

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, c)


class PooledAttention(RotaryAttention):
    """Attention to memories of which 2 x 2 cells are one (EfficientTAM, 2411.18933, section 3.2).

    One cell stands for four: ln 4 is added to its logit, or to each channel of its key, as the
    network was trained. A memory that is alone is not pooled.
    """

    def __init__(self, config: MemoryConfig, dim: int, key_dim: int) -> None:
        super().__init__(config, dim, key_dim)
        self.pooling = config.pooling

    def _attended(
        self, k: Tensor, v: Tensor, mask: Tensor | None, on_grid: int, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """As of the class before; `on_grid` keys are of memories, one after the other."""
        if on_grid <= grid[0] * grid[1]:
            return k, v, mask
        k, v = (
            torch.cat([pool_cells(x[..., :on_grid, :], grid), x[..., on_grid:, :]], -2)
            for x in (k, v)
        )
        added = k.new_zeros(k.shape[-2])
        added[: on_grid // 4] = math.log(4)
        return (k + added[:, None], v, None) if self.pooling == "keys" else (k, v, added[None])


def pool_cells(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Means of 2 x 2 cells of n maps: (..., n * h * w, C) -> (..., n * h * w / 4, C)."""
    h, w = grid
    return tokens.unflatten(-2, (-1, h // 2, 2, w // 2, 2)).mean((-4, -2)).flatten(-4, -2)
