"""Bicubic interpolation as two matrix products."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["interpolate_by_products"]


def interpolate_by_products(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic interpolation of small maps (B, C, h, w) to (B, C, *size), with channels last."""
    with torch.autocast("cpu", enabled=False):  # in the dtype of the maps
        down, across = (
            _matrix(old, new, maps.dtype) for old, new in zip(maps.shape[2:], size, strict=True)
        )
        places = maps.permute(0, 2, 3, 1)
        tall = (down @ places.flatten(2)).unflatten(2, places.shape[2:])
        return (across @ tall).permute(0, 3, 1, 2)


def _matrix(old: int, new: int, dtype: torch.dtype) -> Tensor:
    """(new, old): what each of the old places gives to the new ones."""
    each = torch.eye(old, dtype=dtype, device="cpu")[None, :, :, None]
    return F.interpolate(each, (new, 1), mode="bicubic")[0, :, :, 0].T
