"""An image as each of N prompts sees it while the two-way transformer lets them look at it.

`DenseViews` holds a map for each prompt; `LowRankViews`, in `fast`, gives the same up to rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.attention import Attention
from samkit.nn.fast.low_rank_views import LowRankViews, pays_in_low_rank
from samkit.nn.fast.switch import few_at_a_time

__all__ = ["DenseViews", "ImageViews", "image_views"]

# Numbers of a few views at a time, which stay in a CPU's cache.
_CACHED = 2**20


class ImageViews(Protocol):
    """What the mask decoder asks of an image of P places, as N prompts see it."""

    def gather(self, attention: Attention, queries: Tensor) -> Tensor:
        """Attention of tokens (N, T, D) to the places of their view: (N, T, D)."""

    def scatter(
        self,
        attention: Attention,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None,
        norm: nn.LayerNorm,
    ) -> "ImageViews":
        """Attention of the places to the tokens (N, T, D) of their prompt, residual and norm.

        Where mask (N, 1, 1, T) is False, a token is not attended to.
        """

    def select(self, index: Tensor) -> "ImageViews":
        """The views of some of the prompts."""

    def linear(self, weight: Tensor, bias: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """A linear layer (E, D), (E,) on the views: (n, P, E) of a few at a time, to be kept."""


def image_views(image: Tensor, positions: Tensor, tokens: Tensor, heads: int) -> ImageViews:
    """The views of N prompts before they look, in the form that takes the least time.

    Args:
        image: (N or 1, P, D); one image may serve all prompts.
        positions: (1, P, D), added to the places where attention compares them with tokens.
        tokens: (N, T, D) of the prompts.
        heads: of attention.
    """
    if pays_in_low_rank(image, tokens, heads):
        return LowRankViews.unseen(image[0], positions[0], len(tokens))
    return DenseViews(image, positions)


@dataclass(frozen=True)
class DenseViews:
    """A map for each prompt, or one for all until they have looked.

    Projections of the maps are applied to the tokens instead: (W x) . q = x . (W' q), and a
    weighted sum of projected values is the projection of the weighted sum.

    Attributes:
        image: (N or 1, P, D).
        positions: (1, P, D).
    """

    image: Tensor
    positions: Tensor

    @cached_property
    def placed(self) -> Tensor:
        """The maps with their positions."""
        return self.image + self.positions

    def gather(self, attention: Attention, queries: Tensor) -> Tensor:
        if self.image.shape[0] == 1:
            return attention(queries, self.placed, self.image)
        # A constant of each query, which the keys' bias would add, makes no difference.
        q = attention.split(attention.q_proj(queries)) * attention.scale
        q = q @ attention.of_head(attention.k_proj)  # (N, heads, T, D)
        weights = (q.flatten(1, 2) @ self.placed.transpose(1, 2)).softmax(-1)
        found = (weights @ self.image).unflatten(1, (attention.heads, -1))
        found = found @ attention.of_head(attention.v_proj).transpose(1, 2)
        return attention.out_proj(found.transpose(1, 2).flatten(2) + attention.v_proj.bias)

    def scatter(
        self,
        attention: Attention,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None,
        norm: nn.LayerNorm,
    ) -> "DenseViews":
        heads = attention.heads
        k = attention.split(attention.k_proj(keys)) * attention.scale
        if self.image.shape[0] == 1:
            scores = k @ attention.split(attention.q_proj(self.placed)).transpose(2, 3)
        else:
            constant = k @ attention.q_proj.bias.view(heads, -1, 1)
            k = k @ attention.of_head(attention.q_proj)
            scores = k.flatten(1, 2) @ self.placed.transpose(1, 2)
            scores = scores.unflatten(1, (heads, -1)) + constant  # (N, heads, T, P)
        if mask is not None:
            scores = scores.masked_fill(~mask.transpose(2, 3), -torch.inf)
        weights = scores.softmax(2).flatten(1, 2)
        # The weights of a head sum to 1, so each head can bring its share of the bias.
        rows = attention.split(attention.v_proj(values)) @ attention.out_of_head
        rows = (rows + attention.out_proj.bias / heads).flatten(1, 2)
        return DenseViews(norm((weights.transpose(1, 2) @ rows).add_(self.image)), self.positions)

    def select(self, index: Tensor) -> "DenseViews":
        return DenseViews(self.image[index], self.positions)

    def linear(self, weight: Tensor, bias: Tensor) -> Iterator[tuple[slice, Tensor]]:
        P, D = self.image.shape[1:]
        for some in few_at_a_time(self.image, max(1, _CACHED // (P * D))):
            yield some, F.linear(self.image[some], weight, bias)
