"""Position encodings: random Fourier features, sine, temporal sine and axial rotary."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from samkit.nn.fast.complex_rotary import complex_turns, rotate_complex
from samkit.nn.fast.switch import fast_on_cpu

__all__ = [
    "FourierPositions",
    "apply_rotary",
    "axial_rotary",
    "sine_of_places",
    "sine_positions",
    "temporal_sine",
]


class FourierPositions(nn.Module):
    """Random Fourier features of positions in 0..1 (2006.10739), used for points and images.

    Prompts and images must use the same matrix. Always computed in float32, because coordinates are
    inaccurate in half precision.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        matrix = torch.randn(2, dim // 2, dtype=torch.float32)
        self.register_buffer("positional_encoding_gaussian_matrix", matrix)
        self._last: tuple[object, Tensor] | None = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FourierPositions":
        # Moves with the network to a device, but keeps its dtype.
        matrix = self.positional_encoding_gaussian_matrix
        super()._apply(fn, recurse)
        device = self.positional_encoding_gaussian_matrix.device
        self.positional_encoding_gaussian_matrix = matrix.to(device)
        return self

    def encode(self, positions: Tensor) -> Tensor:
        """Positions (..., 2) as xy in 0..1 -> (..., dim) float32."""
        matrix = self.positional_encoding_gaussian_matrix
        angles = 2 * math.pi * ((2 * positions.float() - 1) @ matrix)
        return torch.cat([angles.sin(), angles.cos()], -1)

    def grid(self, height: int, width: int) -> Tensor:
        """Encoding of every cell's centre -> (1, dim, height, width) float32."""
        matrix = self.positional_encoding_gaussian_matrix
        if not fast_on_cpu(matrix) or matrix.is_inference():
            return self._grid(height, width)
        # The last one is kept: it takes as long as a part of a click.
        wanted = (height, width, matrix.data_ptr(), matrix._version)
        last = self._last
        if last is None or last[0] != wanted:
            last = self._last = wanted, self._grid(height, width)
        return last[1]

    def _grid(self, height: int, width: int) -> Tensor:
        device = self.positional_encoding_gaussian_matrix.device
        y = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) / height
        x = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) / width
        yy, xx = torch.meshgrid(y, x, indexing="ij")
        return self.encode(torch.stack([xx, yy], -1)).permute(2, 0, 1)[None]


def sine_positions(dim: int, height: int, width: int, *, temperature: float = 10000.0) -> Tensor:
    """Sine encoding of a grid as in DETR (2005.12872) -> (1, dim, height, width).

    In float32 on the CPU.
    """

    def along(length: int) -> Tensor:
        position = torch.arange(1, length + 1, dtype=torch.float32, device="cpu")
        return sine_of_places(position / (length + 1e-6), dim // 2, temperature=temperature)

    y = along(height)[:, None].expand(height, width, -1)
    x = along(width)[None].expand(height, width, -1)
    return torch.cat([y, x], -1).permute(2, 0, 1)[None]


def sine_of_places(places: Tensor, dim: int, *, temperature: float = 10000.0) -> Tensor:
    """Sine encoding of places (...) from 0 to 1 -> (..., dim), sines and cosines in turn."""
    steps = torch.arange(dim, dtype=torch.float32, device=places.device)
    scale = temperature ** (2 * (steps // 2) / dim)
    angles = (places * 2 * math.pi)[..., None] / scale
    return torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], -1).flatten(-2)


def temporal_sine(times: Tensor, dim: int, *, temperature: float = 10000.0) -> Tensor:
    """One-dimensional sine encoding of times (N,) -> (N, dim)."""
    steps = torch.arange(dim // 2, dtype=torch.float32, device=times.device)
    angles = times[:, None] / temperature ** (2 * (steps // 2) / (dim // 2))
    return torch.cat([angles.sin(), angles.cos()], -1)


def axial_rotary(
    dim: int,
    height: int,
    width: int,
    *,
    theta: float = 10000.0,
    span: int | None = None,
    device: torch.device,
) -> Tensor:
    """Two-dimensional rotary positions (2403.13298): cosines and sines (h * w, dim / 2, 2).

    Half of them turn with x, half with y. The grid lies in one of `span` rows and columns; None is
    a grid of its own size.
    """
    steps = torch.arange(0, dim, 4, dtype=torch.float32, device=device)
    frequencies = theta ** -(steps[: dim // 4] / dim)

    def along(length: int) -> Tensor:
        places = torch.arange(length, dtype=torch.float32, device=device)
        angles = torch.outer(places if span is None else places * (span / length), frequencies)
        if fast_on_cpu(angles):
            return complex_turns(angles)
        return torch.stack([angles.cos(), angles.sin()], -1)

    x = along(width)[None].expand(height, -1, -1, -1)
    y = along(height)[:, None].expand(-1, width, -1, -1)
    return torch.cat([x, y], 2).flatten(0, 1)


def apply_rotary(x: Tensor, turns: Tensor) -> Tensor:
    """Rotate channel pairs of x (B, heads, N, c) by cosines and sines (L, c / 2, 2).

    N may be a multiple of L: several memories on the same grid, one after the other.
    """
    pairs = x.float().unflatten(2, (-1, turns.shape[0])).unflatten(-1, (-1, 2))
    if fast_on_cpu(x):
        rotated = rotate_complex(pairs, turns)
    else:
        (a, b), (cos, sin) = pairs.unbind(-1), turns.unbind(-1)
        rotated = torch.stack([a * cos - b * sin, a * sin + b * cos], -1)
    return rotated.flatten(-2).flatten(2, 3).to(x.dtype)
