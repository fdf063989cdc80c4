"""Attention of SAM's mask decoder (2304.02643, appendix A)."""

import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import Linear

__all__ = ["Attention"]


class Attention(nn.Module):
    """Multi-head attention, optionally in fewer channels than its input."""

    def __init__(self, dim: int, heads: int, *, internal_dim: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        internal_dim = internal_dim or dim
        self.scale = (internal_dim // heads) ** -0.5
        self.q_proj = Linear(dim, internal_dim)
        self.k_proj = Linear(dim, internal_dim)
        self.v_proj = Linear(dim, internal_dim)
        self.out_proj = Linear(internal_dim, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, Q, D), (B, K, D), (B, K, D) -> (B, Q, D); mask bool that broadcasts to
        (B, heads, Q, K), True attends; or float, which is
        added to the scores.

        Keys of batch size 1 are shared by all queries, and projected once.
        """
        q, k, v = (self.split(x) for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v)))
        k, v = (x.expand(q.shape[0], -1, -1, -1) for x in (k, v))
        x = F.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> Tensor:
        """(B, N, heads * c) -> (B, heads, N, c)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def of_head(self, projection: nn.Linear) -> Tensor:
        """Weights of an input projection, (heads, c, D)."""
        return projection.weight.unflatten(0, (self.heads, -1))

    @property
    def out_of_head(self) -> Tensor:
        """Weights of the output projection, (heads, c, D)."""
        return self.out_proj.weight.t().unflatten(0, (self.heads, -1))
