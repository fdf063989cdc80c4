"""Scaled dot-product attention in bfloat16 on CPUs."""

import torch
from torch import Tensor

from samkit.nn.layers import infers_on_cpu

__all__ = ["attend_in_bfloat16", "pays_in_bfloat16"]

# Queries, and scores, at a time: they stay in the cache.
_QUERIES, _SCORES = 512, 2**24
# Where there are fewer keys, torch's own attention is as fast.
_KEYS = 1024


def pays_in_bfloat16(q: Tensor, keys: int) -> bool:
    """Whether `attend_in_bfloat16` is to be used: on CPUs, for many keys, without gradients.

    It was measured to be faster than torch's attention on a CPU without a matrix unit.
    """
    return q.dtype == torch.bfloat16 and keys >= _KEYS and infers_on_cpu(q)


def attend_in_bfloat16(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention as two matrix products with all keys, for some queries at a time.

    Scores are rounded to bfloat16. What all keys have in common makes no difference to attention,
    but scores larger and their rounding coarser, so it is taken off.

    Args:
        q, k, v: (..., L, c), scaled; (..., K, c); (..., K, d).

    Returns:
        (..., L, d).
    """
    found = q.new_empty(*q.shape[:-1], v.shape[-1])
    keys = (k - k.mean(-2, keepdim=True)).transpose(-2, -1)
    at_once = max(1, min(_QUERIES, _SCORES // k.shape[-2]))
    buffer = q.new_empty(at_once, k.shape[-2])
    heads = (x.reshape(-1, *x.shape[-2:]) for x in (q, keys, v, found))
    for queries, key, value, out in zip(*heads, strict=True):
        for rows, into in zip(queries.split(at_once), out.split(at_once), strict=True):
            scores = torch.mm(rows, key, out=buffer[: len(rows)])
            torch.mm(torch.softmax(scores, -1, out=scores), value, out=into)
    return found
