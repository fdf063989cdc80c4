"""bboxes, points, labels and masks of N objects as samkit's prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samkit.compat.arrays import array_of
from samkit.compat.prompts import input_mask, object_prompt
from samkit.errors import PromptError
from samkit.prompts import Prompt, checks
from samkit.transforms import ImageTransform

__all__ = ["PromptArrays"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PromptArrays:
    """Prompts of N objects, each in its own row, copied from what a caller gives.

    Attributes:
        bboxes: (N, 4) float32 xyxy, or None.
        points: (N, P, 2) float32 xy, or None.
        labels: (N, P), or None where all points are foreground. As arguments they may lack the
            axis N or P where it is 1.
        masks: N arrays (h, w), or None.
    """

    bboxes: NDArray[np.float32] | None = None
    points: NDArray[np.float32] | None = None
    labels: NDArray[Any] | None = None
    masks: tuple[NDArray[Any], ...] | None = None

    def __post_init__(self) -> None:
        if self.labels is None:
            return
        if self.points is None:
            raise PromptError("labels: expected points for them, got none")
        N, P = self.points.shape[:2]
        allowed: set[tuple[int, ...]] = {(N, P)}
        if P == 1:
            allowed.add((N,))
        if N == 1:
            allowed.add((P,))
        if N == P == 1:
            allowed.add(())
        if self.labels.shape not in allowed:
            raise PromptError(
                f"labels: expected shape {(N, P)}, one for each point, got {self.labels.shape}"
            )
        object.__setattr__(self, "labels", self.labels.reshape(N, P))

    @classmethod
    def from_arguments(
        cls,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        *,
        defaults: "PromptArrays | None" = None,
    ) -> "PromptArrays":
        """Prompts in the shapes of `Predictor.__call__`.

        Args:
            bboxes, points, masks: as in a call.
            labels: as the points without their last axis, see the attribute.
            defaults: values for the arguments that are None. Its labels go with its points.

        Raises:
            PromptError: another shape, values that are not finite, or labels without points.
        """
        given: dict[str, Any] = {}
        if bboxes is not None:
            given["bboxes"] = _bboxes(bboxes)
        if points is not None:
            given |= {"points": _points(points), "labels": None}
        if labels is not None:
            given["labels"] = array_of(labels, "labels")
        if masks is not None:
            given["masks"] = _masks(masks)
        return replace(cls() if defaults is None else defaults, **given)

    @classmethod
    def from_dict(cls, prompts: Mapping[str, Any]) -> "PromptArrays":
        """Prompts from a dict of the arguments.

        Raises:
            PromptError: an unknown key, or as for `from_arguments`.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(prompts, Mapping) or not set(prompts) <= set(known):
            given = list(prompts) if isinstance(prompts, Mapping) else type(prompts).__name__
            raise PromptError(f"prompts: expected a dict with some of {known}, got {given}")
        return cls.from_arguments(**prompts)

    def __bool__(self) -> bool:
        """Whether there is any prompt."""
        return not (self.bboxes is None and self.points is None and self.masks is None)

    def for_one_object(self) -> "PromptArrays":
        """The same prompts, all for one object: points (P, 1, 2) become (1, P, 2).

        Raises:
            PromptError: several boxes or masks.
        """
        for name in ("bboxes", "masks"):
            value = getattr(self, name)
            if value is not None and len(value) != 1:
                raise PromptError(f"{name}: expected one, of one object, got {len(value)}")
        if self.points is None or self.points.shape[1] != 1:
            return self
        labels = None if self.labels is None else self.labels.reshape(1, -1)
        return replace(self, points=self.points.reshape(1, -1, 2), labels=labels)

    def to_prompts(self, transform: ImageTransform) -> list[Prompt]:
        """One prompt for each object in an image.

        Args:
            transform: of the image. Masks of the size of the network's own logits (256 x 256 for
                SAM) cover its input, padding included; others cover the image, whatever their size.

        Raises:
            PromptError: different numbers of objects, or invalid values.
        """
        counts = {
            name: len(value)
            for name in ("bboxes", "points", "masks")
            if (value := getattr(self, name)) is not None
        }
        if len(set(counts.values())) != 1:
            got = ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
            raise PromptError(
                f"prompts: expected as many of each as there are objects, got {got}; "
                "several points of one object have shape (1, P, 2)"
            )
        count = next(iter(counts.values()))
        return [self._prompt(i, transform) for i in range(count)]

    def _prompt(self, i: int, transform: ImageTransform) -> Prompt:
        return object_prompt(
            points=None if self.points is None else self.points[i],
            labels=None if self.labels is None else self.labels[i],
            box=None if self.bboxes is None else self.bboxes[i],
            mask=None if self.masks is None else _mask_prompt(self.masks[i], transform),
        )


def _coordinates(value: Any, name: str) -> NDArray[np.float32]:
    array = checks.coordinates(array_of(value, name), name)
    if array.size == 0:
        raise PromptError(f"{name}: expected at least one, got an empty array {array.shape}")
    return array


def _bboxes(value: Any) -> NDArray[np.float32]:
    array = _coordinates(value, "bboxes")
    if array.ndim not in (1, 2) or array.shape[-1] != 4:
        raise PromptError(f"bboxes: expected shape (4,) or (N, 4), got {array.shape}")
    return array.reshape(-1, 4)


def _points(value: Any) -> NDArray[np.float32]:
    array = _coordinates(value, "points")
    if array.ndim not in (1, 2, 3) or array.shape[-1] != 2:
        raise PromptError(f"points: expected shape (2,), (N, 2) or (N, P, 2), got {array.shape}")
    return array if array.ndim == 3 else array.reshape(-1, 1, 2)


def _masks(value: Any) -> tuple[NDArray[Any], ...]:
    if isinstance(value, (list, tuple)) and len(value):
        each = [array_of(one, "masks") for one in value]
        if all(one.ndim == 2 for one in each):
            return tuple(each)
    array = array_of(value, "masks")
    if array.ndim not in (2, 3) or array.size == 0:
        raise PromptError(
            f"masks: expected shape (N, H, W) or (H, W), none of it 0, got {array.shape}"
        )
    return tuple(array) if array.ndim == 3 else (array,)


def _mask_prompt(mask: NDArray[Any], transform: ImageTransform) -> Prompt:
    if mask.dtype.kind == "f" and len(np.unique(mask)) > 2:  # logits, all of which may be positive
        with np.errstate(over="ignore"):
            prompt = Prompt(mask_input=mask.astype(np.float32))
    else:
        prompt = Prompt.mask(mask)
    given = prompt.mask_input
    assert given is not None
    return input_mask(given, transform) if given.shape == transform.mask_size else prompt
