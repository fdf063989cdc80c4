"""What becomes of queries: scores and masks (SAM 3, 2511.16719; MaskFormer, 2107.06278)."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.attention import Attention
from samkit.nn.fast.linear import Linear
from samkit.nn.fast.rows import bands, convolved, joined, norm_groups_then_relu
from samkit.nn.fast.switch import fast_on_cpu
from samkit.nn.layers import MLP
from samkit.sizes import DetectorConfig

__all__ = ["ConceptMasks", "ConceptScores"]

_NORM_GROUPS = 8
# Scores are logits up to this.
_MOST_SCORE = 12.0
# Two of them are used; released files hold a third.
_UPSCALINGS = 3


class ConceptScores(nn.Module):
    """How well each query fits the prompt."""

    def __init__(self, config: DetectorConfig, dim: int) -> None:
        super().__init__()
        self.prompt_mlp = MLP(dim, config.mlp_dim, dim)
        self.out_norm = nn.LayerNorm(dim)
        self.prompt_proj = Linear(dim, dim)
        self.hs_proj = Linear(dim, dim)

    def forward(self, queries: Tensor, prompt: Tensor, attended: Tensor) -> Tensor:
        """Queries (B, Q, D), tokens (B, T, D), of which some (B, T) count -> logits (B, Q)."""
        prompt = self.out_norm(prompt + self.prompt_mlp(prompt))
        weights = attended.to(prompt)[..., None]
        mean = (prompt * weights).sum(1) / weights.sum(1).clamp(min=1)
        scores = self.hs_proj(queries) @ self.prompt_proj(mean)[..., None]
        return (scores[..., 0] * queries.shape[-1] ** -0.5).clamp(-_MOST_SCORE, _MOST_SCORE)


class ConceptMasks(nn.Module):
    """A map of pixels, whose products with queries are masks."""

    def __init__(self, config: DetectorConfig, dim: int) -> None:
        super().__init__()
        self.cross_attn_norm = nn.LayerNorm(dim)
        self.cross_attend_prompt = Attention(dim, config.heads)
        self.conv_layers = nn.ModuleList(
            nn.Conv2d(dim, dim, 3, padding=1) for _ in range(_UPSCALINGS)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(_NORM_GROUPS, dim) for _ in range(_UPSCALINGS))
        self.instance_seg_head = nn.Conv2d(dim, dim, 1)
        self.semantic_seg_head = nn.Conv2d(dim, 1, 1)
        self.mask_embed = MLP(dim, dim, dim, 3)

    def pixels(
        self, image: Tensor, finer: Sequence[Tensor], prompt: Tensor, attended: Tensor
    ) -> Tensor:
        """The map (B, D, 4 h, 4 w) of images for `masks` and `semantic`.

        Args:
            image: (B, D, h, w), fused with the prompt.
            finer: (B, D, 4 h, 4 w), (B, D, 2 h, 2 w).
            prompt: (B, T, D) tokens.
            attended: (B, 1, 1, T) bool, which of them are attended to.
        """
        places = image.flatten(2).transpose(1, 2)
        y = self.cross_attend_prompt(self.cross_attn_norm(places), prompt, prompt, attended)
        x = (places + y).transpose(1, 2).view(image.shape)
        for level, conv, norm in zip(reversed(finer), self.conv_layers, self.norms, strict=False):
            if fast_on_cpu(x):
                rows = convolved(_sums(x, level), conv)
                x = norm_groups_then_relu(norm, joined(rows, level.shape[2]))
            else:
                x = F.interpolate(x, level.shape[-2:], mode="nearest") + level
                x = F.relu(norm(conv(x)))
        return x

    def masks(self, queries: Tensor, pixels: Tensor) -> Tensor:
        """Queries (B, Q, D), which may be a few of all, and pixels -> logits (B, Q, 4 h, 4 w).

        As published, pixels go through a 1x1 convolution first. Here the queries do, as there are
        fewer of them; the product is the same.
        """
        head, queries = self.instance_seg_head, self.mask_embed(queries)
        bias = torch.einsum("bqd,d->bq", queries, head.bias)[..., None, None]
        # A product, as einsum copies a map with channels last.
        logits = queries @ head.weight.flatten(1) @ pixels.flatten(2)
        return logits.unflatten(2, pixels.shape[2:]) + bias

    def semantic(self, pixels: Tensor) -> Tensor:
        """Pixels -> mask logits (B, 4 h, 4 w) of all objects as one."""
        mask: Tensor = self.semantic_seg_head(pixels)
        return mask[:, 0]


def _sums(x: Tensor, finer: Tensor) -> Iterator[Tensor]:
    """A map at twice its resolution and one of that, added, some rows after the other."""
    below = 0
    for band in bands(x, 2):
        above, below = below, below + 2 * band.shape[2]
        yield F.interpolate(band, scale_factor=2.0, mode="nearest").add_(finer[:, :, above:below])
