"""Decoded frames to RGB, turned as the file asks for."""

from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Colorspace

__all__ = ["Turn", "turn_of", "upright_rgb"]

_BT709 = 1  # number of the colour space in H.264 and others
_SMALL = 16  # pixels


@dataclass(frozen=True)
class Turn:
    """How stored pixels are shown: first axes are swapped, then directions reversed."""

    swaps_axes: bool
    flips_rows: bool
    flips_columns: bool


def turn_of(frame: av.VideoFrame) -> Turn:
    """From the display matrix: (x, y) stored is (a x + c y, b x + d y) shown.

    It is the same for all frames of a video.
    """
    # A small copy is asked: a frame and its side data refer to each other once they were asked for,
    # and are freed only when Python looks for such circles.
    data: Any = frame.reformat(_SMALL, _SMALL).side_data.get("DISPLAYMATRIX")
    if data is None:
        return Turn(False, False, False)
    a, b, _, c, d = np.frombuffer(bytes(data), "=i4")[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(True, b < 0, c < 0)
    return Turn(False, d < 0, a < 0)


def upright_rgb(frame: av.VideoFrame, turn: Turn) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8, not to be changed."""
    # Older versions of PyAV look at the colour space only if they are told two different ones; that
    # of RGB does not matter.
    space = Colorspace.ITU709 if frame.colorspace == _BT709 else None
    other = None if space is None else Colorspace.ITU601
    pixels: npt.NDArray[Any] = frame.to_ndarray(
        format="rgb24", src_colorspace=space, dst_colorspace=other
    )
    if turn.swaps_axes:
        pixels = pixels.transpose(1, 0, 2)
    if turn.flips_rows:
        pixels = pixels[::-1]
    if turn.flips_columns:
        pixels = pixels[:, ::-1]
    upright = np.ascontiguousarray(pixels)
    upright.flags.writeable = False
    return upright
