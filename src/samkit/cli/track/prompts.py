"""Prompts of `samkit track`: from options, and from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samkit.cli.parsing import FormatError, parse_box, parse_point, parse_whole, read_mask
from samkit.cli.prompt_files import bad_file, mask_file, pop_whole, prompt_of, read_entries
from samkit.cli.usage import as_usage_error, usage_error
from samkit.errors import InputError, PromptError

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
    *,
    are_needed: bool = True,
) -> list[FramePrompt]:
    """All prompts, those of the file first, one for each frame and object.

    Args:
        points, boxes, masks: of options.
        file: of prompts.
        folder: in which the masks are that it names; by default its own.
        are_needed: no prompts are wrong usage.

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
    if are_needed and not merged:
        raise usage_error(
            "point at something: --point FRAME:ID:X,Y or --box FRAME:ID:X0,Y0,X1,Y1 or "
            "--mask FRAME:ID:FILE or --prompts FILE; or --find WORDS"
        )
    return list(merged.values())


def _parts(
    points: list[str], boxes: list[str], masks: list[str], file: Path | None, folder: Path | None
) -> Iterator[FramePrompt]:
    if file is not None:
        for entry, origin in read_entries(file, "frame and object_id"):
            yield _from_entry(entry, origin, folder or file.parent)
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


def _from_entry(entry: dict[str, Any], origin: str, folder: Path) -> FramePrompt:
    frame, object_id = (pop_whole(entry, key, origin) for key in ("frame", "object_id"))
    origin += f" (frame {frame}, object {object_id})"
    if frame < 0:
        raise bad_file(f"{origin}: expected a frame from 0 on")
    return FramePrompt(
        frame=frame,
        object_id=object_id,
        prompt=prompt_of(entry, object_id, folder, origin),
        origin=origin,
        files=mask_file(entry, folder),
    )
