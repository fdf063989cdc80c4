"""The arrays that go with N masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from samkit.masks import checks
from samkit.masks.storage import Storage

Floats: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]
Texts: TypeAlias = npt.NDArray[np.str_]

# Optional fields of finite numbers -> shape for each mask.
_SHAPES: dict[str, tuple[int, ...]] = {
    "presence": (),
    "stability": (),
    "points": (2,),
    "crop_boxes": (4,),
    "boxes": (4,),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fields:
    """Read-only arrays with one entry for each of N masks; `samkit.Masks` describes them.

    A new one stands here, in `_SHAPES` if it holds numbers (else in `checked`), in the constructor
    and the properties of `Masks`, and in `_COCO_KEYS` of `formats` if COCO files are to keep it.
    """

    scores: Floats
    object_ids: Integers
    prompt_index: Integers
    candidates: Integers | None = None
    presence: Floats | None = None
    stability: Floats | None = None
    points: Floats | None = None
    crop_boxes: Floats | None = None
    boxes: Floats | None = None
    names: Texts | None = None
    logits: Floats | None = None

    @classmethod
    def checked(cls, count: int, scores: object, given: Mapping[str, object]) -> "Fields":
        """Check and copy values for ``count`` masks; of the given fields, None counts as missing.

        Raises:
            InputError: a shape, type or value does not fit.
            TypeError: there is no such field.
        """
        if unknown := given.keys() - set(FIELD_NAMES[1:]):
            raise TypeError(f"Masks got an unexpected keyword argument {min(unknown)!r}")
        numbers = {
            name: checks.floats(name, given[name], (count, *shape))
            for name, shape in _SHAPES.items()
            if given.get(name) is not None
        }
        candidates, names = given.get("candidates"), given.get("names")
        return cls(
            candidates=None
            if candidates is None
            else checks.identifiers("candidates", candidates, count),
            scores=checks.floats("scores", scores, (count,)),
            object_ids=checks.identifiers("object_ids", given.get("object_ids"), count),
            prompt_index=checks.identifiers("prompt_index", given.get("prompt_index"), count),
            names=None if names is None else checks.texts("names", names, count),
            logits=checks.logits(given.get("logits"), count),
            **numbers,
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that is not None, by name."""
        values = {name: getattr(self, name) for name in FIELD_NAMES}
        return {name: value for name, value in values.items() if value is not None}

    def boxes_of(self, masks: Storage) -> Floats:
        """Boxes (N, 4): those that were given, or else the tight ones of the masks."""
        return masks.boxes() if self.boxes is None else self.boxes

    def take(self, at: Integers) -> "Fields":
        """The fields of the masks at some positions."""
        return Fields(**{name: checks.frozen(value[at]) for name, value in self.arrays().items()})

    def moved(self, x: float, y: float) -> "Fields":
        """The fields of masks that are moved by so many pixels, without logits."""
        arrays = self.arrays()
        arrays.pop("logits", None)
        for name in ("points", "crop_boxes", "boxes"):
            if name in arrays:
                shift = np.tile(np.array([x, y], np.float32), _SHAPES[name][0] // 2)
                arrays[name] = checks.frozen(arrays[name] + shift)
        return Fields(**arrays)

    @staticmethod
    def joined(parts: Sequence["Fields"]) -> "Fields":
        """One after the other. What some part lacks, or has in another size, becomes None."""
        known = [part.arrays() for part in parts]
        joined = {}
        for name in FIELD_NAMES:
            arrays = [one[name] for one in known if name in one]
            if len(arrays) == len(known) and len({array.shape[1:] for array in arrays}) == 1:
                joined[name] = checks.frozen(np.concatenate(arrays))
        return Fields(**joined)


FIELD_NAMES = tuple(one.name for one in fields(Fields))
