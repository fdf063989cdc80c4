"""Maps (B, C, H, W) that convolutions make some rows at a time.

A fine map takes much memory: one of SAM 3, of 288 x 288 places in 256 channels, 85 MB. Of those
between two layers there is a band of rows at a time, which also stays in the cache.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import product

__all__ = ["bands", "convolved", "joined", "norm_groups_then_relu"]

# Places of a map at a time.
_PLACES = 4096


def bands(x: Tensor, scale: int = 1) -> tuple[Tensor, ...]:
    """Some rows of a map after the other, of which as many places become of each as fit.

    Args:
        x: the map.
        scale: how much finer the map is that is made of it.
    """
    return x.split(max(1, _PLACES // (scale**2 * x.shape[0] * x.shape[3])), 2)


def convolved(
    maps: Iterable[Tensor], conv: nn.Module, head: nn.Module | None = None
) -> Iterator[Tensor]:
    """A convolution of 3 x 3 on a map with zeros around, of which some rows come at a time.

    All bands together have the rows of the map; each has those whose neighbours have come.

    Args:
        maps: some rows after the other.
        conv: the convolution.
        head: a 1x1 convolution after it; both are computed as one.
    """
    assert isinstance(conv, nn.Conv2d)
    weight, bias = (conv.weight, conv.bias) if head is None else product(conv, head)
    above = None
    for band in (band.to(weight.dtype) for band in maps):
        if above is None:
            above = torch.zeros_like(band[:, :, :1])
        rows = torch.cat([above, band], 2)
        if rows.shape[2] > 2:
            yield F.conv2d(rows, weight, bias, padding=(0, 1))
        above = rows[:, :, -2:].clone()
    if above is not None:
        rows = torch.cat([above, torch.zeros_like(above[:, :, :1])], 2)
        yield F.conv2d(rows, weight, bias, padding=(0, 1))


def joined(maps: Iterable[Tensor], height: int) -> Tensor:
    """Bands of `height` rows as one map, with channels last."""
    whole, top = torch.empty(0), 0
    for band in maps:
        if not top:
            whole = torch.empty(
                (*band.shape[:2], height, band.shape[3]),
                dtype=band.dtype,
                device=band.device,
                memory_format=torch.channels_last,
            )
        whole[:, :, top : top + band.shape[2]] = band
        top += band.shape[2]
    return whole


def norm_groups_then_relu(norm: nn.Module, x: Tensor) -> Tensor:
    """A group norm, then ReLU, in place."""
    assert isinstance(norm, nn.GroupNorm)
    for image in x.split(1):
        parts = bands(image)
        means, variances = _statistics(parts, norm.num_groups)
        scale = torch.rsqrt(variances + norm.eps)[:, None] * _grouped(norm.weight, norm.num_groups)
        shift = _grouped(norm.bias, norm.num_groups) - means[:, None] * scale
        scale, shift = (each.view(1, -1, 1, 1).to(x.dtype) for each in (scale, shift))
        for band in parts:
            band.mul_(scale).add_(shift).relu_()
    return x


def _statistics(parts: Sequence[Tensor], groups: int) -> tuple[Tensor, Tensor]:
    """Means and variances (G,) float64 of the groups of channels of one map."""
    # A batch norm gives those of channels ten times faster than functions that give nothing else.
    found = [
        torch.native_batch_norm(part, None, None, None, None, True, 0.0, 0.0)[1:] for part in parts
    ]
    means, inverse = (torch.stack(each, -1).double() for each in zip(*found, strict=True))
    rows = means.new_tensor([part.shape[2] for part in parts])
    shares = rows / (rows.sum() * (len(means) // groups))
    means, variances = _grouped(means, groups), _grouped(inverse**-2, groups)
    mean = (means * shares).sum((1, 2))
    spread = variances + (means - mean[:, None, None]).square()
    return mean, (spread * shares).sum((1, 2))


def _grouped(x: Tensor, groups: int) -> Tensor:
    return x.unflatten(0, (groups, -1))
