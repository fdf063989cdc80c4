"""What several commands read from their options: clicks, boxes, mask files, and outputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samkit import Prompt

__all__ = ["NotAsExpected", "box_of", "mask_of", "names_file", "point_of"]


# Grey pictures with larger values are white on black, others hold 0 and ids.
_LARGEST_ID = 127


class NotAsExpected(Exception):
    """A text has another form."""


def point_of(text: str) -> Prompt:
    """X,Y or X,Y,LABEL with label 1 (on the object) or 0 (not on it)."""
    from samkit import Prompt

    x, y, *label = _numbers(text, (2, 3))
    if label and label[0] not in (0, 1):
        raise NotAsExpected
    return Prompt.point(x, y, int(label[0]) if label else 1)


def box_of(text: str) -> Prompt:
    """X0,Y0,X1,Y1."""
    from samkit import Prompt

    return Prompt.box(*_numbers(text, (4,)))


def mask_of(path: Path, object_id: int | None = None) -> Prompt:
    """White on black, or a picture of small numbers, of several objects the one with this id.

    Raises:
        ImageError: no picture; PromptError: the object is not in it.
    """
    import numpy as np
    from PIL import Image

    from samkit import Prompt
    from samkit.errors import PromptError
    from samkit.media import read_image

    image = read_image(path)  # a clear error if it is none
    with Image.open(path) as file:
        labels = np.asarray(file) if file.mode in ("P", "L", "I;16", "I") else None
        indexed = file.mode == "P"
    if labels is None:
        return Prompt.mask(image.max(2) > 127)
    if not indexed and labels.max() > _LARGEST_ID:
        return Prompt.mask(labels > labels.max() / 2)
    if object_id is None:
        return Prompt.mask(labels)  # only one object can be meant
    values = np.unique(labels[labels > 0]).tolist()
    if len(values) <= 1:
        return Prompt.mask(labels > 0)
    if object_id not in values:
        shown = ", ".join(map(str, values))
        raise PromptError(f"{path} holds the objects {shown}, and none with the id {object_id}")
    return Prompt.mask(labels == object_id)


def names_file(output: Path) -> bool:
    """Whether an output names a file: mask.png and mistypings of it do, results_v1.5 does not."""
    has_letter = any(letter.isalpha() for letter in output.suffix)
    return output.is_file() or (has_letter and not output.is_dir())


def _numbers(text: str, counts: tuple[int, ...]) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise NotAsExpected from None
    if len(numbers) not in counts:
        raise NotAsExpected
    return numbers
