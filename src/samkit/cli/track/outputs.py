"""The files that `samkit track` writes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from samkit.cli.parsing import names_file

if TYPE_CHECKING:
    from samkit import Masks
    from samkit.masks.sequences import SequenceWriter
    from samkit.media.frames import Frames

__all__ = ["Outputs", "check_outputs", "default_output"]


def default_output(video: str) -> Path:
    """An overlay in this folder, called after the video."""
    name = Path(re.split(r"[?#]", video)[0] if "://" in video else video).resolve().stem
    return Path(re.sub(r"[^\w.-]+", "_", name).strip("_") + "_overlay.mp4")


def check_outputs(outputs: list[Path], inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Find out before any work what cannot be meant.

    Args:
        outputs: files .mp4 and .json, and folders.
        inputs: files and folders that are read.
        overwrite: folders may hold PNGs already.

    Raises:
        typer.BadParameter: an unknown suffix, one place twice, or a place that is read from.
    """
    from samkit.media import IMAGE_SUFFIXES

    read = {one.resolve() for path in inputs for one in (path, *_pictures(path))}
    # Folders of pictures; not those of videos and prompts.
    folders = {path.parent for path in read if path.suffix.lower() in IMAGE_SUFFIXES}
    taken: set[Path] = set()
    for output in outputs:
        place = output.resolve()
        if names_file(output):
            if output.suffix.lower() not in (".mp4", ".json"):
                raise _bad(f"expected a file .mp4 or .json, or a folder, got {output}")
            if place in read:
                raise _bad(f"{output} would overwrite what is read; choose another place")
        else:
            if place in read | folders:
                raise _bad(f"{output} is read from; choose another folder")
            if not overwrite and place.is_dir() and any(place.glob("*.png")):
                raise _bad(f"{output} holds PNGs already; choose another folder or --overwrite")
        if place in taken:
            raise _bad(f"{output} is named twice")
        taken.add(place)


def _pictures(path: Path) -> list[Path]:
    """What a folder or a pattern of pictures names."""
    from samkit.errors import ImageError
    from samkit.media import list_images

    try:
        return [] if path.is_file() else list_images([path])
    except (ImageError, OSError):  # none: whoever reads it will say so
        return []


class Outputs:
    """All files that a run writes, frame by frame.

    Attributes:
        frames: numbers of the first frame written and of the last; None before the first.
        count: how many frames were written.
    """

    def __init__(self, paths: list[Path], frames: Frames, *, name: str, rate: float | None) -> None:
        self._outputs = [_Output(path, _writer(path, frames, name, rate)) for path in paths]
        self._objects: set[int] = set()
        self.frames: tuple[int, int] | None = None
        self.count = 0

    def write(self, frame: int, masks: Masks) -> None:
        """Add a frame to all.

        Raises:
            InputError: one of them cannot be written.
        """
        for output in self._outputs:
            output.is_done = False
            output.writer.write(frame, masks)
            output.is_done = True
        self._objects.update(masks.object_ids.tolist())
        self.frames = (frame if self.frames is None else self.frames[0], frame)
        self.count += 1

    def close(self) -> list[str]:
        """Finish all; one that cannot be finished does not stop the others.

        Returns:
            Why some could not be.
        """
        from samkit.errors import InputError

        failures = []
        for output in self._outputs:
            try:
                output.writer.close()
            except InputError as error:
                output.is_done = False
                failures.append(str(error))
        return failures

    def discard(self) -> None:
        """Throw away what is not in place yet."""
        for output in self._outputs:
            output.writer.discard()

    def describe(self) -> list[str]:
        """What is in place now, a line for each."""
        frames = f"{self.count} {'frame' if self.count == 1 else 'frames'}"
        objects = f"{len(self._objects)} {'object' if len(self._objects) == 1 else 'objects'}"
        done = [output.path for output in self._outputs if output.is_done]
        return [f"{path}: {frames}, {objects}" for path in done]


@dataclass
class _Output:
    path: Path
    writer: SequenceWriter
    is_done: bool = False


def _writer(path: Path, frames: Frames, name: str, rate: float | None) -> SequenceWriter:
    from samkit.masks.sequences import CocoVideoWriter, IndexedPngWriter, OverlayVideoWriter

    if not names_file(path):
        return IndexedPngWriter(path, frames)
    if path.suffix.lower() == ".json":
        return CocoVideoWriter(path, frames, name=name)
    return OverlayVideoWriter(path, frames, rate=rate)


def _bad(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="-o")
