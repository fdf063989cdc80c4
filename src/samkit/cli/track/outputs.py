"""The files that `samkit track` writes."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samkit.cli.parsing import names_file, real_path
from samkit.cli.streams import name_of
from samkit.cli.usage import as_usage_error, usage_error
from samkit.errors import InputError, count_of

if TYPE_CHECKING:
    from samkit import Masks
    from samkit.masks.sequences import PngWriter, SequenceWriter
    from samkit.media.frames import Frames

__all__ = [
    "JSON_FORMATS",
    "Look",
    "Outputs",
    "check_ids",
    "check_outputs",
    "default_output",
    "holds_pngs",
    "pictures",
    "png_error",
    "png_writer",
]


JSON_FORMATS = ("coco", "sav", "youtube-vos")
_STACKS = (".tif", ".tiff")
_FILES = (".mp4", ".mov", ".json", ".csv", *_STACKS)


def default_output(video: str) -> Path:
    """VIDEO_overlay.mp4 in the current folder."""
    name = Path(re.split(r"[?#]", video)[0] if "://" in video else video).resolve().stem
    return Path(re.sub(r"[^\w.-]+", "_", name).strip("_") + "_overlay.mp4")


def check_outputs(outputs: list[Path], inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Check the outputs before any work.

    Args:
        outputs: files with one of the suffixes in `_FILES`, and folders.
        inputs: files and folders that are read.
        overwrite: several outputs may be folders that hold PNGs already.

    Raises:
        typer.BadParameter: an unknown suffix, an output twice, or one that is also an input.
    """
    from samkit.media import IMAGE_SUFFIXES

    goes_on = len(outputs) == 1  # what is there is compared with this run once that is known
    read = {real_path(one) for path in inputs for one in (path, *pictures(path))}
    # Folders of pictures; not those of videos and prompts.
    folders = {path.parent for path in read if path.suffix.lower() in IMAGE_SUFFIXES}
    seen: set[Path] = set()
    for output in outputs:
        path = real_path(output)
        if names_file(output):
            if output.suffix.lower() not in _FILES:
                raise usage_error(
                    f"expected a file {', '.join(_FILES)}, or a folder, got {output}", "-o"
                )
            if path in read:
                raise usage_error(
                    f"{output} would overwrite what is read; choose another place", "-o"
                )
        elif path in read | folders:
            raise usage_error(f"{output} is read from; choose another folder", "-o")
        elif not (overwrite or goes_on) and holds_pngs(path):
            raise png_error(output)
        if path in seen:
            raise usage_error(f"{output} is named twice", "-o")
        seen.add(path)


def holds_pngs(folder: Path) -> bool:
    """Whether there are PNGs in a folder."""
    return os.path.isdir(folder) and any(folder.glob("*.png"))


def png_error(folder: Path) -> Exception:
    """An error of usage: PNGs of something else are there."""
    return usage_error(f"{folder} holds PNGs already; choose another folder or --overwrite", "-o")


def pictures(path: Path) -> list[Path]:
    """The images that a folder or pattern names; none if it cannot be listed."""
    from samkit.media import list_images

    try:
        return [] if os.path.isfile(path) else list_images([path])
    except (InputError, OSError):  # reported by the code that reads it
        return []


@dataclass(frozen=True, kw_only=True)
class Look:
    """How masks are written.

    Attributes:
        json: what a .json is, one of `JSON_FORMATS`.
        cutouts: folders hold cut-outs instead of the ids of objects.
        feather, refine: of the edges of cut-outs, see `Masks.cutout`.
        clean: arguments of `Masks.cleaned`. What is tracked stays as it is.
    """

    json: str = "coco"
    cutouts: bool = False
    feather: float = 0.0
    refine: int = 0
    clean: dict[str, Any] = field(default_factory=dict)


def check_ids(outputs: list[Path], look: Look, object_ids: Collection[int]) -> None:
    """An error of usage for ids that an output cannot hold, before any work."""
    from samkit.masks.sequences import check_png_ids
    from samkit.masks.stacks import check_stack_ids

    with as_usage_error("-o"):
        if _folder_of_ids(outputs, look) is not None:
            check_png_ids(object_ids)
        if any(names_file(path) and path.suffix.lower() in _STACKS for path in outputs):
            check_stack_ids(object_ids)


def _folder_of_ids(outputs: list[Path], look: Look) -> Path | None:
    """The first folder that gets indexed PNGs."""
    folders = [path for path in outputs if not names_file(path)]
    return folders[0] if folders and not look.cutouts else None


