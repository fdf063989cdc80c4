"""Option values: clicks, boxes, mask files and outputs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samkit import Prompt

__all__ = [
    "FormatError",
    "names_file",
    "parse_box",
    "parse_numbers",
    "parse_point",
    "parse_whole",
    "read_mask",
    "real_path",
]

# Masks with values from here to white, of all that their type holds, are white on black; others
# hold 0 and object ids.
_WHITE = 0.97


class FormatError(Exception):
    """A text does not have the expected format."""


def parse_whole(text: str) -> int:
    """A whole number of 64 bits.

    Raises:
        FormatError: anything else.
    """
    # So short, because Python refuses numbers of thousands of digits, and 64 bits are 19.
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or not -(2**63) <= int(text) < 2**63:
        raise FormatError
    return int(text)


def parse_point(text: str) -> Prompt:
    """X,Y or X,Y,LABEL with label 1 (foreground, the default) or 0 (background)."""
    from samkit import Prompt

    x, y, *label = parse_numbers(text, (2, 3))
    if label and label[0] not in (0, 1):
        raise FormatError
    return Prompt.point(x, y, int(label[0]) if label else 1)


def parse_box(text: str) -> Prompt:
    """X0,Y0,X1,Y1."""
    from samkit import Prompt

    return Prompt.box(*parse_numbers(text, (4,)))


def read_mask(path: Path, object_id: int | None = None) -> Prompt:
    """A mask file, white on black; or a label map, of several objects the one with this id.

    White is 248 or more in 8 bits, and 63569 or more in 16. Of a photograph (JPEG) or a picture in
    colours, what is brighter than the middle is the object.

    Raises:
        ImageError: the file is no image.
        PromptError: the object is not in it.
    """
    import numpy as np

    from samkit import Prompt
    from samkit.errors import ImageError, PromptError
    from samkit.masks.label_maps import read_label_picture
    from samkit.media import read_image

    try:
        picture = read_label_picture(path)
    except ImageError:  # in colours; of what is no picture this says so again
        return Prompt.mask(read_image(path).max(2) > 127)
    labels = picture.values
    if picture.is_lossy:
        return Prompt.mask(labels > 127)
    white = 255 if picture.is_8_bit else 65535
    if picture.mode != "P" and _WHITE * white <= labels.max() <= white:
        return Prompt.mask(labels > white / 2)
    if object_id is None:
        try:
            return Prompt.mask(labels)
        except PromptError as error:
            raise PromptError(f"{path}: {error}") from None
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
    return os.path.isfile(output) or (has_letter and not os.path.isdir(output))


def real_path(path: Path) -> Path:
    """Without links; unlike `Path.resolve`, also of loops of links and too long names."""
    return Path(os.path.realpath(path))


def parse_numbers(text: str, counts: tuple[int, ...]) -> list[float]:
    """So many numbers with commas between them.

    Raises:
        FormatError: anything else.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise FormatError from None
    if len(numbers) not in counts:
        raise FormatError
    return numbers
