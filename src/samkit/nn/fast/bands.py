"""Maps that are worked through in bands of rows, so that what lies between stays in the cache."""

from collections.abc import Callable

import torch
from torch import Tensor

from samkit.nn.fast.switch import fast_on_cpu

__all__ = ["in_bands"]

# Places at a time: enough rows for a matrix product to be as fast as it gets.
_PLACES = 1024


def in_bands(function: Callable[[Tensor], Tensor], x: Tensor, step: int = 1) -> Tensor:
    """A function of a map (B, H, W, C), for some rows at a time; in the plain form, for all.

    Args:
        function: what it gives for `step` rows depends on these alone, and for a band with an even
            number of rows it may have half as many.
        x: the map.
        step: a band has a multiple of this many rows.
    """
    rows = step * max(1, _PLACES // (step * x.shape[0] * x.shape[2]))
    if not fast_on_cpu(x) or rows >= x.shape[1]:
        return function(x)
    return torch.cat([function(band) for band in x.split(rows, 1)], 1)
