"""Masks as pictures, which pages draw."""

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from samkit.geometry import mask_boxes

__all__ = ["mask_picture"]

# Of the picture of a mask, which is made smaller until it has no more.
_MOST_PIXELS = 2**22


def mask_picture(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """A mask within its box as a PNG of one bit, made smaller if it is very large.

    `scale` pixels of the image are one of the picture, whose corner is at x, y.
    """
    x0, y0, x1, y1 = mask_boxes(mask[None])[0].astype(int).tolist()
    part = mask[y0:y1, x0:x1]
    scale = 1
    while part[::scale, ::scale].size > _MOST_PIXELS:
        scale += 1
    small = part[::scale, ::scale]
    file = io.BytesIO()
    Image.fromarray(small if small.size else np.zeros((1, 1), np.bool_)).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    area = int(np.count_nonzero(mask))
    return {"x": x0, "y": y0, "scale": scale, "box": [x0, y0, x1, y1], "area": area, "png": data}
