"""Maps that are worked through some places at a time, so that what lies between stays in the cache.

A map of Hiera's first stage takes 25 MB, and 100 MB between the layers of an MLP. Written to memory
and read again, that takes longer than the products.
"""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from samkit.nn.fast.switch import fast_on_cpu

__all__ = ["in_bands", "in_windows", "rows_at_a_time"]

# Places at a time in float32: enough rows for a matrix product to be as fast as it gets.
_PLACES = 2048


def in_bands(function: Callable[[Tensor], Tensor], x: Tensor, step: int = 1) -> Tensor:
    """A function of a map (B, H, W, C), for some rows at a time; in the plain form, for all.

    What it gives for `step` rows depends on these alone. It may halve the map.
    """
    rows = rows_at_a_time(x, step)
    if rows >= x.shape[1]:
        return function(x)
    return torch.cat([function(band) for band in x.split(rows, 1)], 1)


def rows_at_a_time(x: Tensor, step: int = 1) -> int:
    """How many rows of a map (B, H, W, C) to work through at a time, a multiple of `step`.

    In the plain form these are all.
    """
    if not fast_on_cpu(x):
        return max(1, x.shape[1])
    return step * max(1, _places(x) // (step * x.shape[0] * x.shape[2]))


def in_windows(function: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
    """A function of a map (B, H, W, C), for some windows at a time; in the plain form, for all.

    What it gives for a window of size x size depends on that alone. It may halve the map. Windows
    that cover the map come as a batch (N, size, size, C), and others in bands of rows.
    """
    if not fast_on_cpu(x) or x.shape[1] % size or x.shape[2] % size:
        return in_bands(function, x, size)
    windows = _windows(x, size)
    images, down, across = windows.shape[:3]
    columns = max(1, min(across, _places(x) // size**2))
    rows = max(1, _places(x) // (columns * size**2))
    output = into = None
    for b, i, j in product(range(images), range(0, down, rows), range(0, across, columns)):
        place = b, slice(i, i + rows), slice(j, j + columns)
        some = windows[place]
        y = function(some.flatten(0, 1))
        if output is None or into is None:
            output = y.new_empty(images, down * y.shape[1], across * y.shape[2], y.shape[3])
            into = _windows(output, y.shape[1])
        into[place] = y.unflatten(0, some.shape[:2])
    assert output is not None
    return output


def _places(x: Tensor) -> int:
    return _PLACES * 4 // x.element_size()


def _windows(x: Tensor, size: int) -> Tensor:
    """A view (B, rows, columns, size, size, C) of a map (B, H, W, C)."""
    return x.unflatten(2, (-1, size)).unflatten(1, (-1, size)).transpose(2, 3)
