"""Two-way transformer of SAM's mask decoder (2304.02643, figure 14)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.layers import MLP

__all__ = ["Attention", "TwoWayTransformer"]


class TwoWayTransformer(nn.Module):
    """Tokens and image attend to each other, layer by layer."""

    def __init__(self, *, dim: int, depth: int, heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(dim=dim, heads=heads, mlp_dim=mlp_dim, first=i == 0) for i in range(depth)
        )
        self.final_attn_token_to_image = Attention(dim, heads, internal_dim=dim // 2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(
        self, image: Tensor, image_positions: Tensor, tokens: Tensor, attended: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Let N sets of tokens and the image look at each other.

        Args:
            image: (N or 1, L, D) image features; one image may serve all N sets of tokens.
            image_positions: (1, L, D).
            tokens: (N, T, D); they also serve as their own position encoding.
            attended: (N, T) bool, tokens that may be attended to, or None for all.

        Returns:
            Tokens (N, T, D) and image features (N, L, D).
        """
        queries, keys = tokens, image
        mask = None if attended is None else attended[:, None, None, :]
        for layer in self.layers:
            queries, keys = layer(queries, keys, tokens, image_positions, mask)
        attention = self.final_attn_token_to_image.few_queries(
            queries + tokens, keys + image_positions, keys
        )
        return self.norm_final_attn(queries + attention), keys


class TwoWayBlock(nn.Module):
    """Self-attention of tokens, tokens to image, MLP, image to tokens."""

    def __init__(self, *, dim: int, heads: int, mlp_dim: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, heads, internal_dim=dim // 2)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, mlp_dim, dim)
        self.norm3 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, heads, internal_dim=dim // 2)
        self.norm4 = nn.LayerNorm(dim)

    def forward(
        self, queries: Tensor, keys: Tensor, query_pos: Tensor, key_pos: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if self.first:
            # The tokens are their own positions here, so nothing is added or kept.
            queries = self.self_attn(queries, queries, queries, mask)
        else:
            q = queries + query_pos
            queries = queries + self.self_attn(q, q, queries, mask)
        queries = self.norm1(queries)

        k = keys + key_pos
        queries = queries + self.cross_attn_token_to_image.few_queries(queries + query_pos, k, keys)
        queries = self.norm2(queries)
        queries = self.norm3(queries + self.mlp(queries))

        keys = self.cross_attn_image_to_token.few_keys(keys, k, queries + query_pos, queries, mask)
        return queries, self.norm4(keys)


class Attention(nn.Module):
    """Multi-head attention that may work in fewer channels than it is given.

    Between a few tokens and the many places of an image (`few_queries`, `few_keys`) the projection
    of the image is applied to the tokens instead: (W x) . q = x . (W' q), and a weighted sum of
    projected values is the projection of the weighted sum. That takes less than half of the
    arithmetic, and no projected copy of the image.
    """

    def __init__(self, dim: int, heads: int, *, internal_dim: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        internal_dim = internal_dim or dim
        self.scale = (internal_dim // heads) ** -0.5
        self.q_proj = nn.Linear(dim, internal_dim)
        self.k_proj = nn.Linear(dim, internal_dim)
        self.v_proj = nn.Linear(dim, internal_dim)
        self.out_proj = nn.Linear(internal_dim, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, Q, D), (B, K, D), (B, K, D) -> (B, Q, D); mask (B, 1, 1, K) bool, True attends.

        Keys of batch size 1 serve the whole batch of queries: they are projected once.
        """
        q, k, v = (self._heads(x) for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v)))
        k, v = (x.expand(q.shape[0], -1, -1, -1) for x in (k, v))
        x = F.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def few_queries(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What `forward` gives, for few queries (B, Q, D) and many keys (B or 1, K, D)."""
        if k.shape[0] == 1:
            return self(q, k, v)
        # A constant of each query, which the keys' bias would add, makes no difference.
        q = self._heads(self.q_proj(q)) * self.scale @ self._by_head(self.k_proj.weight)
        weights = (q.flatten(1, 2) @ k.transpose(1, 2)).softmax(-1)  # (B, heads * Q, K)
        x = (weights @ v).unflatten(1, (self.heads, -1))  # (B, heads, Q, D)
        x = x @ self._by_head(self.v_proj.weight).transpose(1, 2)
        x = x.transpose(1, 2).flatten(2) + self.v_proj.bias
        return self.out_proj(x)

    def few_keys(
        self, residual: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None
    ) -> Tensor:
        """`residual` plus what `forward` gives, for many queries (B or 1, Q, D) and few keys."""
        heads = self.heads
        k = self._heads(self.k_proj(k)) * self.scale  # (B, heads, K, c)
        if q.shape[0] == 1:
            scores = k @ self._heads(self.q_proj(q)).transpose(2, 3)  # (B, heads, K, Q)
        else:
            bias = k @ self.q_proj.bias.view(heads, -1, 1)
            k = k @ self._by_head(self.q_proj.weight)
            scores = (k.flatten(1, 2) @ q.transpose(1, 2)).unflatten(1, (heads, -1)) + bias
        if mask is not None:
            scores = scores.masked_fill(~mask.transpose(2, 3), -torch.inf)
        weights = scores.softmax(2).flatten(1, 2)  # (B, heads * K, Q)
        out = self.out_proj.weight.t().unflatten(0, (heads, -1))  # (heads, c, D)
        # The weights of a head sum to 1, so each head can bring its share of the bias.
        v = self._heads(self.v_proj(v)) @ out + self.out_proj.bias / heads
        return (weights.transpose(1, 2) @ v.flatten(1, 2)).add_(residual)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, c)

    def _by_head(self, weight: Tensor) -> Tensor:
        return weight.unflatten(0, (self.heads, -1))  # (heads, c, D)
