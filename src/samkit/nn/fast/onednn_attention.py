"""Scaled dot-product attention in float32 by oneDNN, where that multiplies faster than MKL."""

from collections.abc import Iterator

import torch
from torch import Tensor

from samkit.nn.fast.linear import linear, onednn_is_available
from samkit.nn.fast.switch import fast_on_cpu

__all__ = ["attend_by_onednn", "attend_on_grid_by_onednn", "onednn_attends_faster"]

# Queries at a time; their scores stay in the cache.
_QUERIES = 256
# With fewer keys, torch's attention is as fast.
_KEYS = 1024


def onednn_attends_faster(q: Tensor, keys: int) -> bool:
    """Whether to use `attend_by_onednn`: with AVX-512, for many keys, without gradients.

    With AVX2 MKL is as fast, and torch's attention takes fewer calls.
    """
    return (
        fast_on_cpu(q)
        and q.dtype == torch.float32
        and keys >= _KEYS
        and onednn_is_available("AVX512")
    )


def attend_by_onednn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention (..., L, c), (..., K, c), (..., K, d) -> (..., L, d), some queries at a time."""
    output = q.new_empty(*q.shape[:-1], v.shape[-1])
    for queries, key, value, into in _by_head(q * q.shape[-1] ** -0.5, k, v, output):
        key, value = key.contiguous(), value.t().contiguous()
        for rows, result in zip(queries.split(_QUERIES), into.split(_QUERIES), strict=True):
            scores = linear(rows, key, None)
            result.copy_(linear(torch.softmax(scores, -1, out=scores), value, None))
    return output


def attend_on_grid_by_onednn(
    q: Tensor, k: Tensor, v: Tensor, row_bias: Tensor, column_bias: Tensor
) -> Tensor:
    """Attention over a grid with biases of the keys' rows and columns.

    Args:
        q, k, v: (B, heads, H * W, c).
        row_bias, column_bias: (B, heads, H, W, H), (B, heads, H, W, W).

    Returns:
        (B, heads, H * W, c).
    """
    output = q.new_empty(q.shape)  # contiguous, so that its heads are views
    row_bias, column_bias = (bias.flatten(2, 3) for bias in (row_bias, column_bias))
    tensors = (q * q.shape[-1] ** -0.5, k, v, output, row_bias, column_bias)
    for queries, key, value, into, row, column in _by_head(*tensors):
        key, value = key.contiguous(), value.t().contiguous()
        for start in range(0, len(queries), _QUERIES):
            part = slice(start, start + _QUERIES)
            scores = linear(queries[part], key, None)
            on_grid = scores.view(len(scores), row.shape[-1], column.shape[-1])
            on_grid.add_(row[part, :, None]).add_(column[part, None])
            into[part] = linear(torch.softmax(scores, -1, out=scores), value, None)
    return output


def _by_head(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Each tensor's last two axes, for one batch and head after the other."""
    return zip(*(tensor.flatten(0, -3) for tensor in tensors), strict=True)
