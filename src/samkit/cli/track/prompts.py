"""What `samkit track` is told about objects: options, and a file of prompts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from samkit.cli.parsing import NotAsExpected, box_of, mask_of, point_of

if TYPE_CHECKING:
    from samkit import Prompt

__all__ = ["FramePrompt", "read_prompts"]


@dataclass(frozen=True, kw_only=True)
class FramePrompt:
    """What is said of one object on one frame.

    Attributes:
        frame: its number, from 0.
        object_id: of the object.
        prompt: all points, the box and the mask.
        origin: where it was said first, for messages.
        files: the pictures that the mask was read from.
    """

    frame: int
    object_id: int
    prompt: Prompt
    origin: str
    files: tuple[Path, ...] = ()


def read_prompts(
    points: list[str], boxes: list[str], masks: list[str], file: Path | None
) -> list[FramePrompt]:
    """All prompts, those of the file first; what is said of one object on one frame is one prompt.

    Raises:
        typer.BadParameter: something is not as it should be; the message names the option, or the
            entry of the file with its frame and object.
    """
    from samkit.errors import PromptError

    found: dict[tuple[int, int], FramePrompt] = {}
    for part in _parts(points, boxes, masks, file):
        if not -(2**63) <= part.object_id < 2**63:
            raise typer.BadParameter(f"{part.origin}: expected an id of 64 bits")
        key = (part.frame, part.object_id)
        before = found.get(key)
        if before is None:
            found[key] = part
            continue
        try:
            prompt = before.prompt + part.prompt
        except PromptError as error:
            raise typer.BadParameter(f"{part.origin}: {error}") from None
        found[key] = replace(before, prompt=prompt, files=before.files + part.files)
    if not found:
        raise typer.BadParameter(
            "point at something: --point FRAME:ID:X,Y or --box FRAME:ID:X0,Y0,X1,Y1 or "
            "--mask FRAME:ID:FILE or --prompts FILE"
        )
    return list(found.values())


def _parts(
    points: list[str], boxes: list[str], masks: list[str], file: Path | None
) -> Iterator[FramePrompt]:
    if file is not None:
        yield from _from_file(file)
    for text in points:
        yield _from_option(
            text, "--point", "X,Y[,LABEL] with LABEL 1 or 0", lambda rest, _: point_of(rest)
        )
    for text in boxes:
        yield _from_option(text, "--box", "X0,Y0,X1,Y1", lambda rest, _: box_of(rest))
    for text in masks:
        part = _from_option(
            text, "--mask", "FILE", lambda rest, number: mask_of(Path(rest), number)
        )
        yield replace(part, files=(Path(text.split(":", 2)[2]),))


# Options


def _from_option(
    text: str, option: str, form: str, prompt_of: Callable[[str, int], Prompt]
) -> FramePrompt:
    """One option, FRAME:ID:REST."""
    from samkit.errors import ImageError, PromptError

    expected = f"expected FRAME:ID:{form}, got {text!r}"
    frame, first, rest = text.partition(":")
    object_id, second, rest = rest.partition(":")
    if not (first and second and _is_whole(frame) and _is_whole(object_id)) or int(frame) < 0:
        raise typer.BadParameter(expected, param_hint=option)
    try:
        prompt = prompt_of(rest, int(object_id))
    except (PromptError, ImageError) as error:
        raise typer.BadParameter(f"{text}: {error}", param_hint=option) from None
    except NotAsExpected:
        raise typer.BadParameter(expected, param_hint=option) from None
    return FramePrompt(
        frame=int(frame), object_id=int(object_id), prompt=prompt, origin=f"{option} {text}"
    )


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


# File


def _from_file(path: Path) -> Iterator[FramePrompt]:
    from samkit.errors import ImageError, PromptError

    for number, entry in enumerate(_entries(path), 1):
        origin = f"{path}, entry {number}"
        if not isinstance(entry, dict):
            raise _bad(f"{origin}: expected an object with frame and object_id, got {entry!r:.80}")
        frame, object_id = (_whole(entry, key, origin) for key in ("frame", "object_id"))
        origin += f" (frame {frame}, object {object_id})"
        if frame < 0:
            raise _bad(f"{origin}: expected a frame from 0 on")
        try:
            prompt = _prompt_of_entry(entry, object_id, path.parent)
        except (PromptError, ImageError) as error:
            raise _bad(f"{origin}: {error}") from None
        mask = entry.get("mask")
        files = (path.parent / mask,) if isinstance(mask, str) else ()
        yield FramePrompt(
            frame=frame, object_id=object_id, prompt=prompt, origin=origin, files=files
        )


def _entries(path: Path) -> list[Any]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise _bad(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise _bad(f"{path} is no JSON: {error}") from None
    if not isinstance(entries, list) or not entries:
        raise _bad(f"{path}: expected a list of prompts, got {entries!r:.80}")
    return entries


def _whole(entry: dict[str, Any], key: str, origin: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        got = f"got {value!r:.80}" if key in entry else "got none"
        raise _bad(f"{origin}: {key}: expected a whole number, {got}")
    return value


def _prompt_of_entry(entry: dict[str, Any], object_id: int, folder: Path) -> Prompt:
    """What `Prompt.from_dict` takes, and for the mask also the name of a file."""
    from samkit import Prompt
    from samkit.errors import PromptError

    values = {key: value for key, value in entry.items() if key not in ("frame", "object_id")}
    mask = values.get("mask")
    if mask is None or isinstance(mask, dict):
        return Prompt.from_dict(values)
    if not isinstance(mask, str):
        raise PromptError(f"mask: expected the name of a file, or a dict, got {mask!r:.80}")
    prompt = mask_of(folder / values.pop("mask"), object_id)
    has_more = any(value is not None for value in values.values())
    return Prompt.from_dict(values) + prompt if has_more else prompt


def _bad(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--prompts")
