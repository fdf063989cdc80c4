"""An image as each of N prompts sees it while the two-way transformer lets them look at it.

`DenseViews` holds a map for each prompt. `LowRankViews` holds how each prompt's view differs from
the one image that all share, in a third of the time. Both give the same up to rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.attention import Attention
from samkit.nn.layers import infers_on_cpu

__all__ = ["DenseViews", "ImageViews", "LowRankViews", "image_views", "is_low_rank"]

# Prompts from which on projecting the shared image pays.
_MANY = 8
# What is worked on at a time stays in a CPU's cache: low-rank views, numbers of dense views.
_GROUP = 4
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
    N, T, D = tokens.shape
    shared = len(image) == 1 and N >= _MANY and is_low_rank(heads * T, places=image.shape[1], dim=D)
    # Sums of squares are too large for float16.
    if shared and infers_on_cpu(tokens) and tokens.dtype in (torch.float32, torch.float64):
        return LowRankViews.unseen(image[0], positions[0], N)
    return DenseViews(image, positions)


def is_low_rank(rows: int, *, places: int, dim: int) -> bool:
    """Whether so few rows a layer (heads times tokens) make `LowRankViews` the faster form."""
    return rows <= min(dim // 2, places // 4)


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
        if len(self.image) == 1:
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
        if len(self.image) == 1:
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
        N, P, D = self.image.shape
        at_once = max(1, _CACHED // (P * D) if infers_on_cpu(self.image) else N)
        for i in range(0, N, at_once):
            yield slice(i, i + at_once), F.linear(self.image[i : i + at_once], weight, bias)


@dataclass(frozen=True)
class LowRankViews:
    """How the views of N prompts differ from the one image they share.

    Attention to a few tokens adds a weighted sum of a few rows to every place, and layer norm
    scales every place. So after any number of layers the view of a prompt is

        scale[place] * (image[place] + sum over r of weights[r, place] * rows[r]) + bias

    with r over tokens and heads, 56 a layer for a click. Attention to it and from it needs
    products with the image, which is projected once for all prompts and narrow as a head is, and
    products with the small factors; layer norm needs sums of squares, which follow from both, with
    channels of mean 0. Precision is lost only where the sum takes nearly all of the image away.

    Attributes:
        image: (P, D).
        positions: (P, D).
        scale: (N, P).
        updates: of each layer.
        bias: (D,).
    """

    image: Tensor
    positions: Tensor
    scale: Tensor
    updates: "tuple[_Update, ...]"
    bias: Tensor

    @classmethod
    def unseen(cls, image: Tensor, positions: Tensor, count: int) -> "LowRankViews":
        """Before any prompt has looked."""
        scale, bias = image.new_ones(count, len(image)), image.new_zeros(image.shape[1])
        return cls(image=image, positions=positions, scale=scale, updates=(), bias=bias)

    def gather(self, attention: Attention, queries: Tensor) -> Tensor:
        heads, values = attention.heads, attention.of_head(attention.v_proj)
        q = attention.split(attention.q_proj(queries)) * attention.scale
        image = _projected(values, self.image).transpose(1, 2).contiguous()  # (heads, P, c)
        found = torch.empty_like(q)
        sums = [q.new_empty(len(q), heads * q.shape[2], u.weights.shape[1]) for u in self.updates]
        for some, scores in self._scores(q, attention.of_head(attention.k_proj)):
            shares = torch.softmax(scores, 2, out=scores).mul_(self.scale[some, None])
            for share, into in zip(shares.unflatten(1, (heads, -1)), found[some], strict=True):
                torch.bmm(share, image, out=into)
            for update, total in zip(self.updates, sums, strict=True):
                torch.bmm(shares, update.weights[some].transpose(1, 2), out=total[some])
        for update, total in zip(self.updates, sums, strict=True):
            rows = (total @ update.rows).unflatten(1, (heads, -1))
            found += rows @ values.transpose(1, 2)
        found = found.transpose(1, 2).flatten(2)
        return attention.out_proj(found + attention.v_proj(self.bias))

    def scatter(
        self,
        attention: Attention,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None,
        norm: nn.LayerNorm,
    ) -> "LowRankViews":
        heads = attention.heads
        k = attention.split(attention.k_proj(keys)) * attention.scale
        constant = k @ attention.q_proj(self.bias).view(heads, -1, 1)
        weights = k.new_empty(len(k), heads * k.shape[2], len(self.image))
        for some, scores in self._scores(k, attention.of_head(attention.q_proj)):
            scores = scores.unflatten(1, (heads, -1)).add_(constant[some])  # (n, heads, T, P)
            if mask is not None:
                scores.masked_fill_(~mask[some].transpose(2, 3), -torch.inf)
            torch.softmax(scores, 2, out=weights[some].unflatten(1, (heads, -1)))
            weights[some] /= self.scale[some, None]
        # The weights of a head sum to 1, so each head can bring its share of what is constant.
        constant = (attention.out_proj.bias + self.bias).expand(heads, 1, -1) / heads
        inner = F.pad(attention.split(attention.v_proj(values)), (0, 1), value=1.0)
        update = _Update(weights, inner, torch.cat([attention.out_of_head, constant], 1))
        return replace(self, updates=(*self.updates, update))._normed(norm)

    def _scores(self, q: Tensor, projection: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Products (n, heads * T, P) of tokens (N, heads, T, c) and places, of a few at a time.

        The places are taken with their positions, and projected; the bias is left out. What is
        yielded is overwritten by the next.
        """
        image, positions = (
            _projected(projection, self.image),
            _projected(projection, self.positions),
        )
        tokens = (q @ projection).flatten(1, 2)
        on_rows = [tokens @ update.rows.transpose(1, 2) for update in self.updates]
        buffer = q.new_empty(_GROUP, tokens.shape[1], len(self.image))
        for some in self._groups():
            scores = buffer[: len(q[some])]
            by_head = scores.unflatten(1, q.shape[1:3])
            _multiply(q[some], image, out=by_head)
            for update, products in zip(self.updates, on_rows, strict=True):
                scores.baddbmm_(products[some], update.weights[some])
            scores *= self.scale[some, None]
            for one, into in zip(q[some], by_head, strict=True):
                into.baddbmm_(one, positions)
            yield some, scores

    def _normed(self, norm: nn.LayerNorm) -> "LowRankViews":
        """After layer norm, where the bias has become part of the last update."""
        image = self.image - self.image.mean(1, keepdim=True)
        updates = [u.with_basis(u.basis - u.basis.mean(2, keepdim=True)) for u in self.updates]
        # The square of a sum: the square of each term, and twice its products with those before.
        square = image.square().sum(1)
        on_image = [2 * _projected(update.basis, image) for update in updates]
        on_rows = [
            [u.rows @ v.rows.transpose(1, 2) * (1 if u is v else 2) for v in updates[: i + 1]]
            for i, u in enumerate(updates)
        ]
        scale = torch.empty_like(self.scale)
        buffer = torch.empty_like(updates[0].weights[:_GROUP])
        for some in self._groups():
            squares = square.expand(len(scale[some]), -1)
            for update, places, rows in zip(updates, on_image, on_rows, strict=True):
                products = buffer[: len(squares)]
                _multiply(
                    update.inner[some], places, out=products.unflatten(1, update.inner.shape[1:3])
                )
                for row, other in zip(rows, updates, strict=False):
                    products.baddbmm_(row[some], other.weights[some])
                squares = squares + products.mul_(update.weights[some]).sum(1)
            squares = squares.clamp(min=0)  # of rounding
            variance = self.scale[some].square() * squares / image.shape[1]
            scale[some] = self.scale[some] * torch.rsqrt(variance + norm.eps)
        return replace(
            self,
            image=image * norm.weight,
            scale=scale,
            updates=tuple(update.with_basis(update.basis * norm.weight) for update in updates),
            bias=norm.bias,
        )

    def _groups(self) -> Iterator[slice]:
        return (slice(i, i + _GROUP) for i in range(0, len(self.scale), _GROUP))

    def select(self, index: Tensor) -> "LowRankViews":
        updates = tuple(update.select(index) for update in self.updates)
        return replace(self, scale=self.scale[index], updates=updates)

    def linear(self, weight: Tensor, bias: Tensor) -> Iterator[tuple[slice, Tensor]]:
        image, bias = self.image @ weight.t(), bias + weight @ self.bias
        rows = [update.rows @ weight.t() for update in self.updates]
        for n, scale in enumerate(self.scale):
            x = image.clone()
            for update, row in zip(self.updates, rows, strict=True):
                x.addmm_(update.weights[n].t(), row[n])
            yield slice(n, n + 1), x.mul_(scale[:, None]).add_(bias)[None]


@dataclass(frozen=True)
class _Update:
    """What one layer adds to the N views: weighted sums of rows, which are inner @ basis.

    Attributes:
        weights: (N, heads * T, P).
        inner: (N, heads, T, c).
        basis: (heads, c, D).
    """

    weights: Tensor
    inner: Tensor
    basis: Tensor

    @cached_property
    def rows(self) -> Tensor:
        """(N, heads * T, D)."""
        return (self.inner @ self.basis).flatten(1, 2)

    def with_basis(self, basis: Tensor) -> "_Update":
        return replace(self, basis=basis)

    def select(self, index: Tensor) -> "_Update":
        return replace(self, weights=self.weights[index], inner=self.inner[index])


def _projected(projection: Tensor, places: Tensor) -> Tensor:
    """(heads, c, D), (P, D) -> (heads, c, P)."""
    return (projection.flatten(0, 1) @ places.t()).unflatten(0, projection.shape[:2])


def _multiply(tokens: Tensor, places: Tensor, *, out: Tensor) -> None:
    """(n, heads, T, c), (heads, c, P) -> (n, heads, T, P); all in one product would copy places."""
    for one, into in zip(tokens, out, strict=True):
        torch.bmm(one, places, out=into)
