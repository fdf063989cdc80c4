"""Masks of a video to files, frame by frame."""

import dataclasses
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samkit.errors import InputError
from samkit.files import checked_path
from samkit.masks import drawing
from samkit.masks.coco_stream import CocoStream
from samkit.masks.result import Masks
from samkit.media import write_atomically
from samkit.media.frames import Frames

__all__ = [
    "MOST_PNG_ID",
    "CocoVideoWriter",
    "CutoutPngWriter",
    "IndexedPngWriter",
    "PictureVideoWriter",
    "PngWriter",
    "SequenceWriter",
    "check_png_ids",
    "stem_of",
]

MOST_PNG_ID = 254
"""Largest object id in an indexed PNG: 0 is the background, and 255 means void in DAVIS."""

_NUMBERED = re.compile(r"\d{5,}\.png")
_MARK, _RUN = ("Software", "samkit track"), "samkit-run"
_DEFAULT_RATE = Fraction(25)
# The category of objects without.
_CATEGORY = "object"


class SequenceWriter(Protocol):
    """Writes the masks of a video's frames, in the order of the frames."""

    def write(self, frame: int, masks: Masks) -> None:
        """Add the masks of a frame, whose number is higher than those before.

        Raises:
            InputError: the masks do not fit, or the place cannot be written.
        """
        ...

    def close(self) -> None:
        """Finish, and put the file in place. Without any frame there is no file.

        Raises:
            InputError: the place cannot be written.
        """
        ...

    def discard(self) -> None:
        """Remove what is not in place yet."""
        ...


class PictureVideoWriter:
    """A video of pictures of the masks, with the times and the pixel aspect of the source.

    An .mp4 has the frames with the masks drawn on them, each object in a colour of its own; a .mov
    has what the masks cover, cut out. See `VideoWriter` for the rest.

    Args:
        path: a file .mp4 or .mov.
        frames: of the video.
        rate: frames per second, where the source has none of its own.
        feather, refine: of the edges of cut-outs, see `Masks.cutout`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        frames: Frames,
        *,
        rate: float | Fraction | None = None,
        feather: float = 0.0,
        refine: int = 0,
    ) -> None:
        from samkit.media.video_writer import VideoWriter

        self._frames = frames
        self._edges: dict[str, Any] = {"feather": feather, "refine": refine}
        self._is_cut = Path(path).suffix.lower() == ".mov"
        if frames.format is None:
            self._video = VideoWriter(path, rate=_DEFAULT_RATE if rate is None else rate)
        else:
            self._video = VideoWriter(path, **dataclasses.asdict(frames.format))
        self._last: Fraction | None = None

    def write(self, frame: int, masks: Masks) -> None:
        image = self._frames.read(frame)
        picture = masks.cutout(image, **self._edges) if self._is_cut else masks.overlay(image)
        time = self._frames.time(frame)
        if time is not None and self._last is not None and time <= self._last:
            # Some files show two frames at one time; both are kept, one unit apart.
            unit = Fraction(1, 90_000) if self._frames.format is None else self._frames.format.unit
            time = self._last + unit
        self._video.write(picture, time)
        self._last = time

    def close(self) -> None:
        self._video.close()

    def discard(self) -> None:
        self._video.discard()


class PngWriter:
    """A folder of PNGs, one for each frame.

    Files are named after the pictures of the video, or else by the number of the frame: 00000.png.
    Each is in place as soon as it is written.

    Args:
        folder: created when missing.
        frames: of the video.
        picture: frame and its masks -> what is written for it.
        run: a text in each file by which `are_of_run` knows them again; "" for none.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        frames: Frames,
        picture: Callable[[int, Masks], Image.Image],
        *,
        run: str = "",
    ) -> None:
        self._folder = checked_path(folder, "a folder of masks")
        self._frames = frames
        self._picture, self._run = picture, run

    def write(self, frame: int, masks: Masks) -> None:
        image = self._picture(frame, masks)
        mark = PngInfo()
        mark.add_text(*_MARK)
        if self._run:
            mark.add_text(_RUN, self._run)
        with write_atomically(self.path(frame)) as temporary:
            image.save(temporary, pnginfo=mark)

    def path(self, frame: int) -> Path:
        """Where a frame is written."""
        return self._folder / self._name(frame)

    def are_of_run(self, frames: Iterable[int]) -> bool:
        """Whether the folder holds the PNGs of these frames, all of this run, and no others."""
        paths = {self.path(frame) for frame in frames}
        there = set(self._folder.glob("*.png"))
        return paths == there and all(_text(path, _RUN) == self._run for path in paths)

    def remove_others(self, frames: Iterable[int]) -> None:
        """Remove PNGs of earlier runs, so that those of these frames are left.

        Others than such a run writes stay: of those that are not called by a number (00000.png)
        or after a picture of the video, only those are removed that say where they come from.

        Raises:
            InputError: one cannot be removed.
        """
        kept = {self._name(frame) for frame in frames}
        known = {self._name(frame) for frame in range(self._frames.count or 0)}
        for path in sorted(self._folder.glob("*.png")):
            if path.name in kept or path.is_symlink() or not path.is_file():
                continue
            if (
                path.name in known
                or _NUMBERED.fullmatch(path.name)
                or _text(path, _MARK[0]) == _MARK[1]
            ):
                try:
                    path.unlink()
                except OSError as error:
                    raise InputError(f"cannot remove {path}: {error.strerror or error}") from error

    def close(self) -> None:
        pass

    def discard(self) -> None:
        pass

    def _name(self, frame: int) -> str:
        return f"{stem_of(self._frames, frame)}.png"


