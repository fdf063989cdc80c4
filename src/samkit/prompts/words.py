"""Values in messages, and prompts in their representation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHOWN_POINTS = 6


def describe(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    if isinstance(value, (list, tuple)) and value:
        return f"{type(value).__name__} of {type(value[0]).__name__}"
    return type(value).__name__


def how_to_write(value: object) -> str:
    """The end of an error message: what the caller probably meant, or nothing."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return ""
    if array.dtype.kind not in "biuf":
        return ""
    if array.shape == (2,):
        return f"; write a click as Prompt.point({show_numbers(array)})"
    if array.shape == (4,):
        return f"; write a box as Prompt.box({show_numbers(array)})"
    if array.ndim == 2 and array.shape[1] == 2:
        return (
            "; write clicks on one object as Prompt.points(array), "
            "and a click on each of several as [Prompt.point(x, y) for x, y in array]"
        )
    if array.ndim == 2 and array.shape[1] == 4:
        return "; write boxes as [Prompt.box(*box) for box in array]"
    if array.ndim == 2:
        return "; write a mask as Prompt.mask(array)"
    return ""


def show_number(value: Any) -> str:
    return str(value).removesuffix(".0")


def show_numbers(values: NDArray[Any]) -> str:
    return ", ".join(show_number(value) for value in values)


def show_points(coords: NDArray[np.float32], labels: NDArray[np.int32]) -> str:
    if len(coords) == 1:
        label = "" if labels[0] == 1 else ", label=0"
        return f"Prompt.point({show_numbers(coords[0])}{label})"
    if len(coords) > _SHOWN_POINTS:
        return f"Prompt.points(<{len(coords)} points, {int(labels.sum())} foreground>)"
    shown = ", ".join(f"[{show_numbers(xy)}]" for xy in coords)
    ending = "" if labels.all() else f", labels={labels.tolist()}"
    return f"Prompt.points([{shown}]{ending})"
