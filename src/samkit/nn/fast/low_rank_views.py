"""Image tokens for many prompts, held as low-rank differences from one shared image.

This takes a small part of the time of image tokens for each prompt.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from samkit.nn.attention import Attention
from samkit.nn.fast.linear import linear
from samkit.nn.fast.shared_image import SharedImage
from samkit.nn.fast.switch import fast_on_cpu

__all__ = ["MANY", "LowRankViews", "is_low_rank", "low_rank_is_faster"]

MANY = 8
"""Fewest prompts with which projecting the shared image saves time."""


def low_rank_is_faster(image: Tensor, tokens: Tensor, heads: int) -> bool:
    """Whether to use `LowRankViews` for tokens (N, T, D) and an image (1, P, D).

    It is for many prompts, or where what they share of the image is there already.
    """
    # Sums of squares overflow in float16.
    if not fast_on_cpu(tokens) or tokens.dtype not in (torch.float32, torch.float64):
        return False
    return is_low_rank(heads * tokens.shape[1], locations=image.shape[1], dim=image.shape[2])


def is_low_rank(rows: int, *, locations: int, dim: int) -> bool:
    """Whether `LowRankViews` is faster with this many rows per layer (heads times tokens)."""
    return rows <= min(dim // 2, locations // 4)


@dataclass(frozen=True)
class LowRankViews:
    """The image tokens of N prompts as differences from one shared image.

    Attention to a few tokens adds a weighted sum of a few rows to every image token, and layer norm
    scales every image token. So after any number of layers image token p of a prompt is

        scale[p] * (image[p] + sum over r of weights[r, p] * rows[r]) + bias

    with r over tokens and heads. Attention to it and from it needs products with the image, which
    is projected to the heads once for all prompts, and products with the small factors; layer norm
    needs sums of squares, which follow from both, with channels of mean 0. Precision is lost only
    where the sum cancels nearly all of the image.

    A head's weights of all tokens sum to 1. So a row is the difference to that of the first token,
    which itself goes into one row for all heads: 49 rows a layer for a click.

    Attributes:
        image: (P, D).
        count: N.
        scale: (N, P), or None before the first layer, where it is 1.
        updates: of each layer.
        bias: (D,), or None before the first layer, where it is 0.
    """

    image: SharedImage
    count: int
    scale: Tensor | None = None
    updates: "tuple[_Update, ...]" = ()
    bias: Tensor | None = None

    def token_to_image(self, attention: Attention, queries: Tensor) -> Tensor:
        heads, values = attention.heads, attention.of_head(attention.v_proj)
        q = attention.split(attention.q_proj(queries)) * attention.scale
        image = self.image.values(attention.v_proj, heads)
        output = q.new_empty(q.shape)
        sums = [q.new_empty(len(q), heads * q.shape[2], u.weights.shape[1]) for u in self.updates]
        for n, scores in self._scores(q, attention, attention.k_proj):
            shares = torch.softmax(scores, 1, out=scores)
            if self.scale is not None:
                shares *= self.scale[n]
            torch.bmm(shares.unflatten(0, (heads, -1)), image, out=output[n])
            for update, total in zip(self.updates, sums, strict=True):
                total[n] = linear(shares, update.weights[n], None)
        for update, total in zip(self.updates, sums, strict=True):
            rows = (total @ update.rows).unflatten(1, (heads, -1))
            output += _by_head(rows, values.transpose(1, 2))
        output = output.transpose(1, 2).flatten(2)
        bias = attention.v_proj.bias
        if self.bias is not None:
            bias = attention.v_proj(self.bias)
        return attention.out_proj(output + bias)

    def image_to_token(
        self,
        attention: Attention,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None,
        norm: nn.LayerNorm,
    ) -> "LowRankViews":
        heads, N, T = attention.heads, *keys.shape[:2]
        k = attention.split(attention.k_proj(keys)) * attention.scale
        bias = attention.q_proj.bias if self.bias is None else attention.q_proj(self.bias)
        constant = k @ bias.view(heads, -1, 1)
        v = attention.v_proj(values)
        constant_row = attention.out_proj.bias
        places, rows = len(self.image.tokens), heads * (T - 1) + 1
        update = _Update(
            weights=k.new_empty(N, rows, places),
            by_place=k.new_empty(N, places, rows),
            inner=attention.split(v[:, 1:] - v[:, :1]).contiguous(),
            basis=attention.out_of_head,
            first=v[:, 0],
            constant=constant_row if self.bias is None else constant_row + self.bias,
            layer=attention,
        )
        views = replace(self, updates=(*self.updates, update))
        norms, scale = views._norms(norm), k.new_empty(N, places)
        for n, scores in self._scores(k, attention, attention.q_proj):
            scores = scores.unflatten(0, (heads, -1)).add_(constant[n])  # (heads, T, P)
            if mask is not None:
                scores.masked_fill_(~mask[n].transpose(1, 2), -torch.inf)
            shares = torch.softmax(scores, 1, out=scores)[:, 1:]
            weights = update.weights[n]
            inner = weights[:-1].unflatten(0, (heads, T - 1))
            if self.scale is None:
                inner.copy_(shares)
                weights[-1] = 1.0
            else:
                torch.div(shares, self.scale[n], out=inner)
                torch.reciprocal(self.scale[n], out=weights[-1])
            update.by_place[n].copy_(weights.t())
            norms.scale(n, out=scale[n])  # while the weights are in the cache
        return replace(
            views,
            image=self.image.normed(norm)[0],
            scale=scale,
            updates=tuple(one.times(norm.weight) for one in norms.updates),
            bias=norm.bias,
        )

    def _scores(
        self, q: Tensor, attention: Attention, layer: nn.Linear
    ) -> Iterator[tuple[int, Tensor]]:
        """Products (heads * T, P) of tokens (N, heads, T, c) and image tokens, for each prompt.

        Image tokens have their positions and are projected by the layer, without the bias.
        """
        heads = q.shape[1]
        if self.scale is None:
            image = self.image.placed(layer).unflatten(0, (heads, -1))
            for n in range(self.count):
                yield n, torch.bmm(q[n], image).flatten(0, 1)
            return
        image = self.image.projected(layer).unflatten(0, (heads, -1))
        positions = self.image.positions_projected(layer).unflatten(0, (heads, -1))
        tokens = _by_head(q, attention.of_head(layer)).flatten(1, 2)
        on_rows = [tokens @ update.rows.transpose(1, 2) for update in self.updates]
        for n in range(self.count):
            scores = _weighted(self.updates, on_rows, n)
            by_head = scores.unflatten(0, (heads, -1))
            by_head.baddbmm_(q[n], image)
            scores *= self.scale[n]
            by_head.baddbmm_(q[n], positions)
            yield n, scores

    def _norms(self, norm: nn.LayerNorm) -> "_Norms":
        """What a layer norm needs; the last update contains the bias."""
        centred, square = self.image.centred(norm), self.image.normed(norm)[1]
        updates = tuple(update.centred() for update in self.updates)
        return _Norms(
            updates=updates,
            square=square,
            on_image=[update.on_image(self.image, centred) for update in updates],
            firsts=[2 * update.first_on_image(self.image, centred) for update in updates],
            on_rows=[
                [u.rows @ v.rows.transpose(1, 2) * (1 if u is v else 2) for v in updates[: i + 1]]
                for i, u in enumerate(updates)
            ],
            before=self.scale,
            channels=centred.shape[1],
            eps=norm.eps,
        )

    def select(self, index: Tensor) -> "LowRankViews":
        updates = tuple(update.select(index) for update in self.updates)
        scale = None if self.scale is None else self.scale[index]
        count = len(torch.arange(self.count)[index])
        return replace(self, count=count, scale=scale, updates=updates)

    def linear(
        self, layer: nn.Module, weight: Tensor, bias: Tensor
    ) -> Iterator[tuple[slice, Tensor]]:
        image = self.image.kept("linear", layer, lambda: linear(self.image.tokens, weight, None))
        if self.bias is not None:
            bias = bias + weight @ self.bias
        rows = [weight @ update.rows.transpose(1, 2) for update in self.updates]  # (N, E, R)
        for n in range(self.count):
            x = None
            for update, row in zip(self.updates, rows, strict=True):
                part = linear(update.by_place[n], row[n], None)
                x = part if x is None else x.add_(part)
            x = image.clone() if x is None else x.add_(image)
            if self.scale is not None:
                x *= self.scale[n, :, None]
            yield slice(n, n + 1), x.add_(bias)[None]


@dataclass(frozen=True)
class _Update:
    """What one layer adds for N prompts: weighted sums of rows.

    Attributes:
        weights: (N, R, P), of the differences of the tokens by head, and of the first token.
        by_place: (N, P, R), the same.
        inner: (N, heads, T - 1, c), of which times the basis the first rows are.
        basis: (heads, c, D).
        first: (N, heads * c), of which times the basis, plus the constant, the last row is.
        constant: (D,).
        layer: whose basis it is.
    """

    weights: Tensor
    by_place: Tensor
    inner: Tensor
    basis: Tensor
    first: Tensor
    constant: Tensor
    layer: Attention

    @cached_property
    def rows(self) -> Tensor:
        """(N, R, D)."""
        first = torch.addmm(self.constant, self.first, self.basis.flatten(0, 1))
        return torch.cat([_by_head(self.inner, self.basis).flatten(1, 2), first[:, None]], 1)

    def on_image(self, image: SharedImage, tokens: Tensor) -> Tensor:
        """Products (heads, c, P) of the basis and tokens (P, D) of the image."""

        def make() -> Tensor:
            products = linear(self.basis.flatten(0, 1), tokens, None)
            return products.unflatten(0, self.basis.shape[:2])

        return image.kept("basis", self.layer, make)

    def first_on_image(self, image: SharedImage, tokens: Tensor) -> Tensor:
        """Products (N, P) of the last row and tokens (P, D) of the image."""
        constant = image.kept("constant", self.layer, lambda: tokens @ self.constant)
        basis = self.on_image(image, tokens).flatten(0, 1)
        return torch.addmm(constant, self.first, basis)

    def centred(self) -> "_Update":
        """Rows of mean 0."""
        return self._map(lambda rows: rows - rows.mean(-1, keepdim=True))

    def times(self, weight: Tensor) -> "_Update":
        """Rows times the weights (D,) of a norm."""
        return self._map(lambda rows: rows * weight)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "_Update":
        return replace(self, basis=change(self.basis), constant=change(self.constant))

    def select(self, index: Tensor) -> "_Update":
        return replace(
            self,
            weights=self.weights[index],
            by_place=self.by_place[index],
            inner=self.inner[index],
            first=self.first[index],
        )


def _by_head(x: Tensor, weights: Tensor) -> Tensor:
    """(N, heads, T, a), (heads, a, b) -> (N, heads, T, b), without copies of the weights."""
    products = torch.bmm(x.transpose(0, 1).flatten(1, 2), weights)
    return products.unflatten(1, (x.shape[0], x.shape[2])).transpose(0, 1)


def _weighted(updates: "tuple[_Update, ...]", factors: list[Tensor], n: int) -> Tensor:
    """Sums of factors (N, K, rows) of the first updates times their weights: (K, P) of a prompt."""
    total = None
    for factor, update in zip(factors, updates, strict=False):
        products = linear(factor[n], update.by_place[n], None)
        total = products if total is None else total.add_(products)
    assert total is not None
    return total


@dataclass(frozen=True)
class _Norms:
    """What a layer norm over the channels needs of the image tokens of N prompts.

    The square of a sum is the square of each term, and twice its products with those before.

    Attributes:
        updates: with rows of mean 0.
        square: (P,), of the image.
        on_image: of each update, products (heads, c, P) of its basis and the image.
        firsts: of each, twice those (N, P) of its last row.
        on_rows: of each, products (N, R, R) of its rows and those of each up to it.
        before: (N, P), the scale before the norm, or None for 1.
        channels: how many.
        eps: of the norm.
    """

    updates: "tuple[_Update, ...]"
    square: Tensor
    on_image: list[Tensor]
    firsts: list[Tensor]
    on_rows: list[list[Tensor]]
    before: Tensor | None
    channels: int
    eps: float

    def scale(self, n: int, *, out: Tensor) -> None:
        """The scale (P,) of a prompt after the norm."""
        squares = self.square.clone()
        for i, update in enumerate(self.updates):
            products = _weighted(self.updates, self.on_rows[i], n)
            by_head = products[:-1].unflatten(0, update.inner.shape[1:3])
            by_head.baddbmm_(update.inner[n], self.on_image[i], alpha=2)
            products[-1] += self.firsts[i][n]
            squares += products.mul_(update.weights[n]).sum(0)
        variance = squares.clamp_(min=0).div_(self.channels)  # rounding may make it negative
        before = None if self.before is None else self.before[n]
        if before is not None:
            variance *= before.square()
        torch.rsqrt(variance + self.eps, out=out)
        if before is not None:
            out *= before
