"""Memory attention of SAM 2 (2408.00714, section 4 and appendix D; rotary positions 2403.13298)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.bfloat16_attention import attend_in_bfloat16, pays_in_bfloat16
from samkit.nn.layers import infers_on_cpu
from samkit.nn.memory import MemoryTokens
from samkit.nn.position_encoding import apply_rotary, axial_rotary, sine_positions
from samkit.sizes import MemoryConfig

__all__ = ["MemoryAttention", "weighted_sums"]

_RESIDUAL_SCALE = 0.1
# Queries and keys at a time: their scores stay in the cache.
_QUERIES, _KEYS = 512, 1024


class MemoryAttention(nn.Module):
    """Condition the features of a frame on what is remembered of an object."""

    def __init__(self, config: MemoryConfig, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryAttentionLayer(config, dim) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim)
        if config.residual:  # what is not learned yet disturbs little
            nn.init.constant_(self.norm.weight, _RESIDUAL_SCALE)

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights, which its input has to have."""
        return self.norm.weight.dtype

    def forward(self, features: Tensor, memory: MemoryTokens) -> Tensor:
        """Let features look at memory.

        Args:
            features: (1 or N, D, h, w) of the current frame.
            memory: of N objects, on the same grid.

        Returns:
            Features (N, D, h, w).
        """
        h, w = features.shape[-2:]
        positions = sine_positions(features.shape[1], h, w).to(features)
        x = (features + 0.1 * positions).flatten(2).transpose(1, 2)
        # On a CPU the memory of one object fits the cache, and needs no filling up.
        memories = memory.one_by_one() if infers_on_cpu(x) else [memory]
        for layer in self.layers:
            x = layer(x, memories, (h, w))
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

    def forward(self, x: Tensor, memories: list[MemoryTokens], grid: tuple[int, int]) -> Tensor:
        # Until something is remembered of them, all objects share one frame.
        y = self.norm1(x)
        x = x + self.dropout(self.self_attn(y, y, y, grid))
        frames = x.split(1) if len(x) == len(memories) else [x] * len(memories)
        return torch.cat(
            [self._recall(x, memory, grid) for x, memory in zip(frames, memories, strict=True)]
        )

    def _recall(self, x: Tensor, memory: MemoryTokens, grid: tuple[int, int]) -> Tensor:
        mask = None if memory.attended is None else memory.attended[:, None, None, :]
        y = self.cross_attn_image(
            self.norm2(x), memory.keys, memory.tokens, grid, memory.pointer_tokens, mask
        )
        x = x + self.dropout(y)
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
        unplaced_keys: int = 0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """(1 or B, h * w, C), (B, K, C'), (B, K, C') -> (B, h * w, C).

        The last `unplaced_keys` keys have no place on the grid and are not rotated. Where mask
        (B, 1, 1, K) is False nothing is attended to.
        """
        q, k = (self._heads(x) for x in (self.q_proj(q), self.k_proj(k)))
        turns = axial_rotary(q.shape[-1], *grid, theta=self.theta, device=q.device)
        placed = k.shape[-2] - unplaced_keys
        q = apply_rotary(q, turns).expand(len(k), -1, -1, -1)
        k = torch.cat([apply_rotary(k[:, :, :placed], turns), k[:, :, placed:]], 2)
        dropout = self.dropout if self.training else 0.0
        if self.heads == 1 and mask is None and not dropout and infers_on_cpu(q):
            if v.shape[-1] < q.shape[-1]:
                # The published order with fewer products: the weighted sum of projected values is
                # the projection of the weighted sum.
                x = self.v_proj(weighted_sums(q, k, v[:, None]))
            else:
                x = weighted_sums(q, k, self.v_proj(v)[:, None])
        else:
            x = F.scaled_dot_product_attention(q, k, self._heads(self.v_proj(v)), mask, dropout)
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, c)


def weighted_sums(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention in the way that is fastest on a CPU.

    Args:
        q, k, v: (B, 1, L, c), (B, 1, K, c), (B, 1, K, d), where d may be less than c.

    Returns:
        (B, 1, L, d).
    """
    if pays_in_bfloat16(q, k.shape[-2]):
        return attend_in_bfloat16(q * q.shape[-1] ** -0.5, k, v)
    if v.shape[-1] == q.shape[-1]:
        return F.scaled_dot_product_attention(q, k, v)
    scaled = q * q.shape[-1] ** -0.5
    found = [_attend_in_tiles(*one) for one in zip(scaled[:, 0], k[:, 0], v[:, 0], strict=True)]
    return torch.stack(found)[:, None]


def _attend_in_tiles(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention (L, c), (K, c), (K, d) -> (L, d), some queries and some keys at a time.

    Each tile has its own softmax; how much of the whole it holds is the softmax over the tiles'
    sums of exponentials, as in FlashAttention (2205.14135, section 3.1).
    """
    found = q.new_empty(len(q), v.shape[1])
    for rows, into in zip(q.split(_QUERIES), found.split(_QUERIES), strict=True):
        sums, weights = [], []
        for keys, values in zip(k.split(_KEYS), v.split(_KEYS), strict=True):
            scores = rows @ keys.t()
            shares = scores.softmax(-1)
            sums.append(shares @ values)
            # The largest share is exp(largest score) / sum of exponentials.
            weights.append(scores.amax(-1) - shares.amax(-1).log())
        shares = torch.stack(weights).softmax(0)
        into.copy_(torch.einsum("tld,tl->ld", torch.stack(sums), shares))
    return found
