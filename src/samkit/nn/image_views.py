"""Image tokens in the two-way transformer, which differ for each of N prompts (their views).

`DenseViews` holds all tokens for each prompt; `LowRankViews`, in `fast`, is equal up to rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from samkit.nn.attention import Attention
from samkit.nn.fast.linear import linear
from samkit.nn.fast.low_rank_views import MANY, LowRankViews, low_rank_is_faster
from samkit.nn.fast.shared_image import SharedImage
from samkit.nn.fast.switch import fast_on_cpu, few_at_a_time

__all__ = ["DenseViews", "ImageViews", "image_views"]

# Values of the views that are processed at a time, to stay in a CPU's cache.
_CACHED = 2**20


class ImageViews(Protocol):
    """P image tokens for each of N prompts, as the mask decoder uses them."""

    def token_to_image(self, attention: Attention, queries: Tensor) -> Tensor:
        """Attention of prompt tokens (N, T, D) to the image tokens: (N, T, D)."""

    def image_to_token(
        self,
        attention: Attention,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None,
        norm: nn.LayerNorm,
    ) -> "ImageViews":
        """Attention of the image tokens to prompt tokens (N, T, D), residual and norm.

        Where mask (N, 1, 1, T) is False, a token is not attended to.
        """

    def select(self, index: Tensor) -> "ImageViews":
        """The views of some of the prompts."""

    def linear(
        self, layer: nn.Module, weight: Tensor, bias: Tensor
    ) -> Iterator[tuple[slice, Tensor]]:
        """A linear layer (E, D), (E,) on the image tokens: new (n, P, E) of a few prompts each.

        The layer is the one that these are of.
        """


def image_views(image: Tensor, positions: Tensor, tokens: Tensor, heads: int) -> ImageViews:
    """The image tokens before the first layer, in the fastest form.

    Args:
        image: (N or 1, P, D); one image may be shared by all prompts.
        positions: (1, P, D), added to image tokens as queries and keys.
        tokens: (N, T, D) of the prompts.
        heads: of attention.
    """
    is_low_rank = low_rank_is_faster(image, tokens, heads)
    if is_low_rank and len(image) == 1 and len(tokens) >= MANY:
        return LowRankViews(SharedImage(image[0], positions[0]), len(tokens))
    # Once, and not for each product.
    return DenseViews(image.contiguous() if fast_on_cpu(image) else image, positions)


@dataclass(frozen=True)
class DenseViews:
    """Image tokens for each prompt; before the first layer, they may be shared by all.

    Projections are applied to the few prompt tokens instead: (W x) . q = x . (W' q), and a weighted
    sum of projected values is the projection of the weighted sum.

    Attributes:
        image: (N or 1, P, D).
        positions: (1, P, D).
        placed: the sum of both.
    """

    image: Tensor
    positions: Tensor
    placed: Tensor = field(init=False)

    def __post_init__(self) -> None:
        # Not a `cached_property`, whose lock ends a graph of `torch.compile`.
        object.__setattr__(self, "placed", self.image + self.positions)

    def token_to_image(self, attention: Attention, queries: Tensor) -> Tensor:
        if self._is_shared(queries):
            return attention(queries, self.placed, self.image)
        # The bias of the keys adds a constant for each query, which softmax cancels.
        q = attention.split(attention.q_proj(queries)) * attention.scale
        q = q @ attention.of_head(attention.k_proj)  # (N, heads, T, D)
        weights = _products(q.flatten(1, 2), self.placed).softmax(-1)
        values = (weights @ self.image).unflatten(1, (attention.heads, -1))
        values = values @ attention.of_head(attention.v_proj).transpose(1, 2)
        return attention.out_proj(values.transpose(1, 2).flatten(2) + attention.v_proj.bias)

    def image_to_token(
        self,
        attention: Attention,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None,
        norm: nn.LayerNorm,
    ) -> "DenseViews":
        heads = attention.heads
        k = attention.split(attention.k_proj(keys)) * attention.scale
        if self._is_shared(keys):
            scores = k @ attention.split(attention.q_proj(self.placed)).transpose(2, 3)
        else:
            constant = k @ attention.q_proj.bias.view(heads, -1, 1)
            k = k @ attention.of_head(attention.q_proj)
            scores = _products(k.flatten(1, 2), self.placed)
            scores = scores.unflatten(1, (heads, -1)) + constant  # (N, heads, T, P)
        if mask is not None:
            scores = scores.masked_fill(~mask.transpose(2, 3), -torch.inf)
        weights = scores.softmax(2).flatten(1, 2)
        # The weights of a head sum to 1, so the bias is distributed over the heads.
        rows = attention.split(attention.v_proj(values)) @ attention.out_of_head
        rows = (rows + attention.out_proj.bias / heads).flatten(1, 2)
        update = _products(weights.transpose(1, 2), rows.transpose(1, 2))
        return DenseViews(norm(update.add_(self.image)), self.positions)

    def _is_shared(self, tokens: Tensor) -> bool:
        """Whether prompts share the image, so that it is best projected once for all."""
        one = fast_on_cpu(tokens) and tokens.shape[0] == 1
        return self.image.shape[0] == 1 and not one

    def select(self, index: Tensor) -> "DenseViews":
        return DenseViews(self.image[index], self.positions)

    def linear(
        self, layer: nn.Module, weight: Tensor, bias: Tensor
    ) -> Iterator[tuple[slice, Tensor]]:
        P, D = self.image.shape[1:]
        for some in few_at_a_time(self.image, max(1, _CACHED // (P * D))):
            yield some, linear(self.image[some], weight, bias)


def _products(x: Tensor, y: Tensor) -> Tensor:
    """(N, K, D), (N, P, D) -> (N, K, P), in the fastest form."""
    if fast_on_cpu(x) and x.shape[0] == 1:
        return linear(x[0].contiguous(), y[0].contiguous(), None)[None]
    return x @ y.transpose(1, 2)