class IndexedPngWriter(PngWriter):
    """A folder of palette PNGs as in DAVIS: a pixel's value is the id of the object there.

    0 is the background. Where objects overlap, the best-scored one is on top. The palette has the
    colours of overlays.
    """

    def __init__(self, folder: str | os.PathLike[str], frames: Frames, *, run: str = "") -> None:
        super().__init__(folder, frames, self._indexed, run=run)
        objects = [drawing.colour_of(i) for i in range(1, MOST_PNG_ID + 1)]
        colours = [(0, 0, 0), *objects, (255, 255, 255)]
        self._palette = [value for colour in colours for value in colour]

    def _indexed(self, frame: int, masks: Masks) -> Image.Image:
        check_png_ids(masks.object_ids.tolist())
        index = np.zeros(masks.image_size, np.uint8)
        for i in drawing.painting_order(masks.scores):
            index[masks[i].masks[0]] = masks.object_ids[i]
        image = Image.fromarray(index)
        image.putpalette(self._palette)
        return image


class CutoutPngWriter(PngWriter):
    """A folder of PNGs with opacity: what the masks cover, cut out of each frame.

    Args:
        folder, frames, run: as `PngWriter`.
        feather, refine: of the edges, see `Masks.cutout`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        frames: Frames,
        *,
        run: str = "",
        feather: float = 0.0,
        refine: int = 0,
    ) -> None:
        super().__init__(folder, frames, self._cut_out, run=run)
        self._edges: dict[str, Any] = {"feather": feather, "refine": refine}

    def _cut_out(self, frame: int, masks: Masks) -> Image.Image:
        return Image.fromarray(masks.cutout(self._frames.read(frame), **self._edges))


def stem_of(frames: Frames, frame: int) -> str:
    """What the files of a frame are called: after its picture, or else by its number: 00000."""
    name = frames.name(frame)
    return f"{frame:05d}" if name is None else Path(name).stem


def _text(path: Path, key: str) -> str | None:
    """A text in a PNG file; None where there is none."""
    try:
        with Image.open(path) as image:
            return image.info.get(key) if image.format == "PNG" else None
    except Exception:  # damaged, or no picture
        return None


def check_png_ids(object_ids: Collection[int]) -> None:
    """Raise `InputError` for ids that an indexed PNG cannot hold."""
    for object_id in object_ids:
        if not 1 <= object_id <= MOST_PNG_ID:
            raise InputError(
                f"indexed PNGs hold object ids from 1 to {MOST_PNG_ID}, got {object_id}: give it "
                "another id, or write .json"
            )


class CocoVideoWriter:
    """A COCO data set (.json) of a video: one image for each frame, one annotation for each object.

    - `videos`: one entry with the name, the size and, if known, the frame rate;
    - `images`: `id` and `frame` are the frame's number; `time` in seconds, or null; `file_name` is
      that of the picture, or 00000.jpg and so on;
    - `annotations`: as `Masks.to_coco`: RLE, box, area, `object_id`, `score`, `presence`. An object
      that is not there has an empty mask;
    - `categories`: the given ones, and the `names` of the others, "object" where they have none.

    Args:
        path: a file .json.
        frames: of the video.
        name: of the video.
        category: object id -> its category, one of `categories`.
        categories: names, in the order of their ids from 1.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        frames: Frames,
        *,
        name: str = "",
        category: Mapping[int, str] | None = None,
        categories: Sequence[str] = (),
    ) -> None:
        self._file = CocoStream(path)
        self._frames = frames
        self._category = {} if category is None else category
        self._ids = {name: i for i, name in enumerate(categories, 1)}
        self._video: dict[str, Any] = {"id": 1, "name": name}
        if frames.format is not None:
            self._video["frame_rate"] = float(frames.format.rate)

    def write(self, frame: int, masks: Masks) -> None:
        height, width = masks.image_size
        size = {"width": width, "height": height}
        time = self._frames.time(frame)
        image = {
            "id": frame,
            "video_id": 1,
            "frame": frame,
            "time": None if time is None else float(time),
            **size,
            "file_name": self._frames.name(frame) or f"{frame:05d}.jpg",
        }
        self._video.update(size)
        annotations = masks.to_coco(frame)
        names = [_CATEGORY] * len(masks) if masks.names is None else masks.names.tolist()
        for one, own in zip(annotations, names, strict=True):
            name = self._category.get(one["object_id"], own)
            one["category_id"] = self._ids.setdefault(name, len(self._ids) + 1)
        self._file.add(image, annotations)

    def close(self) -> None:
        ids = self._ids or {_CATEGORY: 1}
        categories = [{"id": i, "name": name} for name, i in ids.items()]
        self._file.close(videos=[self._video], categories=categories)

    def discard(self) -> None:
        self._file.discard()
