"""A layer in which one kind of tokens looks at itself, then at another kind (SAM 3, 2511.16719)."""

from torch import Tensor, nn

from samkit.nn.attention import Attention
from samkit.nn.fast.bands import in_bands
from samkit.nn.layers import MLP

__all__ = ["FusionLayer"]


class FusionLayer(nn.Module):
    """Self-attention, cross-attention, MLP; norms come first.

    Both the image (which looks at the prompt) and exemplars (which look at the image) have such
    layers.
    """

    def __init__(self, dim: int, heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.self_attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.cross_attn = Attention(dim, heads)
        self.norm3 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, mlp_dim, dim)

    def forward(
        self,
        x: Tensor,
        others: Tensor,
        *,
        positions: Tensor | None = None,
        other_keys: Tensor | None = None,
        attended: Tensor | None = None,
        others_attended: Tensor | None = None,
    ) -> Tensor:
        """(B, N, D) and others (B, M, D) -> (B, N, D).

        Args:
            x, others: tokens.
            positions: (B or 1, N, D) of x, for self-attention.
            other_keys: (B, M, D) others with their positions; None: without.
            attended, others_attended: (B, 1, 1, N) and (B, 1, 1, M) bool, which are attended to.
        """
        y = self.norm1(x)
        placed = y if positions is None else y + positions
        x = x + self.self_attn(placed, placed, y, attended)
        keys = others if other_keys is None else other_keys
        x = x + self.cross_attn(self.norm2(x), keys, others, others_attended)
        # A map of one column, which has as many rows as there are tokens.
        return in_bands(lambda some: some + self.mlp(self.norm3(some)), x[:, :, None])[:, :, 0]