class Outputs:
    """The output files of a run, written frame by frame.

    Attributes:
        frames: lowest and highest number of the frames written; None before the first.
        count: number of frames written.
        in_order: whether frames have to be written in the order of their numbers.
    """

    def __init__(
        self,
        paths: list[Path],
        frames: Frames,
        look: Look,
        *,
        name: str,
        rate: float | None,
        run: str = "",
    ) -> None:
        if look.json == "youtube-vos" and (folder := _folder_of_ids(paths, look)) is not None:
            name = real_path(folder).name  # by which readers find the PNGs
        elif look.json != "coco":
            name = Path(name).stem
        self._outputs = [
            _Output(path, _writer(path, frames, look, name, rate, run)) for path in paths
        ]
        self._look = look
        self._objects: set[int] = set()
        self.frames: tuple[int, int] | None = None
        self.count = 0
        self.in_order = any(names_file(path) for path in paths)

    def go_on(self, frames: tuple[int, int], object_ids: Iterable[int]) -> None:
        """Count frames that were written before."""
        self.frames, self.count = frames, frames[1] - frames[0] + 1
        self._objects.update(object_ids)
        for output in self._outputs:
            output.is_done = True

    def write(self, frame: int, masks: Masks) -> None:
        """Add a frame to all files.

        Raises:
            InputError: a file cannot be written.
        """
        masks = masks.cleaned(**self._look.clean)
        for output in self._outputs:
            output.is_done = False
            output.writer.write(frame, masks)
            output.is_done = True
        self._objects.update(masks.object_ids.tolist())
        first, last = self.frames or (frame, frame)
        self.frames = (min(first, frame), max(last, frame))
        self.count += 1

    def png(self, frame: int) -> Path:
        """Where a frame lies in the folder of PNGs, which is the only output."""
        from samkit.masks.sequences import PngWriter

        (output,) = self._outputs
        assert isinstance(output.writer, PngWriter)
        return output.writer.path(frame)

    def remove_others(self) -> list[str]:
        """Remove PNGs of earlier runs -> errors."""
        from samkit.masks.sequences import PngWriter

        failures = []
        first, last = self.frames or (0, -1)
        for output in self._outputs:
            if isinstance(output.writer, PngWriter) and output.is_done:
                try:
                    output.writer.remove_others(range(first, last + 1))
                except InputError as error:
                    failures.append(str(error))
        return failures

    def close(self) -> list[str]:
        """Finish all files -> the errors of those that cannot be finished."""
        failures = []
        for output in self._outputs:
            try:
                output.writer.close()
            except InputError as error:
                output.is_done = False
                failures.append(str(error))
        return failures

    def discard(self) -> None:
        """Remove unfinished files."""
        for output in self._outputs:
            output.writer.discard()

    def describe(self) -> list[str]:
        """A line for each finished file."""
        counts = f"{count_of(self.count, 'frame')}, {count_of(len(self._objects), 'object')}"
        return [f"{name_of(output.path)}: {counts}" for output in self._outputs if output.is_done]


@dataclass
class _Output:
    path: Path
    writer: SequenceWriter
    is_done: bool = False


def png_writer(folder: Path, frames: Frames, look: Look, run: str = "") -> PngWriter:
    """What writes a folder of PNGs."""
    from samkit.masks.sequences import CutoutPngWriter, IndexedPngWriter

    if look.cutouts:
        return CutoutPngWriter(folder, frames, run=run, feather=look.feather, refine=look.refine)
    return IndexedPngWriter(folder, frames, run=run)


def _writer(
    path: Path, frames: Frames, look: Look, name: str, rate: float | None, run: str
) -> SequenceWriter:
    from samkit.masks.masklets import SavWriter, YouTubeVosWriter
    from samkit.masks.sequences import CocoVideoWriter, PictureVideoWriter
    from samkit.masks.stacks import LabelStackWriter, TableWriter

    if not names_file(path):
        return png_writer(path, frames, look, run)
    suffix = path.suffix.lower()
    if suffix == ".json":
        if look.json == "sav":
            return SavWriter(path, frames, name=name)
        if look.json == "youtube-vos":
            return YouTubeVosWriter(path, frames, name=name)
        return CocoVideoWriter(path, frames, name=name)
    if suffix == ".csv":
        return TableWriter(path, frames)
    if suffix in _STACKS:
        return LabelStackWriter(path)
    return PictureVideoWriter(path, frames, rate=rate, feather=look.feather, refine=look.refine)
