"""Image tokens for many prompts, held as low-rank differences from one shared image.

This takes a third of the time of image tokens for each prompt.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.attention import Attention
from samkit.nn.fast.switch import fast_on_cpu

__all__ = ["LowRankViews", "is_low_rank", "low_rank_is_faster"]

# Fewest prompts with which projecting the shared image saves time.
_MANY = 8
# Prompts at a time: their products stay in a CPU's cache.
_GROUP = 4


def low_rank_is_faster(image: Tensor, tokens: Tensor, heads: int) -> bool:
    """Whether to use `LowRankViews` for tokens (N, T, D) and an image (N or 1, P, D)."""
    # Sums of squares overflow in float16.
    if not fast_on_cpu(tokens) or tokens.dtype not in (torch.float32, torch.float64):
        return False
    N, T, D = tokens.shape
    shared = len(image) == 1 and N >= _MANY
    return shared and is_low_rank(heads * T, locations=image.shape[1], dim=D)


def is_low_rank(rows: int, *, locations: int, dim: int) -> bool:
    """Whether `LowRankViews` is faster with this many rows per layer (heads times tokens)."""
    return rows <= min(dim // 2, locations // 4)


@dataclass(frozen=True)
class LowRankViews:
    """The image tokens of N prompts as differences from one shared image.

    Attention to a few tokens adds a weighted sum of a few rows to every image token, and layer norm
    scales every image token. So after any number of layers image token p of a prompt is

        scale[p] * (image[p] + sum over r of weights[r, p] * rows[r]) + bias

    with r over tokens and heads, 56 a layer for a click. Attention to it and from it needs products
    with the image, which is projected to the heads once for all prompts, and products with the
    small factors; layer norm needs sums of squares, which follow from both, with channels of mean
    0. Precision is lost only where the sum cancels nearly all of the image.

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
    def initial(cls, image: Tensor, positions: Tensor, count: int) -> "LowRankViews":
        """The image tokens before the first layer, equal for all prompts."""
        scale, bias = image.new_ones(count, len(image)), image.new_zeros(image.shape[1])
        return cls(image=image, positions=positions, scale=scale, updates=(), bias=bias)

    def token_to_image(self, attention: Attention, queries: Tensor) -> Tensor:
        heads, values = attention.heads, attention.of_head(attention.v_proj)
        q = attention.split(attention.q_proj(queries)) * attention.scale
        image = _projected(values, self.image).transpose(1, 2).contiguous()  # (heads, P, c)
        output = torch.empty_like(q)
        sums = [q.new_empty(len(q), heads * q.shape[2], u.weights.shape[1]) for u in self.updates]
        for some, scores in self._scores(q, attention.of_head(attention.k_proj)):
            shares = torch.softmax(scores, 2, out=scores).mul_(self.scale[some, None])
            for share, into in zip(shares.unflatten(1, (heads, -1)), output[some], strict=True):
                torch.bmm(share, image, out=into)
            for update, total in zip(self.updates, sums, strict=True):
                torch.bmm(shares, update.weights[some].transpose(1, 2), out=total[some])
        for update, total in zip(self.updates, sums, strict=True):
            rows = (total @ update.rows).unflatten(1, (heads, -1))
            output += rows @ values.transpose(1, 2)
        output = output.transpose(1, 2).flatten(2)
        return attention.out_proj(output + attention.v_proj(self.bias))

    def image_to_token(
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
        # The weights of a head sum to 1, so constants are distributed over the heads.
        constant = (attention.out_proj.bias + self.bias).expand(heads, 1, -1) / heads
        inner = F.pad(attention.split(attention.v_proj(values)), (0, 1), value=1.0)
        update = _Update(weights, inner, torch.cat([attention.out_of_head, constant], 1))
        return replace(self, updates=(*self.updates, update))._normed(norm)

    def _scores(self, q: Tensor, projection: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Products (n, heads * T, P) of tokens (N, heads, T, c) and image tokens, a few at a time.

        Image tokens have their positions and are projected, without the bias. A yielded tensor is
        overwritten by the next.
        """
        image = _projected(projection, self.image)
        positions = _projected(projection, self.positions)
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
        """After layer norm; the last update contains the bias."""
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
            for update, basis, rows in zip(updates, on_image, on_rows, strict=True):
                products = buffer[: len(squares)]
                _multiply(
                    update.inner[some], basis, out=products.unflatten(1, update.inner.shape[1:3])
                )
                for row, other in zip(rows, updates, strict=False):
                    products.baddbmm_(row[some], other.weights[some])
                squares = squares + products.mul_(update.weights[some]).sum(1)
            squares = squares.clamp(min=0)  # rounding may make them negative
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
    """What one layer adds for N prompts: weighted sums of rows, which are inner @ basis.

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


def _projected(projection: Tensor, tokens: Tensor) -> Tensor:
    """(heads, c, D), (P, D) -> (heads, c, P)."""
    return (projection.flatten(0, 1) @ tokens.t()).unflatten(0, projection.shape[:2])


def _multiply(tokens: Tensor, image: Tensor, *, out: Tensor) -> None:
    """(n, heads, T, c), (heads, c, P) -> (n, heads, T, P); one product would copy the image."""
    for one, into in zip(tokens, out, strict=True):
        torch.bmm(one, image, out=into)
