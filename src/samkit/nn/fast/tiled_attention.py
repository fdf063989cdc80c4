"""Attention of one head that keeps its scores in a CPU's cache, for values of any width."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.bfloat16_attention import attend_in_bfloat16, bfloat16_is_faster
from samkit.nn.fast.onednn_attention import attend_by_onednn, onednn_attends_faster

__all__ = ["attend_then_project", "weighted_sums"]

# Queries and keys at a time; their scores stay in the cache.
_QUERIES, _KEYS = 512, 1024


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
        q, k, v: (B, 1, L, c), (B, 1, K, c), (B, 1, K, d), where d may be less than c; of any
            number of heads where it is c.

    Returns:
        (B, 1, L, d).
    """
    if bfloat16_is_faster(q, k.shape[-2]):
        return attend_in_bfloat16(q * q.shape[-1] ** -0.5, k, v)
    if onednn_attends_faster(q, k.shape[-2]):
        return attend_by_onednn(q, k, v)
    if v.shape[-1] == q.shape[-1]:
        return F.scaled_dot_product_attention(q, k, v)
    scaled = q * q.shape[-1] ** -0.5
    outputs = [_attend_in_tiles(*one) for one in zip(scaled[:, 0], k[:, 0], v[:, 0], strict=True)]
    return torch.stack(outputs)[:, None]


def _attend_in_tiles(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention (L, c), (K, c), (K, d) -> (L, d), some queries and some keys at a time.

    Each tile has its own softmax; its weight is its share of the sum of exponentials, as in
    FlashAttention (2205.14135, section 3.1).
    """
    output = q.new_empty(len(q), v.shape[1])
    for rows, into in zip(q.split(_QUERIES), output.split(_QUERIES), strict=True):
        sums, weights = [], []
        for keys, values in zip(k.split(_KEYS), v.split(_KEYS), strict=True):
            scores = rows @ keys.t()
            shares = scores.softmax(-1)
            sums.append(shares @ values)
            # The largest share is exp(largest score) / sum of exponentials.
            weights.append(scores.amax(-1) - shares.amax(-1).log())
        shares = torch.stack(weights).softmax(0)
        into.copy_(torch.einsum("tld,tl->ld", torch.stack(sums), shares))
    return output
