"""What a user looks for: all objects of a kind, in words or by examples."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samkit.errors import PromptError, shown
from samkit.prompts import checks
from samkit.prompts.checks import describe
from samkit.words.cleaning import cleaned

__all__ = ["Concept", "as_concepts"]

# What SAM 3 was trained to read where there are examples alone.
_NO_WORDS = "visual"
# Categories of Unicode: control characters, and halves of signs.
_NO_SIGNS = ("Cc", "Cs")


@dataclass(frozen=True, init=False, slots=True, eq=False)
class Concept:
    """A kind of object: words, boxes around examples in the image, or both.

    >>> Concept("red cup").name
    'red cup'
    >>> Concept(boxes=[[1, 2, 30, 40], [50, 2, 80, 40]], labels=[1, 0]).labels.tolist()
    [1, 0]

    Args:
        text: words, such as "red cup", without control characters: a short noun phrase works best.
            Some 30 tokens are read.
        boxes: (N, 4) xyxy in pixels of the image, around objects.
        labels: (N,) 1 for an example, 0 for what is not meant; 1 by default.

    Attributes:
        text: the words, or None.
        boxes: (N, 4) float32, perhaps none; read-only.
        labels: (N,) int32; read-only.

    Raises:
        PromptError: neither words nor an example, or a value does not fit.
    """

    text: str | None
    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]

    def __init__(
        self,
        text: str | None = None,
        *,
        boxes: ArrayLike | None = None,
        labels: ArrayLike | None = None,
    ) -> None:
        if text is not None:
            _check_words(text)
        corners = checks.coordinates([] if boxes is None else boxes, "boxes")
        if corners.size and (corners.ndim != 2 or corners.shape[1] != 4):
            raise PromptError(
                f"boxes: expected shape (N, 4) as x0, y0, x1, y1, got {corners.shape}"
            )
        corners = corners.reshape(-1, 4)
        for i, box in enumerate(corners):
            with _at_index("boxes", i):
                checks.box(box)
        given = np.ones(len(corners), np.int32)
        if labels is not None:
            given = checks.labels(labels, len(corners), "box")
        if text is None and not given.any():
            raise PromptError(
                "concept: expected words or a box around an example, got "
                + ("boxes of what is not meant alone" if len(given) else "neither")
            )
        corners.flags.writeable = given.flags.writeable = False
        for name, value in (("text", text), ("boxes", corners), ("labels", given)):
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """The words; those that stand for none, "visual", where there are examples alone."""
        return _NO_WORDS if self.text is None else self.text


def as_concepts(value: str | Concept | Sequence[str | Concept]) -> tuple[Concept, ...]:
    """Words, a concept, or a sequence of them as a tuple of concepts, in the same order.

    Raises:
        PromptError: anything else.
    """
    if isinstance(value, str):
        return (Concept(value),)
    if isinstance(value, Concept):
        return (value,)
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        raise PromptError(
            f"concepts: expected words, a Concept or a sequence of them, got {describe(value)}"
        )
    for i, item in enumerate(value):
        if not isinstance(item, (str, Concept)):
            raise PromptError(
                f"concepts: expected words or a Concept, got {describe(item)} at index {i}"
            )
    return tuple(_as_concept(item, i) for i, item in enumerate(value))


def _as_concept(item: str | Concept, index: int) -> Concept:
    if isinstance(item, Concept):
        return item
    with _at_index("concepts", index):
        return Concept(item)


@contextmanager
def _at_index(name: str, index: int) -> Iterator[None]:
    """Say in the message of a PromptError which of several values is wrong."""
    try:
        yield
    except PromptError as error:
        raise PromptError(f"{name}: at index {index}, {error}") from None


def _check_words(text: object) -> None:
    if not isinstance(text, str) or not text.strip():
        raise PromptError(f'text: expected words, such as "red cup", got {shown(text)}')
    # The network does not read these, and files and terminals do not take them as a name.
    signs = "".join(text.split())
    if not cleaned(text) or any(unicodedata.category(one) in _NO_SIGNS for one in signs):
        raise PromptError(
            f'text: expected words without control characters, such as "red cup", got {shown(text)}'
        )
