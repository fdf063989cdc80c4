"""Memory attention of SAM 2 (2408.00714, section 4 and appendix D; rotary positions 2403.13298)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.config import MemoryConfig
from samkit.nn.position_encoding import apply_rotary, axial_rotary, sine_positions

__all__ = ["MemoryAttention"]


class MemoryAttention(nn.Module):
    """Condition the features of a frame on what is remembered of an object."""

    def __init__(self, config: MemoryConfig, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryAttentionLayer(config, dim) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        features: Tensor,
        memory: Tensor,
        memory_positions: Tensor,
        pointer_tokens: int,
        attended: Tensor | None = None,
    ) -> Tensor:
        """Let features look at memory.

        Args:
            features: (N, D, h, w) of the current frame, one entry per object.
            memory: (N, M, d): memories on the same grid (each h * w tokens, one after the
                other), then `pointer_tokens` tokens of object pointers.
            memory_positions: (N, M, d), spatial and temporal encoding of the memory.
            pointer_tokens: how many tokens at the end of memory have no place in the image.
            attended: (N, M) bool, which tokens of memory exist; None for all.

        Returns:
            Features (N, D, h, w).
        """
        h, w = features.shape[-2:]
        positions = sine_positions(features.shape[1], h, w).to(features)
        x = (features + 0.1 * positions).flatten(2).transpose(1, 2)
        keys = memory + memory_positions
        mask = None if attended is None else attended[:, None, None, :]
        for layer in self.layers:
            x = layer(x, keys, memory, (h, w), pointer_tokens, mask)
        return self.norm(x).transpose(1, 2).unflatten(2, (h, w))


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to the memory, MLP; norms come first."""

    def __init__(self, config: MemoryConfig, dim: int) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(config, dim, dim)
        self.cross_attn_image = RotaryAttention(config, dim, config.dim)
        self.linear1 = nn.Linear(dim, config.mlp_dim)
        self.linear2 = nn.Linear(config.mlp_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        keys: Tensor,
        values: Tensor,
        grid: tuple[int, int],
        pointer_tokens: int,
        mask: Tensor | None = None,
    ) -> Tensor:
        y = self.norm1(x)
        x = x + self.dropout(self.self_attn(y, y, y, grid, 0))
        y = self.norm2(x)
        x = x + self.dropout(self.cross_attn_image(y, keys, values, grid, pointer_tokens, mask))
        y = F.relu(self.linear1(self.norm3(x)))
        return x + self.dropout(self.linear2(self.dropout(y)))


class RotaryAttention(nn.Module):
    """Attention whose queries and keys are rotated by their place on the image grid."""

    def __init__(self, config: MemoryConfig, dim: int, key_dim: int) -> None:
        super().__init__()
        self.heads = config.heads
        self.theta = config.rope_theta
        self.dropout = config.dropout
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(key_dim, dim)
        self.v_proj = nn.Linear(key_dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        grid: tuple[int, int],
        unplaced_keys: int,
        mask: Tensor | None = None,
    ) -> Tensor:
        """(B, h * w, C), (B, K, C'), (B, K, C') -> (B, h * w, C).

        The last `unplaced_keys` keys have no place on the grid and are not rotated. Where mask
        (B, 1, 1, K) is False nothing is attended to.
        """
        q, k, v = (self._heads(x) for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v)))
        angles = axial_rotary(q.shape[-1], *grid, theta=self.theta).to(q.device)
        placed = k.shape[-2] - unplaced_keys
        q = apply_rotary(q, angles)
        k = torch.cat([apply_rotary(k[:, :, :placed], angles), k[:, :, placed:]], 2)
        dropout = self.dropout if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, c)
