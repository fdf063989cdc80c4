"""The mask of a prompt to values that JSON holds exactly, and back."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samkit import rle
from samkit.errors import InputError, PromptError
from samkit.prompts.words import describe

_KEYS = ({"size", "counts"}, {"size", "logits"})
# A few characters of run lengths can stand for any number of pixels; no image read has more.
_MAX_PIXELS = 2**29


def mask_to_dict(mask: NDArray[Any]) -> dict[str, Any]:
    height, width = mask.shape
    if mask.dtype == np.bool_:
        return {**rle.as_rle(rle.encode([mask])[0], (height, width))}
    logits = base64.b64encode(mask.astype("<f4").tobytes()).decode("ascii")
    return {"size": [height, width], "logits": logits}


def mask_from_dict(values: object) -> NDArray[np.bool_] | NDArray[np.float32]:
    if not isinstance(values, Mapping) or set(values) not in _KEYS:
        raise PromptError(
            f"mask: expected a dict with size, and counts or logits, got {describe(values)}"
        )
    size = values["size"]
    is_pair = isinstance(size, (list, tuple)) and len(size) == 2
    if not is_pair or not all(type(side) is int and side > 0 for side in size):
        raise PromptError("mask: expected size [height, width] of whole numbers from 1 on")
    height, width = size
    if height * width > _MAX_PIXELS:
        raise PromptError(f"mask: expected a size of at most {_MAX_PIXELS} pixels")
    if "counts" in values:
        try:
            counts = rle.checked_counts(values, (height, width), "the mask")
        except InputError as error:
            raise PromptError(f"mask: {error}") from error
        return rle.decode_one(counts, (height, width))
    try:
        data = base64.b64decode(values["logits"], validate=True)
    except (TypeError, ValueError) as error:
        raise PromptError(f"mask: expected logits as base64 ({error})") from error
    if len(data) != height * width * 4:
        raise PromptError(
            f"mask: expected logits of {height} x {width} float32 numbers, got {len(data)} bytes"
        )
    return np.frombuffer(data, "<f4").reshape(height, width).astype(np.float32)
