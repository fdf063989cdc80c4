"""Attention of one head that keeps its scores in a CPU's cache, for values of any width."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.bfloat16_attention import attend_in_bfloat16, bfloat16_is_faster
from samkit.nn.fast.linear import linear, onednn_is_available
from samkit.nn.fast.switch import fast_on_cpu

__all__ = ["attend_then_project", "weighted_sums"]

# Keys, and scores, at a time. For more scores, memory is taken from the system and given back to
# it at each turn, which costs a tenth of the time.
_KEYS, _SCORES = 4096, 2**21
# With fewer keys, torch's attention is as fast.
_FEW_KEYS = 1024
# A share from which the sum of exponentials is read. With less, float32 loses digits.
_LEAST_SHARE = 1e-30


def attend_then_project(q: Tensor, k: Tensor, v: Tensor, projection: nn.Linear) -> Tensor:
    """Attention to projected values; the projection comes last where that takes fewer products.

    The weighted sum of projected values is the projection of the weighted sum.

    Args:
        q, k, v: (B, 1, L, c), (B, 1, K, c), (B, K, d).
        projection: d to c channels.

    Returns:
        (B, 1, L, c).
    """
    if v.shape[-1] < q.shape[-1]:
        return projection(weighted_sums(q, k, v[:, None]))
    return weighted_sums(q, k, projection(v)[:, None])


def weighted_sums(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention in the form that is fastest on a CPU.

    Args:
        q, k, v: (B, heads, L, c), (B, heads, K, c), (B, heads, K, d), where d may be less than c.

    Returns:
        (B, heads, L, d).
    """
    if bfloat16_is_faster(q, k.shape[-2]):
        return attend_in_bfloat16(q * q.shape[-1] ** -0.5, k, v)
    if v.shape[-1] == q.shape[-1] and not _tiles_are_faster(q, k.shape[-2]):
        return F.scaled_dot_product_attention(q, k, v)
    by_head = (x.flatten(0, 1) for x in (q * q.shape[-1] ** -0.5, k, v))
    outputs = [_attend_in_tiles(*one) for one in zip(*by_head, strict=True)]
    return torch.stack(outputs).unflatten(0, q.shape[:2])


def _tiles_are_faster(q: Tensor, keys: int) -> bool:
    """Whether tiles are faster than torch's attention, where values are as wide as queries."""
    return (
        fast_on_cpu(q)
        and q.dtype == torch.float32
        and keys >= _FEW_KEYS
        and onednn_is_available("AVX2", "AVX512")
    )


def _attend_in_tiles(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention (L, c), (K, c), (K, d) -> (L, d), some queries and some keys at a time.

    Each tile has its own softmax; its weight is its share of the sum of exponentials, as in
    FlashAttention (2205.14135, section 3.1).
    """
    output = q.new_empty(len(q), v.shape[1])
    at_once = max(1, _SCORES // min(len(k), _KEYS))
    keys = k.split(_KEYS)
    values = [part.t().contiguous() for part in v.split(_KEYS)]
    for rows, into in zip(q.split(at_once), output.split(at_once), strict=True):
        sums, totals = [], []
        for key, value in zip(keys, values, strict=True):
            scores = linear(rows, key, None)
            first = scores[:, 0].clone()
            shares = torch.softmax(scores, -1, out=scores)
            sums.append(linear(shares, value, None))
            totals.append(_log_sums(rows, key, first, shares))
        weights = torch.stack(totals).softmax(0)
        into.copy_(torch.einsum("tld,tl->ld", torch.stack(sums), weights))
    return output


def _log_sums(rows: Tensor, keys: Tensor, first: Tensor, shares: Tensor) -> Tensor:
    """Logarithms of the sums of exponentials (L,): a score less the logarithm of its share.

    Args:
        rows, keys: (L, c), (K, c) of a tile.
        first: (L,) scores of the first key.
        shares: (L, K), softmax of the scores.
    """
    share = shares[:, 0]
    if share.min() < _LEAST_SHARE:
        share, best = shares.max(-1)
        first = (rows * keys[best]).sum(-1)
    return first - share.log()
