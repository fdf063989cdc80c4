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
from samkit.errors import PromptError
from samkit.prompts import checks
from samkit.prompts.calls import written
from samkit.prompts.checks import describe, show_numbers

__all__ = ["Prompt", "as_prompts"]

_KEYS = ("points", "labels", "box", "mask")
_FORMS = "Prompt.point(x, y), Prompt.points(xy), Prompt.box(x0, y0, x1, y1) or Prompt.mask(array)"
_SHOWN_POINTS = 6  # in the representation of a prompt


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Prompt:
    """What marks one object of one image: clicks, a box, a mask, or several of them.

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
        mask_input: (H, W), or None: bool, or float32 logits (positive inside), never converted
            (:meth:`mask` converts). It covers the whole image edge to edge, whatever its size.

    Raises:
        PromptError: a field has a wrong shape, type or value, or all are empty.
    """

    point_coords: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    point_labels: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    box_xyxy: NDArray[np.float32] | None = None
    mask_input: NDArray[np.bool_] | NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        coords = checks.coordinates(self.point_coords, "point coordinates")
        if coords.ndim != 2 or coords.shape[1] != 2:
            raise PromptError(
                f"point coordinates: expected shape (P, 2), got {coords.shape}; "
                "for a single point write Prompt.point(x, y)"
            )
        box = None if self.box_xyxy is None else checks.box(self.box_xyxy)
        mask = None if self.mask_input is None else checks.mask_field(self.mask_input)
        if len(coords) == 0 and box is None and mask is None:
            raise PromptError(
                f"an empty prompt: expected at least one point, a box or a mask; write {_FORMS}"
            )
        self._set("point_coords", coords)
        self._set("point_labels", checks.labels(self.point_labels, len(coords)))
        self._set("box_xyxy", box)
        self._set("mask_input", mask)

    @classmethod
    @written("Prompt.point(x, y) or Prompt.point(x, y, label), of a pair Prompt.point(*xy)")
    def point(cls, x: float, y: float, label: int = 1) -> Prompt:
        """One click at (x, y) in pixels; ``label`` is 1 for the object, 0 for not the object.

        Raises:
            PromptError: a coordinate is no finite number, or the label is neither 0 nor 1.
        """
        coords = checks.coordinates((x, y), "Prompt.point(x, y)")
        if coords.shape != (2,):
            raise PromptError(
                f"point: expected two numbers x, y, got an array of shape {coords.shape}; "
                "for several points write Prompt.points(array)"
            )
        return cls(point_coords=coords[None], point_labels=checks.as_array([label], "point labels"))

    @classmethod
    @written("Prompt.points(xy) or Prompt.points(xy, labels) with xy of shape (P, 2)")
    def points(cls, xy: ArrayLike, labels: ArrayLike | None = None) -> Prompt:
        """Several clicks about the same object.

        Args:
            xy: (P, 2) pixels, P at least 1.
            labels: (P,) of 1 (foreground) and 0 (background); without it all are foreground.

        Raises:
            PromptError: no points, a wrong shape, a coordinate that is not finite, as many
                labels as there are not points, or a label that is neither 0 nor 1.
        """
        coords = checks.coordinates(xy, "point coordinates")
        if coords.size == 0:
            raise PromptError(f"points: expected at least one point, got shape {coords.shape}")
        if labels is None:
            labels = np.ones(coords.shape[:1], np.int32)
        return cls(point_coords=coords, point_labels=checks.as_array(labels, "point labels"))

    @classmethod
    @written("Prompt.box(x0, y0, x1, y1), of a list Prompt.box(*xyxy)")
    def box(cls, x0: float, y0: float, x1: float, y1: float) -> Prompt:
        """The box around the object: left, top, right, bottom in pixels.

        Raises:
            PromptError: a coordinate is no finite number, corners are swapped, or the area is 0.
        """
        return cls(box_xyxy=checks.coordinates((x0, y0, x1, y1), "Prompt.box(x0, y0, x1, y1)"))

    @classmethod
    @written("Prompt.mask(array)")
    def mask(cls, array: ArrayLike) -> Prompt:
        """A rough mask of the object.

        Args:
            array: (H, W) of any size, which is stretched over the whole image. Binary: bool,
                integers or floats that are all 0 or one positive value n, of floats at least 1
                (so 0/1 and 0/255), or a PIL image of mode "1" or "L" with such values. Logits:
                floats, positive inside the object, of which at least one is negative; others are
                taken by ``Prompt(mask_input=logits)``. Probabilities are neither: write
                ``Prompt.mask(probabilities > 0.5)``.

        Raises:
            PromptError: empty, not two-dimensional, NaN or infinite values, an unsupported
                type, a label map with several values, or floats that are neither.
        """
        from PIL import Image

        if isinstance(array, Image.Image) and array.mode not in ("1", "L"):
            raise PromptError(
                f'mask: expected a PIL image of mode "1" or "L", got mode "{array.mode}"; '
                "give an array, of a label map np.asarray(image) == number"
            )
        return cls(mask_input=checks.read_mask(array))

    def to_dict(self) -> dict[str, Any]:
        """The prompt as values that JSON holds exactly; absent parts are left out.

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
        mask = self.mask_input
        if mask is not None and mask.dtype == np.bool_:
            counts = rle.encode([mask.astype(np.bool_, copy=False)])[0]
            values["mask"] = rle.as_rle(counts, mask.shape)
        elif mask is not None:
            logits = base64.b64encode(mask.astype("<f4").tobytes()).decode("ascii")
            values["mask"] = {"size": list(mask.shape), "logits": logits}
        return values

    @classmethod
    @written("Prompt.from_dict(values)")
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
                f"expected a dict with some of {', '.join(_KEYS)}, got {describe(values)}"
            )
        if unknown := [key for key in values if key not in _KEYS]:
            names = ", ".join(key if isinstance(key, str) else describe(key) for key in unknown)
            raise PromptError(f"unknown {names:.80}; expected some of {', '.join(_KEYS)}")
        points, labels, box, mask = (values.get(key) for key in _KEYS)
        if labels is not None and points is None:
            raise PromptError("labels: they go with points")
        parts = []
        if points is not None:
            parts.append(cls.points(points, labels))
        if box is not None:
            if not isinstance(box, (list, tuple)) or len(box) != 4:
                got = f"{len(box)} values" if isinstance(box, (list, tuple)) else describe(box)
                raise PromptError(f"box: expected [x0, y0, x1, y1], got {got}")
            parts.append(cls(box_xyxy=checks.coordinates(box, "box")))
        if mask is not None:
            parts.append(cls(mask_input=checks.mask_from_dict(mask)))
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
                f"a Prompt can be combined only with another Prompt, got {describe(other)}"
            )
        for name, one, two in (("box_xyxy", "box", "boxes"), ("mask_input", "mask", "masks")):
            if getattr(self, name) is not None and getattr(other, name) is not None:
                raise PromptError(
                    f"two {two} cannot be combined: a prompt is about one object, with one {one}; "
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
            parts.append(self._show_points())
        if self.box_xyxy is not None:
            parts.append(f"Prompt.box({show_numbers(*self.box_xyxy)})")
        if self.mask_input is not None:
            height, width = self.mask_input.shape
            kind = "binary" if self.mask_input.dtype == np.bool_ else "logits"
            parts.append(f"Prompt.mask(<{height} x {width} {kind}>)")
        return " + ".join(parts)

    def _show_points(self) -> str:
        coords, labels = self.point_coords, self.point_labels
        if len(coords) == 1:
            label = "" if labels[0] == 1 else ", label=0"
            return f"Prompt.point({show_numbers(*coords[0])}{label})"
        if len(coords) > _SHOWN_POINTS:
            return f"Prompt.points(<{len(coords)} points, {int(labels.sum())} foreground>)"
        shown = ", ".join(f"[{show_numbers(*xy)}]" for xy in coords)
        ending = "" if labels.all() else f", labels={labels.tolist()}"
        return f"Prompt.points([{shown}]{ending})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that arrays are read-only after unpickling too.
        return Prompt, self._arrays()

    def _arrays(self) -> tuple[NDArray[Any] | None, ...]:
        return self.point_coords, self.point_labels, self.box_xyxy, self.mask_input

    def _key(self) -> tuple[object, ...]:
        return tuple(
            None if array is None else (array.shape, array.dtype.char, array.tobytes())
            for array in self._arrays()
        )

    def _set(self, name: str, value: NDArray[Any] | None) -> None:
        if value is not None:
            value.flags.writeable = False
        object.__setattr__(self, name, value)


Prompt.__init__ = written(_FORMS)(Prompt.__init__)  # type: ignore[method-assign]


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
                f"prompts: expected every item to be a Prompt, got {describe(value[wrong])} "
                f"at index {wrong}{_how_to_write(value[wrong])}"
            )
    raise PromptError(
        "prompts: expected a Prompt or a sequence of Prompts, "
        f"got {describe(value)}{_how_to_write(value)}"
    )


def _how_to_write(value: object) -> str:
    """The end of an error message: what was probably meant, or nothing."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return ""
    if array.dtype.kind not in "biuf":
        return ""
    if array.shape == (2,):
        return f"; write a click as Prompt.point({show_numbers(*array)})"
    if array.shape == (4,):
        return f"; write a box as Prompt.box({show_numbers(*array)})"
    if array.ndim != 2:
        return ""
    if array.shape[1] == 2:
        return (
            "; write clicks on one object as Prompt.points(array), "
            "and a click on each of several as [Prompt.point(x, y) for x, y in array]"
        )
    if array.shape[1] == 4:
        return "; write boxes as [Prompt.box(*box) for box in array]"
    return "; write a mask as Prompt.mask(array)"
