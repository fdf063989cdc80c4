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

_KEYS = {"frame", "object_id", "points", "labels", "box", "mask"}


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
        if unknown := sorted(entry.keys() - _KEYS):
            raise _bad(
                f"{origin}: unknown {', '.join(unknown)}; expected some of "
                f"{', '.join(sorted(_KEYS))}"
            )
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
    from samkit import Prompt
    from samkit.errors import PromptError

    parts: list[Prompt] = []
    points, labels, box, mask = (entry.get(key) for key in ("points", "labels", "box", "mask"))
    if labels is not None and points is None:
        raise PromptError("labels: they go with points")
    if points is not None:
        parts.append(Prompt.points(points, labels))
    if box is not None:
        if not isinstance(box, list) or len(box) != 4:
            raise PromptError(f"box: expected [x0, y0, x1, y1], got {box!r:.80}")
        parts.append(Prompt.box(*box))
    if mask is not None:
        parts.append(_mask_of_entry(mask, object_id, folder))
    if not parts:
        raise PromptError("expected points, a box or a mask")
    prompt = parts[0]
    for part in parts[1:]:
        prompt = prompt + part
    return prompt


def _mask_of_entry(mask: Any, object_id: int, folder: Path) -> Prompt:
    """The name of a file, or COCO run lengths, as in the log of a saved session."""
    from samkit import Masks, Prompt
    from samkit.errors import InputError, PromptError

    if isinstance(mask, str):
        return mask_of(folder / mask, object_id)
    try:
        height, width = mask["size"]
        return Prompt.mask(Masks.from_rle([mask], (height, width), [1.0]).masks[0])
    except (TypeError, KeyError, ValueError, InputError) as error:
        raise PromptError(
            f"mask: expected the name of a file, or size and counts of run lengths: {error}"
        ) from None


def _bad(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--prompts")
