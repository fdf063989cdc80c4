"""Scaled dot-product attention in bfloat16 on CPUs."""

import torch
from torch import Tensor

from samkit.nn.fast.switch import fast_on_cpu

__all__ = ["attend_in_bfloat16", "attend_on_grid_in_bfloat16", "bfloat16_is_faster"]

# Queries, and scores, at a time, to stay in the cache.
_QUERIES, _SCORES = 512, 2**24
# With fewer keys, torch's attention is as fast.
_KEYS = 1024


def bfloat16_is_faster(q: Tensor, keys: int) -> bool:
    """Whether to use `attend_in_bfloat16`: on CPUs, for many keys, without gradients.

    Measured on a CPU without a matrix unit.
    """
    return q.dtype == torch.bfloat16 and keys >= _KEYS and fast_on_cpu(q)


def attend_in_bfloat16(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention as two matrix products with all keys, for some queries at a time.

    Scores are rounded to bfloat16. The mean key is subtracted: it does not change attention, but
    would make scores larger and their rounding coarser.

    Args:
        q, k, v: (..., L, c), scaled; (..., K, c); (..., K, d).

    Returns:
        (..., L, d).
    """
    output = q.new_empty(*q.shape[:-1], v.shape[-1])
    keys = (k - k.mean(-2, keepdim=True)).transpose(-2, -1)
    at_once = max(1, min(_QUERIES, _SCORES // k.shape[-2]))
    buffer = q.new_empty(at_once, k.shape[-2])
    heads = (x.reshape(-1, *x.shape[-2:]) for x in (q, keys, v, output))
    for queries, key, value, out in zip(*heads, strict=True):
        for rows, into in zip(queries.split(at_once), out.split(at_once), strict=True):
            scores = torch.mm(rows, key, out=buffer[: len(rows)])
            torch.mm(torch.softmax(scores, -1, out=scores), value, out=into)
    return output


def attend_on_grid_in_bfloat16(
    q: Tensor, k: Tensor, v: Tensor, row_bias: Tensor, column_bias: Tensor
) -> Tensor:
    """Attention over a grid with biases of the keys' rows and columns.

    A bias is its product with the one-hot vector of the key's row or column.

    Args:
        q, k, v: (B, heads, H * W, c).
        row_bias, column_bias: (B, heads, H, W, H), (B, heads, H, W, W).

    Returns:
        (B, heads, H * W, c).
    """
    B, heads, H, W, _ = row_bias.shape
    row = torch.eye(H, dtype=k.dtype, device=k.device).repeat_interleave(W, 0)
    column = torch.eye(W, dtype=k.dtype, device=k.device).repeat(H, 1)
    one_hot = torch.cat([row, column], 1).expand(B, heads, -1, -1)
    biases = torch.cat([row_bias, column_bias], -1).flatten(2, 3)
    q = torch.cat([q * q.shape[-1] ** -0.5, biases], -1)
    return attend_in_bfloat16(q, torch.cat([k, one_hot], -1), v)
