"""Arguments of the methods of a predictor, checked."""

from operator import index
from typing import Any

from samkit.errors import InputError, shown
from samkit.image_predictor.embedding import ImageEmbedding
from samkit.prompts import Prompt

__all__ = ["checked_candidates", "several"]


def checked_candidates(value: int, available: int) -> int:
    """How many candidates of each prompt are wanted: 1, or all that there are.

    Raises:
        InputError: another number.
    """
    try:
        count = index(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        count = 0
    if isinstance(value, bool) or count not in (1, available):
        raise InputError(f"candidates: expected 1 or {available}, got {shown(value)}")
    return count


def several(name: str, value: Any) -> list[Any]:
    """A sequence or iterable of several things, as a list.

    Raises:
        InputError: one thing alone.
    """
    single = isinstance(value, (str, bytes, dict, Prompt, ImageEmbedding))
    if single or hasattr(value, "shape") or not hasattr(value, "__iter__"):
        kind = type(value).__name__
        raise InputError(f"{name}: expected a list, with one entry for each image, got {kind}")
    return list(value)
