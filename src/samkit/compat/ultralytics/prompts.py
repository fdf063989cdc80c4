"""bboxes, points, labels and masks of N objects as samkit's prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from samkit.compat.ultralytics.arrays import array_of, coordinates
from samkit.errors import PromptError
from samkit.prompts import Prompt
from samkit.transforms import BINARY_LOGIT, ImageTransform

__all__ = ["ObjectPrompts"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectPrompts:
    """What is said of N objects, each in its own row; copies of what a caller gave.

    Attributes:
        bboxes: (N, 4) float32 xyxy, or None.
        points: (N, P, 2) float32 xy, or None.
        labels: (N, P), or None where all points are foreground.
        masks: N arrays (h, w), or None.
    """

    bboxes: NDArray[np.float32] | None = None
    points: NDArray[np.float32] | None = None
    labels: NDArray[Any] | None = None
    masks: tuple[NDArray[Any], ...] | None = None

    def __post_init__(self) -> None:
        if self.labels is not None and self.points is None:
            raise PromptError("labels: expected points for them, got none")

    @classmethod
    def read(
        cls,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        *,
        stored: "ObjectPrompts | None" = None,
    ) -> "ObjectPrompts":
        """Prompts as a caller gives them.

        Args:
            bboxes: (4,) or (N, 4).
            points: (2,), (N, 2) for N objects with one point each, or (N, P, 2).
            labels: as the points without their last axis; also (N, 1) or, of one point, a number.
            masks: (h, w), (N, h, w) or N of them of any sizes.
            stored: what counts where nothing is given. Its labels go with its points.

        Raises:
            PromptError: another shape, values that are no finite numbers, or labels without points.
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
        return replace(cls() if stored is None else stored, **given)

    @classmethod
    def of_dict(cls, prompts: Mapping[str, Any]) -> "ObjectPrompts":
        """The same from a dict.

        Raises:
            PromptError: also for an unknown key.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(prompts, Mapping) or not set(prompts) <= set(known):
            given = list(prompts) if isinstance(prompts, Mapping) else type(prompts).__name__
            raise PromptError(f"prompts: expected a dict with some of {known}, got {given}")
        return cls.read(**prompts)

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return not (self.bboxes is None and self.points is None and self.masks is None)

    def about_one(self) -> "ObjectPrompts":
        """The same, all about one object: points (P, 1, 2) become (1, P, 2).

        Raises:
            PromptError: several boxes or masks.
        """
        for name in ("bboxes", "masks"):
            value = getattr(self, name)
            if value is not None and len(value) != 1:
                raise PromptError(f"{name}: expected one, of one object, got {len(value)}")
        points = self.points
        if points is not None and points.shape[1] == 1:
            points = points.reshape(1, -1, 2)
        return replace(self, points=points)

    def prompts(self, transform: ImageTransform) -> list[Prompt]:
        """One prompt for each object in an image.

        Args:
            transform: of the image. Masks of the size of the network's own logits (256 x 256 for
                SAM) cover its input, padding included; others cover the image, whatever their size.

        Raises:
            PromptError: different numbers of objects, or values that cannot mean anything.
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
        (count,) = set(counts.values())
        labels = self._labels()
        return [self._prompt(i, labels, transform) for i in range(count)]

    def _labels(self) -> NDArray[Any] | None:
        if self.labels is None or self.points is None:
            return None
        shape = self.points.shape[:2]
        fits = {shape, (shape[0],) if shape[1] == 1 else shape, () if shape == (1, 1) else shape}
        if shape[0] == 1:
            fits.add((shape[1],))
        if self.labels.shape not in fits:
            raise PromptError(
                f"labels: expected shape {shape}, one for each point, got {self.labels.shape}"
            )
        return self.labels.reshape(shape)

    def _prompt(self, i: int, labels: NDArray[Any] | None, transform: ImageTransform) -> Prompt:
        parts = []
        if self.bboxes is not None:
            parts.append(Prompt.box(*self.bboxes[i].tolist()))
        if self.points is not None:
            parts.append(Prompt.points(self.points[i], None if labels is None else labels[i]))
        if self.masks is not None:
            parts.append(_mask_prompt(self.masks[i], transform))
        whole = parts[0]
        for part in parts[1:]:
            whole = whole + part
        return whole


def _bboxes(value: Any) -> NDArray[np.float32]:
    array = coordinates(value, "bboxes")
    if array.ndim not in (1, 2) or array.shape[-1] != 4:
        raise PromptError(f"bboxes: expected shape (4,) or (N, 4), got {array.shape}")
    return array.reshape(-1, 4)


def _points(value: Any) -> NDArray[np.float32]:
    array = coordinates(value, "points")
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
    prompt = Prompt.mask(mask)
    given = prompt.mask_input
    assert given is not None
    if not transform.keep_aspect or given.shape != transform.mask_size:
        return prompt
    logits = given if given.dtype == np.float32 else (2 * given.astype(np.float32) - 1)
    if given.dtype == np.bool_:
        logits = logits * BINARY_LOGIT
    whole = transform.masks_to_image(torch.from_numpy(logits.astype(np.float32))[None])[0]
    return Prompt.mask(whole.numpy())
