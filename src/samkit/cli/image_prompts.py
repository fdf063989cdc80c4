"""The prompts of `samkit predict --prompts`: a file with the objects of many images."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from samkit.cli.prompt_files import bad_file, pop_whole, prompt_of, read_entries
from samkit.errors import PromptError

if TYPE_CHECKING:
    from samkit import Prompt

__all__ = ["ImagePrompts", "read_image_prompts"]


@dataclass(kw_only=True)
class ImagePrompts:
    """What is asked about one image: objects, each with its prompt and the name of its category.

    Attributes:
        prompts: object id -> prompt, in the order of the file.
        categories: object id -> name.
    """

    prompts: dict[int, Prompt] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)


def read_image_prompts(file: Path, category: str, folder: Path) -> dict[Path, ImagePrompts]:
    """Image -> its prompts, in the order of the file.

    Each entry has `image`, a name relative to the file, and the fields of `Prompt.to_dict`; it may
    have `object_id` and `category`. Entries with one image and id are about one object; one without
    an id is an object of its own.

    Args:
        file: JSON, a list of entries.
        category: of the objects that have none in the file.
        folder: where names of files begin.

    Raises:
        typer.BadParameter: the file cannot be read, or an image is not there; the message names
            the entry.
    """
    asked: dict[Path, ImagePrompts] = {}
    for entry, origin in read_entries(file, "image"):
        name, its_category = entry.pop("image", None), entry.pop("category", None)
        if not isinstance(name, str) or not name:
            raise bad_file(f"{origin}: image: expected the name of a file, got {name!r:.80}")
        if not os.path.exists(folder / name):
            raise bad_file(f"{origin}: no such file: {folder / name}")
        if not isinstance(its_category, str | None):
            raise bad_file(f"{origin}: category: expected a name, got {its_category!r:.80}")
        one = asked.setdefault(folder / name, ImagePrompts())
        given = pop_whole(entry, "object_id", origin) if "object_id" in entry else None
        object_id = max(one.prompts, default=0) + 1 if given is None else given
        prompt = prompt_of(entry, given, folder, origin)
        if object_id in one.prompts:
            try:
                prompt = one.prompts[object_id] + prompt
            except PromptError as error:
                raise bad_file(f"{origin}: {error}") from None
            known = one.categories[object_id]
            if its_category is not None and its_category != known:
                raise bad_file(
                    f"{origin}: object {object_id} is {known} already, got {its_category}"
                )
        else:
            one.categories[object_id] = category if its_category is None else its_category
        one.prompts[object_id] = prompt
    return asked
