"""Two-way transformer of SAM's mask decoder (2304.02643, figure 14)."""

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
        attention = self.final_attn_token_to_image(queries + tokens, keys + image_positions, keys)
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
        queries = queries + self.cross_attn_token_to_image(queries + query_pos, k, keys)
        queries = self.norm2(queries)
        queries = self.norm3(queries + self.mlp(queries))

        keys = keys + self.cross_attn_image_to_token(k, queries + query_pos, queries, mask)
        return queries, self.norm4(keys)


class Attention(nn.Module):
    """Multi-head attention that may work in fewer channels than it is given.

    Queries or keys of batch size 1 serve the whole batch of the other: what N prompts share is
    projected once.
    """

    def __init__(
        self, dim: int, heads: int, *, internal_dim: int | None = None, key_dim: int | None = None
    ) -> None:
        super().__init__()
        self.heads = heads
        internal_dim = internal_dim or dim
        self.q_proj = nn.Linear(dim, internal_dim)
        self.k_proj = nn.Linear(key_dim or dim, internal_dim)
        self.v_proj = nn.Linear(key_dim or dim, internal_dim)
        self.out_proj = nn.Linear(internal_dim, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, Q, C), (B, K, C'), (B, K, C') -> (B, Q, C); mask (B, 1, 1, K) bool, True attends."""
        q, k, v = (self._heads(x) for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v)))
        batch = max(q.shape[0], k.shape[0])
        q, k, v = (x.expand(batch, -1, -1, -1) for x in (q, k, v))
        x = F.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, c)
