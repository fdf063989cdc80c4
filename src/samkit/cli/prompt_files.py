"""Files of prompts: a JSON list of entries, each about one object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from samkit.cli.parsing import read_mask
from samkit.cli.streams import name_of
from samkit.cli.usage import usage_error
from samkit.errors import InputError, PromptError
from samkit.files import read_json

if TYPE_CHECKING:
    from samkit import Prompt

__all__ = ["bad_file", "mask_file", "pop_whole", "prompt_of", "read_entries"]


def read_entries(path: Path, keys: str) -> list[tuple[dict[str, Any], str]]:
    """The entries of a file, and what messages call each of them.

    Args:
        path: a JSON file.
        keys: what every entry has, for messages.

    Raises:
        typer.BadParameter: it cannot be read, or holds something else.
    """
    try:
        entries = read_json(path)
    except InputError as error:
        raise bad_file(str(error)) from None
    if not isinstance(entries, list) or not entries:
        raise bad_file(f"{name_of(path)}: expected a list of prompts, got {entries!r:.80}")
    named = []
    for number, entry in enumerate(entries, 1):
        origin = f"{name_of(path)}, entry {number}"
        if not isinstance(entry, dict):
            raise bad_file(f"{origin}: expected an object with {keys}, got {entry!r:.80}")
        named.append((dict(entry), origin))
    return named


def pop_whole(entry: dict[str, Any], key: str, origin: str) -> int:
    """Take a whole number out of an entry."""
    value = entry.pop(key, None)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        got = "none" if value is None else f"{value!r:.80}"
        raise bad_file(f"{origin}: {key}: expected a whole number of 64 bits, got {got}")
    return value


def prompt_of(values: dict[str, Any], object_id: int | None, folder: Path, origin: str) -> Prompt:
    """The fields of `Prompt.to_dict`, where the mask may also be the name of a file.

    Args:
        values: what is left of an entry.
        object_id: the value of the object in a label map; None: whatever is not background.
        folder: where names of files begin.
        origin: what messages call the entry.
    """
    from samkit import Prompt

    try:
        mask = values.get("mask")
        if mask is None or isinstance(mask, dict):
            return Prompt.from_dict(values)
        if not isinstance(mask, str):
            raise PromptError(f"mask: expected the name of a file, or a dict, got {mask!r:.80}")
        prompt = read_mask(folder / mask, object_id)
        others = {key: value for key, value in values.items() if key != "mask"}
        if all(value is None for value in others.values()):
            return prompt
        return Prompt.from_dict(others) + prompt
    except InputError as error:
        raise bad_file(f"{origin}: {error}") from None


def mask_file(values: dict[str, Any], folder: Path) -> tuple[Path, ...]:
    """The file that the mask of an entry is in, if it is in one."""
    mask = values.get("mask")
    return (folder / mask,) if isinstance(mask, str) else ()


def bad_file(message: str) -> typer.BadParameter:
    """An error of the file."""
    return usage_error(message, "--prompts")
