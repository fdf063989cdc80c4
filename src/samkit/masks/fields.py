"""The arrays that go with N masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from samkit.masks import checks
from samkit.masks.storage import Storage

Floats: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]


class GivenFields(TypedDict, total=False):
    """What a caller may say of N masks besides their scores; `samkit.Masks` says what each is."""

    object_ids: npt.ArrayLike | None
    prompt_index: npt.ArrayLike | None
    presence: npt.ArrayLike | None
    stability: npt.ArrayLike | None
    points: npt.ArrayLike | None
    crop_boxes: npt.ArrayLike | None
    boxes: npt.ArrayLike | None
    logits: npt.ArrayLike | None


# Optional fields of finite numbers, of these shapes for each mask.
_NUMBER = {"shape": ()}
_POINT = {"shape": (2,)}
_BOX = {"shape": (4,)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fields:
    """What is known of each of N masks, as read-only arrays; `samkit.Masks` says what each is."""

    scores: Floats
    object_ids: Integers
    prompt_index: Integers
    presence: Floats | None = field(default=None, metadata=_NUMBER)
    stability: Floats | None = field(default=None, metadata=_NUMBER)
    points: Floats | None = field(default=None, metadata=_POINT)
    crop_boxes: Floats | None = field(default=None, metadata=_BOX)
    boxes: Floats | None = field(default=None, metadata=_BOX)
    logits: Floats | None = None

    @classmethod
    def checked(cls, count: int, scores: object, given: Mapping[str, object]) -> "Fields":
        """Copy and check what a caller gives for ``count`` masks.

        Raises:
            InputError: a shape, type or value does not fit.
            TypeError: there is no such field.
        """
        if unknown := given.keys() - set(FIELD_NAMES[1:]):
            raise TypeError(f"Masks got an unexpected keyword argument {min(unknown)!r}")
        numbers = {
            one.name: checks.floats(one.name, value, (count, *one.metadata["shape"]))
            for one in fields(cls)
            if "shape" in one.metadata and (value := given.get(one.name)) is not None
        }
        return cls(
            scores=checks.floats("scores", scores, (count,)),
            object_ids=checks.identifiers("object_ids", given.get("object_ids"), count),
            prompt_index=checks.identifiers("prompt_index", given.get("prompt_index"), count),
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
