"""Prompts for very many images: a table with a row for each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from samkit.arguments import checked_text
from samkit.bulk.places import Place, arrow
from samkit.errors import InputError
from samkit.files import parse_json
from samkit.prompts import Concept, Prompt

__all__ = ["Asked", "joined", "read_prompts"]

_ABOUT = ("frame", "object_id", "category")


@dataclass(kw_only=True)
class Asked:
    """What is asked about one frame, or about an image.

    Attributes:
        prompts: object id -> prompt.
        categories: object id -> name, of those that have one.
        words: what is looked for -> the name of what is found; only where there are no prompts.
    """

    prompts: dict[int, Prompt] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    def add_prompt(self, entry: Mapping[str, Any]) -> None:
        """Add an entry about an object; errors are those of `joined`."""
        object_id = _whole(entry, "object_id", max(self.prompts, default=0) + 1)
        prompt = Prompt.from_dict({k: v for k, v in entry.items() if k not in _ABOUT})
        known = self.prompts.get(object_id)
        self.prompts[object_id] = prompt if known is None else known + prompt
        category = _category(entry)
        if category is None:
            return
        before = self.categories.setdefault(object_id, category)
        if before != category:
            raise InputError(f"category: object {object_id} is {before} already, got {category}")

    def add_words(self, entry: Mapping[str, Any]) -> None:
        """Add an entry with words; errors are those of `joined`."""
        if others := [key for key in entry if key not in ("words", "category")]:
            raise InputError(
                f"words: they find all objects of a kind, so expected no {', '.join(others):.80}"
            )
        words = Concept(checked_text("words", entry["words"])).name
        self.words[words] = _category(entry) or words


def read_prompts(
    path: str | os.PathLike[str] | Place, *, of_videos: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """Image -> the entries about it, in the order of the table.

    The table is Parquet (.parquet), or JSON: a list (.json), as of ``samkit predict --prompts``, or
    an entry a line (.jsonl). An entry has ``image``, some of ``points``, ``labels``, ``box`` and
    ``mask`` (as of `Prompt.to_dict`), and perhaps ``object_id``, ``category`` and, of videos,
    ``frame`` (from 0; by default 0). Or, of images, it has ``words`` for all objects of a kind, and
    perhaps ``category``. Null counts as left out.

    Raises:
        InputError: it cannot be read, or an entry is not of this form.
    """
    place = Place.of(path, "a table of prompts")
    found: dict[str, list[dict[str, Any]]] = {}
    for number, entry in enumerate(_entries(place), 1):
        origin = f"{place}, entry {number}"
        if not isinstance(entry, Mapping):
            raise InputError(f"{origin}: expected an object with image, got {entry!r:.80}")
        known = {str(key): value for key, value in entry.items() if value is not None}
        image = known.pop("image", None)
        if not isinstance(image, str) or not image:
            raise InputError(f"{origin}: image: expected a name, got {image!r:.80}")
        if "frame" in known and not of_videos:
            raise InputError(f"{origin}: frame: images have none, but videos do (task track)")
        if "words" in known and of_videos:
            raise InputError(
                f"{origin}: words: they are of images; track from points, a box, a mask"
            )
        found.setdefault(image, []).append(known)
        try:
            joined(found[image][-1:])
        except InputError as error:
            raise InputError(f"{origin}: {error}") from None
    if not found:
        raise InputError(f"{place}: expected prompts, got none")
    for image, entries in found.items():
        try:
            joined(entries)
        except InputError as error:  # of two that do not go together
            raise InputError(f"{place}, image {image!r:.200}: {error}") from None
    return found


def joined(entries: Iterable[Mapping[str, Any]]) -> dict[int, Asked]:
    """Frame (0 of an image) -> what is asked about it; entries about one object are one prompt.

    An entry without an id is an object of its own, unless it has words.

    Raises:
        InputError: an entry is not of its form, or two of one object do not go together.
    """
    asked: dict[int, Asked] = {}
    for entry in entries:
        one = asked.setdefault(_whole(entry, "frame", 0), Asked())
        if "words" in entry:
            one.add_words(entry)
        else:
            one.add_prompt(entry)
        if one.words and one.prompts:
            raise InputError("words: points, boxes and masks of the same image need another run")
    return asked


def _category(entry: Mapping[str, Any]) -> str | None:
    name = entry.get("category")
    return None if name is None else checked_text("category", name)


def _whole(entry: Mapping[str, Any], key: str, otherwise: int) -> int:
    value = entry.get(key, otherwise)
    if isinstance(value, float) and value.is_integer():  # pandas makes them of columns with gaps
        value = int(value)
    if type(value) is not int or not (0 if key == "frame" else -(2**63)) <= value < 2**63:
        raise InputError(f"{key}: expected a whole number, got {value!r:.80}")
    return value


def _entries(place: Place) -> Iterable[Any]:
    import pyarrow

    if place.suffix not in (".parquet", ".json", ".jsonl"):
        raise InputError(f"{place}: expected a table .parquet, .json or .jsonl")
    with place.open(InputError) as file:
        if place.suffix == ".parquet":
            try:
                return list(arrow("parquet").read_table(file).to_pylist())
            except (pyarrow.ArrowException, OSError) as error:
                raise InputError(f"cannot read {place}: {error}") from error
        text = file.read()
    if place.suffix == ".jsonl":
        lines = (line for line in text.splitlines() if line.strip())
        return [parse_json(line, f"{place}, line {i}") for i, line in enumerate(lines, 1)]
    entries = parse_json(text, str(place))
    if not isinstance(entries, list):
        raise InputError(f"{place}: expected a list of prompts, got {entries!r:.80}")
    return entries
