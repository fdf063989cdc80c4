"""What a user points at: clicks, a box, a mask, or several of them about one object."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samkit import rle
from samkit.errors import InputError, PromptError

__all__ = ["Prompt", "as_prompts"]

_SHOWN_POINTS = 6
# No image is as large; beyond it, arithmetic on float32 coordinates overflows.
_MAX_COORDINATE = 1e9
# A few characters of run lengths can stand for any number of pixels; no image read has more.
_MAX_MASK_PIXELS = 2**29
_KEYS = ("points", "labels", "box", "mask")
_MASK_KEYS = ({"size", "counts"}, {"size", "logits"})


def _no_points() -> NDArray[np.float32]:
    return np.zeros((0, 2), np.float32)


def _no_labels() -> NDArray[np.int32]:
    return np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Prompt:
    """Everything that is said about one object of one image.

    Build it with :meth:`point`, :meth:`points`, :meth:`box` and :meth:`mask`, and combine with
    ``+``: points add up, in order; there can be one box and one mask.

    >>> Prompt.point(420, 310) + Prompt.point(50, 60, label=0) + Prompt.box(9, 9, 300, 400)
    Prompt.points([[420, 310], [50, 60]], labels=[1, 0]) + Prompt.box(9, 9, 300, 400)

    Coordinates are pixels of the original image: x to the right, y down, (0, 0) the outer corner
    of the top left pixel, so that the box (0, 0, W, H) covers the whole image. They may lie
    outside the image: the networks extrapolate positions, which is useful for an object that the
    border cuts. Prompts are values: arrays are copied and read-only, and two prompts with the
    same content are equal.

    Attributes:
        point_coords: (P, 2) float32, xy.
        point_labels: (P,) int32, 1 foreground, 0 background.
        box_xyxy: (4,) float32 with x0 < x1 and y0 < y1, or None.
        mask_input: (H, W), or None: bool, or float32 logits (positive inside). It covers the
            whole image edge to edge, whatever its size. Unlike :meth:`mask`, this field takes the
            dtype at its word.

    Raises:
        PromptError: a field has a wrong shape, type or value, or all are empty.
    """

    point_coords: NDArray[np.float32] = field(default_factory=_no_points)
    point_labels: NDArray[np.int32] = field(default_factory=_no_labels)
    box_xyxy: NDArray[np.float32] | None = None
    mask_input: NDArray[np.bool_] | NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        coords = _coordinates(self.point_coords, "point coordinates")
        if coords.ndim != 2 or coords.shape[1] != 2:
            raise PromptError(
                f"point coordinates: expected shape (P, 2), got {coords.shape}; "
                "for a single point write Prompt.point(x, y)"
            )
        box = None if self.box_xyxy is None else _box(self.box_xyxy)
        mask = None if self.mask_input is None else _mask_field(self.mask_input)
        if len(coords) == 0 and box is None and mask is None:
            raise PromptError("an empty prompt: expected at least one point, a box or a mask")
        self._set("point_coords", coords)
        self._set("point_labels", _labels(self.point_labels, len(coords)))
        self._set("box_xyxy", box)
        self._set("mask_input", mask)

    @classmethod
    def point(cls, x: float, y: float, label: int = 1) -> Prompt:
        """One click at (x, y) in pixels; ``label`` is 1 for the object, 0 for not the object.

        Raises:
            PromptError: a coordinate is no finite number, or the label is neither 0 nor 1.
        """
        coords = _coordinates((x, y), "point coordinates")
        if coords.shape != (2,):
            raise PromptError(
                f"point: expected two numbers x, y, got an array of shape {coords.shape}; "
                "for several points write Prompt.points(array)"
            )
        return cls(point_coords=coords[None], point_labels=_array([label], "point labels"))

    @classmethod
    def points(cls, xy: ArrayLike, labels: ArrayLike | None = None) -> Prompt:
        """Several clicks about the same object.

        Args:
            xy: (P, 2) pixels, P at least 1.
            labels: (P,) of 1 (foreground) and 0 (background); without it all are foreground.

        Raises:
            PromptError: no points, a wrong shape, a coordinate that is not finite, as many
                labels as there are not points, or a label that is neither 0 nor 1.
        """
        coords = _coordinates(xy, "point coordinates")
        if coords.size == 0:
            raise PromptError(f"points: expected at least one point, got shape {coords.shape}")
        if labels is None:
            return cls(point_coords=coords, point_labels=np.ones(coords.shape[:1], np.int32))
        return cls(point_coords=coords, point_labels=_array(labels, "point labels"))

    @classmethod
    def box(cls, x0: float, y0: float, x1: float, y1: float) -> Prompt:
        """The box around the object: left, top, right, bottom in pixels.

        Raises:
            PromptError: a coordinate is no finite number, corners are swapped, or the area is 0.
        """
        return cls(box_xyxy=_coordinates((x0, y0, x1, y1), "box"))

    @classmethod
    def mask(cls, array: ArrayLike) -> Prompt:
        """A rough mask of the object.

        Args:
            array: (H, W) of any size, which is stretched over the whole image. Binary: bool,
                integers that are all 0 or one positive value n (so 0/1 and 0/255), or a PIL
                image of mode "1" or "L" with such values. Logits: floats, positive inside the
                object. Floats that are all 0 or 1 are taken as binary. Probabilities are
                not logits: write ``Prompt.mask(probabilities > 0.5)``.

        Raises:
            PromptError: empty, not two-dimensional, NaN or infinite values, an unsupported
                type, or a label map with several values.
        """
        from PIL import Image

        if isinstance(array, Image.Image) and array.mode not in ("1", "L"):
            raise PromptError(
                f'mask: expected a PIL image of mode "1" or "L", got mode "{array.mode}"; '
                "give an array, of a label map np.asarray(image) == number"
            )
        return cls(mask_input=_read_mask(_array(array, "mask")))

    def to_dict(self) -> dict[str, Any]:
        """The prompt as values that JSON holds exactly; what it does not have is left out.

        >>> (Prompt.point(420, 310) + Prompt.box(9, 9, 300, 400)).to_dict()
        {'points': [[420.0, 310.0]], 'labels': [1], 'box': [9.0, 9.0, 300.0, 400.0]}
        >>> Prompt.mask(np.eye(2, dtype=bool)).to_dict()
        {'mask': {'size': [2, 2], 'counts': '0120'}}

        Returns:
            ``points`` [[x, y], ...] with their ``labels``, 1 or 0; ``box`` [x0, y0, x1, y1];
            ``mask`` with ``size`` [height, width] and, if it is binary, ``counts`` (COCO's
            compressed run lengths), else ``logits`` (base64 of little-endian float32, row by row).
        """
        values: dict[str, Any] = {}
        if len(self.point_coords):
            values["points"] = self.point_coords.tolist()
            values["labels"] = self.point_labels.tolist()
        if self.box_xyxy is not None:
            values["box"] = self.box_xyxy.tolist()
        if self.mask_input is not None:
            values["mask"] = _mask_to_dict(self.mask_input)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Prompt:
        """A prompt from the values that :meth:`to_dict` gives, usually read from JSON.

        >>> Prompt.from_dict({"points": [[420, 310], [50, 60]], "labels": [1, 0]})
        Prompt.points([[420, 310], [50, 60]], labels=[1, 0])

        Args:
            values: some of the keys of :meth:`to_dict`; None counts as left out. Points without
                ``labels`` are foreground. ``counts`` may also be a list of run lengths.

        Raises:
            PromptError: an unknown key, no points, box or mask, labels without points, or
                something that is not of its form.
        """
        if not isinstance(values, Mapping):
            raise PromptError(
                f"expected a dict with some of {', '.join(_KEYS)}, got {_describe(values)}"
            )
        if unknown := sorted(str(key) for key in values if key not in _KEYS):
            raise PromptError(
                f"unknown {', '.join(unknown):.80}; expected some of {', '.join(_KEYS)}"
            )
        points, labels, box, mask = (values.get(key) for key in _KEYS)
        if labels is not None and points is None:
            raise PromptError("labels: they go with points")
        parts = []
        if points is not None:
            parts.append(cls.points(points, labels))
        if box is not None:
            if not isinstance(box, (list, tuple)) or len(box) != 4:
                got = f"{len(box)} values" if isinstance(box, (list, tuple)) else _describe(box)
                raise PromptError(f"box: expected [x0, y0, x1, y1], got {got}")
            parts.append(cls.box(*box))
        if mask is not None:
            parts.append(cls(mask_input=_mask_from_dict(mask)))
        if not parts:
            raise PromptError("expected points, a box or a mask, got none of them")
        return reduce(add, parts)

    def __add__(self, other: Prompt) -> Prompt:
        """Both about the same object: points in order, at most one box and one mask.

        Raises:
            PromptError: two boxes, two masks, or ``other`` is no Prompt.
        """
        if not isinstance(other, Prompt):
            raise PromptError(
                f"a Prompt can be combined only with another Prompt, got {_describe(other)}"
            )
        if self.box_xyxy is not None and other.box_xyxy is not None:
            raise PromptError(
                "two boxes cannot be combined: a prompt is about one object, with one box; "
                "for two objects give a list of prompts"
            )
        if self.mask_input is not None and other.mask_input is not None:
            raise PromptError(
                "two masks cannot be combined: a prompt is about one object, with one mask; "
                "for two objects give a list of prompts"
            )
        return Prompt(
            point_coords=np.concatenate([self.point_coords, other.point_coords]),
            point_labels=np.concatenate([self.point_labels, other.point_labels]),
            box_xyxy=self.box_xyxy if other.box_xyxy is None else other.box_xyxy,
            mask_input=self.mask_input if other.mask_input is None else other.mask_input,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prompt):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        parts = []
        if len(self.point_coords):
            parts.append(_show_points(self.point_coords, self.point_labels))
        if self.box_xyxy is not None:
            parts.append(f"Prompt.box({_show_numbers(self.box_xyxy)})")
        if self.mask_input is not None:
            height, width = self.mask_input.shape
            kind = "binary" if self.mask_input.dtype == np.bool_ else "logits"
            parts.append(f"Prompt.mask(<{height} x {width} {kind}>)")
        return " + ".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that arrays are read-only after unpickling too.
        fields = (self.point_coords, self.point_labels, self.box_xyxy, self.mask_input)
        return Prompt, fields

    def _key(self) -> tuple[object, ...]:
        box, mask = self.box_xyxy, self.mask_input
        return (
            self.point_coords.tobytes(),
            self.point_labels.tobytes(),
            None if box is None else box.tobytes(),
            None if mask is None else (mask.shape, mask.dtype.char, mask.tobytes()),
        )

    def _set(self, name: str, value: NDArray[Any] | None) -> None:
        if value is not None:
            value.flags.writeable = False
        object.__setattr__(self, name, value)


def as_prompts(value: Prompt | Sequence[Prompt]) -> tuple[Prompt, ...]:
    """One prompt or a sequence of prompts as a tuple, in the same order.

    An empty sequence gives an empty tuple.

    Raises:
        PromptError: anything else, such as a bare tuple of coordinates or an array; the message
            shows how to write it.
    """
    if isinstance(value, Prompt):
        return (value,)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        wrong = next((i for i, item in enumerate(value) if not isinstance(item, Prompt)), None)
        if wrong is None:
            return tuple(value)
        if any(isinstance(item, Prompt) for item in value):
            raise PromptError(
                f"prompts: expected every item to be a Prompt, got {_describe(value[wrong])} "
                f"at index {wrong}{_how_to_write(value[wrong])}"
            )
    raise PromptError(
        "prompts: expected a Prompt or a sequence of Prompts, "
        f"got {_describe(value)}{_how_to_write(value)}"
    )


def _array(value: object, what: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise PromptError(
            f"{what}: expected an array of numbers, got {_describe(value)} ({error})"
        ) from error


def _numbers(value: object, what: str) -> NDArray[Any]:
    """As an array of real numbers; an empty one of any type passes."""
    array = _array(value, what)
    if array.size and array.dtype.kind not in "iuf":
        raise PromptError(f"{what}: expected real numbers, got dtype {array.dtype}")
    return array


def _coordinates(value: object, what: str) -> NDArray[np.float32]:
    array = _numbers(value, what)
    array = _finite_float32(array if array.size else array.astype(np.float32), what)
    if array.size and np.abs(array).max() > _MAX_COORDINATE:
        raise PromptError(
            f"{what}: expected pixels of at most {_MAX_COORDINATE:.0e}, "
            f"got {np.abs(array).max():.0e}"
        )
    return array


def _finite_float32(array: NDArray[Any], what: str) -> NDArray[np.float32]:
    """A new float32 array, without the -0.0 that would make equal values differ in bytes."""
    with np.errstate(over="ignore", invalid="ignore"):
        copy = np.asarray(np.array(array, np.float32, order="C") + np.float32(0))
    bad = ~np.isfinite(copy)
    if bad.any():
        raise PromptError(
            f"{what}: expected finite float32 numbers, "
            f"got {int(bad.sum())} of {copy.size} that are not, the first is {array[bad].flat[0]}"
        )
    return copy


def _labels(value: object, count: int) -> NDArray[np.int32]:
    array = _array(value, "point labels")
    if array.shape != (count,):
        raise PromptError(
            f"point labels: expected shape ({count},), one label for each point, got {array.shape}"
        )
    if array.size and array.dtype.kind not in "biuf":
        raise PromptError(f"point labels: expected integers, got dtype {array.dtype}")
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise PromptError(
            f"point labels: expected 1 (foreground) or 0 (background), got {wrong[0]}"
        )
    return array.astype(np.int32)


def _box(value: object) -> NDArray[np.float32]:
    box = _coordinates(value, "box")
    if box.shape != (4,):
        raise PromptError(
            f"box: expected shape (4,) as x0, y0, x1, y1, got {box.shape}; one prompt has one box"
        )
    x0, y0, x1, y1 = box
    swapped = []
    if x0 > x1:
        swapped.append(f"x0 {_show_number(x0)} is right of x1 {_show_number(x1)}")
    if y0 > y1:
        swapped.append(f"y0 {_show_number(y0)} is below y1 {_show_number(y1)}")
    if swapped:
        raise PromptError(
            f"box: corners are swapped, {' and '.join(swapped)}; "
            "expected x0, y0, x1, y1 with x0 < x1 and y0 < y1 (not x, y, width, height)"
        )
    if x0 == x1 or y0 == y1:
        empty = " and ".join(
            name for name, none in (("width", x0 == x1), ("height", y0 == y1)) if none
        )
        raise PromptError(
            f"box: expected x0 < x1 and y0 < y1, got ({_show_numbers(box)}), whose {empty} is 0"
        )
    return box


def _check_mask_shape(array: NDArray[Any]) -> None:
    if array.ndim != 2:
        raise PromptError(
            f"mask: expected shape (H, W), got {array.shape}; one prompt has one mask"
        )
    if array.size == 0:
        raise PromptError(f"mask: expected at least one pixel, got shape {array.shape}")


def _mask_field(value: object) -> NDArray[np.bool_] | NDArray[np.float32]:
    array = _array(value, "mask")
    _check_mask_shape(array)
    if array.dtype == np.bool_:
        # PIL's mode "1" comes as bools whose byte is 255: made 1, or equal masks would differ.
        inside: NDArray[np.bool_] = np.ascontiguousarray(array).view(np.uint8) != 0
        return inside
    if array.dtype == np.float32:
        return _finite_float32(array, "mask")
    raise PromptError(
        f"mask_input: expected dtype bool or float32, got {array.dtype}; Prompt.mask converts"
    )


def _read_mask(array: NDArray[Any]) -> NDArray[np.bool_] | NDArray[np.float32]:
    _check_mask_shape(array)
    kind = array.dtype.kind
    if kind == "b":
        return array
    if kind in "iu":
        return _binary_from_integers(array)
    if kind == "f":
        logits = _finite_float32(array, "mask")
        binary = np.logical_or(logits == 0, logits == 1).all()
        return logits == 1 if binary else logits
    raise PromptError(f"mask: expected dtype bool, integer or float, got {array.dtype}")


def _binary_from_integers(array: NDArray[Any]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = array != 0
    top = array.max()
    if array.min() < 0 or (inside.any() and not np.array_equal(inside, array == top)):
        values = np.unique(array)
        shown = ", ".join(str(v) for v in values[:5]) + (", ..." if len(values) > 5 else "")
        raise PromptError(
            "mask: expected integers that are all 0 or one positive value, "
            f"got {len(values)} values ({shown}); of a label map choose one object, "
            f"Prompt.mask(array == {top}); give logits as floats"
        )
    return inside


def _mask_to_dict(mask: NDArray[Any]) -> dict[str, Any]:
    height, width = mask.shape
    if mask.dtype == np.bool_:
        return {**rle.as_rle(rle.encode([mask])[0], (height, width))}
    logits = base64.b64encode(mask.astype("<f4").tobytes()).decode("ascii")
    return {"size": [height, width], "logits": logits}


def _mask_from_dict(values: object) -> NDArray[np.bool_] | NDArray[np.float32]:
    if not isinstance(values, Mapping) or set(values) not in _MASK_KEYS:
        raise PromptError(
            f"mask: expected a dict with size, and counts or logits, got {_describe(values)}"
        )
    size = values["size"]
    is_pair = isinstance(size, (list, tuple)) and len(size) == 2
    if not is_pair or not all(type(side) is int and side > 0 for side in size):
        raise PromptError("mask: expected size [height, width] of whole numbers from 1 on")
    height, width = size
    if height * width > _MAX_MASK_PIXELS:
        raise PromptError(f"mask: expected a size of at most {_MAX_MASK_PIXELS} pixels")
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


def _describe(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    if isinstance(value, (list, tuple)) and value:
        return f"{type(value).__name__} of {type(value[0]).__name__}"
    return type(value).__name__


def _how_to_write(value: object) -> str:
    """The end of an error message: what the caller probably meant, or nothing."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return ""
    if array.dtype.kind not in "biuf":
        return ""
    if array.shape == (2,):
        return f"; write a click as Prompt.point({_show_numbers(array)})"
    if array.shape == (4,):
        return f"; write a box as Prompt.box({_show_numbers(array)})"
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


def _show_number(value: Any) -> str:
    return str(value).removesuffix(".0")


def _show_numbers(values: NDArray[Any]) -> str:
    return ", ".join(_show_number(value) for value in values)


def _show_points(coords: NDArray[np.float32], labels: NDArray[np.int32]) -> str:
    if len(coords) == 1:
        label = "" if labels[0] == 1 else ", label=0"
        return f"Prompt.point({_show_numbers(coords[0])}{label})"
    if len(coords) > _SHOWN_POINTS:
        return f"Prompt.points(<{len(coords)} points, {int(labels.sum())} foreground>)"
    shown = ", ".join(f"[{_show_numbers(xy)}]" for xy in coords)
    ending = "" if labels.all() else f", labels={labels.tolist()}"
    return f"Prompt.points([{shown}]{ending})"
