"""Two-way transformer of SAM's mask decoder (2304.02643, figure 14)."""

from torch import Tensor, nn

from samkit.nn.attention import Attention
from samkit.nn.image_views import ImageViews
from samkit.nn.layers import MLP

__all__ = ["TwoWayTransformer"]


class TwoWayTransformer(nn.Module):
    """Tokens and image attend to each other, layer by layer."""

    def __init__(self, *, dim: int, depth: int, heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.layers = nn.ModuleList(
            TwoWayBlock(dim=dim, heads=heads, mlp_dim=mlp_dim, first=i == 0) for i in range(depth)
        )
        self.final_attn_token_to_image = Attention(dim, heads, internal_dim=dim // 2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(
        self, views: ImageViews, tokens: Tensor, attended: Tensor | None
    ) -> tuple[Tensor, ImageViews]:
        """Attention between N sets of tokens and the image, in both directions.

        Args:
            views: image tokens for each set, before the first layer.
            tokens: (N, T, D), which are also their own position encoding.
            attended: (N, T) bool, tokens that may be attended to, or None for all.

        Returns:
            Tokens (N, T, D), and the image tokens for each set.
        """
        queries = tokens
        mask = None if attended is None else attended[:, None, None, :]
        for layer in self.layers:
            queries, views = layer(queries, views, tokens, mask)
        attention = views.token_to_image(self.final_attn_token_to_image, queries + tokens)
        return self.norm_final_attn(queries + attention), views


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
        self, queries: Tensor, views: ImageViews, query_pos: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, ImageViews]:
        if self.first:
            # The tokens equal their positions here: nothing is added, and there is no residual.
            queries = self.self_attn(queries, queries, queries, mask)
        else:
            q = queries + query_pos
            queries = queries + self.self_attn(q, q, queries, mask)
        queries = self.norm1(queries)

        attention = views.token_to_image(self.cross_attn_token_to_image, queries + query_pos)
        queries = self.norm2(queries + attention)
        queries = self.norm3(queries + self.mlp(queries))

        views = views.image_to_token(
            self.cross_attn_image_to_token, queries + query_pos, queries, mask, self.norm4
        )
        return queries, views
