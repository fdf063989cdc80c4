"""Rotary positions in complex numbers: one pass over memory instead of several."""

import torch
from torch import Tensor

__all__ = ["complex_turns", "rotate_complex"]


def complex_turns(angles: Tensor) -> Tensor:
    """Angles (...) -> their cosines and sines (..., 2)."""
    return torch.view_as_real(torch.polar(torch.ones_like(angles), angles))


def rotate_complex(pairs: Tensor, turns: Tensor) -> Tensor:
    """Pairs (..., 2) float32, rotated by cosines and sines that broadcast to them."""
    pairs = torch.view_as_complex(pairs.contiguous()) * torch.view_as_complex(turns)
    return torch.view_as_real(pairs)
