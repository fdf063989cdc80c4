"""Prompts of `samkit track`: from options, and from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from samkit.cli.parsing import FormatError, parse_box, parse_point, parse_whole, read_mask
from samkit.cli.streams import name_of
from samkit.cli.usage import as_usage_error, usage_error
from samkit.errors import InputError, PromptError
from samkit.files import read_json

if TYPE_CHECKING:
    from samkit import Prompt

__all__ = ["FramePrompt", "read_prompts"]


@dataclass(frozen=True, kw_only=True)
class FramePrompt:
    """The prompt for one object on one frame.

    Attributes:
        frame: its number, from 0.
        object_id: of the object.
        prompt: all points, the box and the mask.
        origin: the first option or file entry that it comes from, for messages.
        files: the pictures that the mask was read from.
    """

    frame: int
    object_id: int
    prompt: Prompt
    origin: str
    files: tuple[Path, ...] = ()


def read_prompts(
    points: list[str],
    boxes: list[str],
    masks: list[str],
    file: Path | None,
    folder: Path | None = None,
) -> list[FramePrompt]:
    """All prompts, those of the file first, one for each frame and object.

    Args:
        points, boxes, masks: of options.
        file: of prompts.
        folder: in which the masks are that it names; by default its own.

    Raises:
        typer.BadParameter: a prompt is not valid; the message names the option, or the entry of
            the file with its frame and object.
    """
    merged: dict[tuple[int, int], FramePrompt] = {}
    for part in _parts(points, boxes, masks, file, folder):
        key = (part.frame, part.object_id)
        if key in merged:
            before = merged[key]
            try:
                prompt = before.prompt + part.prompt
            except PromptError as error:
                raise usage_error(f"{part.origin}: {error}") from None
            part = replace(before, prompt=prompt, files=before.files + part.files)
        merged[key] = part
    if not merged:
        raise usage_error(
            "point at something: --point FRAME:ID:X,Y or --box FRAME:ID:X0,Y0,X1,Y1 or "
            "--mask FRAME:ID:FILE or --prompts FILE"
        )
    return list(merged.values())


def _parts(
    points: list[str], boxes: list[str], masks: list[str], file: Path | None, folder: Path | None
) -> Iterator[FramePrompt]:
    if file is not None:
        for number, entry in enumerate(_entries(file), 1):
            yield _from_entry(entry, f"{name_of(file)}, entry {number}", folder or file.parent)
    for text in points:
        form = "X,Y[,LABEL] with LABEL 1 or 0"
        yield _from_option(text, "--point", form, lambda rest, _: parse_point(rest))
    for text in boxes:
        yield _from_option(text, "--box", "X0,Y0,X1,Y1", lambda rest, _: parse_box(rest))
    for text in masks:
        part = _from_option(text, "--mask", "FILE", _mask_option)
        yield replace(part, files=(Path(text.split(":", 2)[2]),))


def _from_option(
    text: str, option: str, form: str, parse: Callable[[str, int], Prompt]
) -> FramePrompt:
    """One option, FRAME:ID:REST; `parse` takes REST and ID."""
    expected = f"expected FRAME:ID:{form}, got {text!r}"
    frame, first, rest = text.partition(":")
    object_id, second, rest = rest.partition(":")
    try:
        number, known_as = parse_whole(frame), parse_whole(object_id)
        if not (first and second) or number < 0:
            raise FormatError
        prompt = parse(rest, known_as)
    except FormatError:
        raise usage_error(expected, option) from None
    except InputError as error:
        raise usage_error(f"{text}: {error}", option) from None
    return FramePrompt(frame=number, object_id=known_as, prompt=prompt, origin=f"{option} {text}")


def _mask_option(rest: str, object_id: int) -> Prompt:
    with as_usage_error("--mask"):  # it names the file
        return read_mask(Path(rest), object_id)


def _entries(path: Path) -> list[Any]:
    try:
        entries = read_json(path)
    except InputError as error:
        raise _bad_file(str(error)) from None
    if not isinstance(entries, list) or not entries:
        raise _bad_file(f"{name_of(path)}: expected a list of prompts, got {entries!r:.80}")
    return entries


def _from_entry(entry: Any, origin: str, folder: Path) -> FramePrompt:
    if not isinstance(entry, dict):
        raise _bad_file(f"{origin}: expected an object with frame and object_id, got {entry!r:.80}")
    values = dict(entry)
    frame, object_id = (_pop_int(values, key, origin) for key in ("frame", "object_id"))
    origin += f" (frame {frame}, object {object_id})"
    if frame < 0:
        raise _bad_file(f"{origin}: expected a frame from 0 on")
    mask = values.get("mask")
    try:
        prompt = _prompt_of(values, object_id, folder)
    except InputError as error:
        raise _bad_file(f"{origin}: {error}") from None
    files = (folder / mask,) if isinstance(mask, str) else ()
    return FramePrompt(frame=frame, object_id=object_id, prompt=prompt, origin=origin, files=files)


def _pop_int(entry: dict[str, Any], key: str, origin: str) -> int:
    value = entry.pop(key, None)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        got = "none" if value is None else f"{value!r:.80}"
        raise _bad_file(f"{origin}: {key}: expected a whole number of 64 bits, got {got}")
    return value


def _prompt_of(values: dict[str, Any], object_id: int, folder: Path) -> Prompt:
    """The fields of `Prompt.to_dict`, where the mask may also be the name of a file."""
    from samkit import Prompt

    mask = values.get("mask")
    if mask is None or isinstance(mask, dict):
        return Prompt.from_dict(values)
    if not isinstance(mask, str):
        raise PromptError(f"mask: expected the name of a file, or a dict, got {mask!r:.80}")
    del values["mask"]
    prompt = read_mask(folder / mask, object_id)
    if all(value is None for value in values.values()):
        return prompt
    return Prompt.from_dict(values) + prompt


def _bad_file(message: str) -> typer.BadParameter:
    return usage_error(message, "--prompts")
