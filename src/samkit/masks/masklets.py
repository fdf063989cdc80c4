"""The masks of a video as data sets for tracking keep them: SA-V and YouTube-VOS."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from samkit import rle
from samkit.errors import InputError, shown
from samkit.files import checked_path, read_json
from samkit.masks.result import Masks
from samkit.masks.sequences import stem_of
from samkit.media import write_atomically
from samkit.media.frames import Frames
from samkit.media.writing import StreamedFile

__all__ = ["SavWriter", "YouTubeVosWriter"]

_SPOOL_BYTES = 2**20
_SMALL, _MEDIUM = 32**2, 96**2


@dataclass
class _Masklet:
    """What is counted of an object."""

    first: int | None = None
    visible: int = 0
    area: int = 0
    changes: int = 0
    is_visible: bool = False

    def add(self, frame: int, area: int) -> None:
        is_visible = area > 0
        if self.first is not None and is_visible != self.is_visible:
            self.changes += 1
        if is_visible and self.first is None:
            self.first = frame
        self.is_visible = is_visible
        self.visible += is_visible
        self.area += area

    @property
    def mean_area(self) -> float:
        return self.area / max(self.visible, 1)


class SavWriter:
    """A file of masklets (.json) as SA-V has one for each video.

    `masklet` has a list for each frame from the first of the video to the last that was written,
    with the run lengths of each object in the order of `masklet_id`, which are our object ids. An
    object that is not there, or was not known yet, has an empty mask. `video_environment` and
    `video_split` are missing, as they are not known.

    Args:
        path: a file .json.
        frames: of the video.
        name: of the video.
    """

    def __init__(self, path: str | os.PathLike[str], frames: Frames, *, name: str = "") -> None:
        self._file: StreamedFile[IO[str]] = StreamedFile(path, _open_text)
        self._frames, self._name = frames, name
        self._size = (0, 0)
        self._count = 0
        self._masklets: dict[int, _Masklet] = {}
        # A line for each frame: which objects there are is known at the end only.
        self._lines: IO[str] | None = None

    def write(self, frame: int, masks: Masks) -> None:
        ids, areas = masks.object_ids.tolist(), masks.areas.tolist()
        for object_id in ids:
            self._masklets.setdefault(object_id, _Masklet())
        found = dict(zip(ids, areas, strict=True))
        for object_id, masklet in self._masklets.items():
            masklet.add(frame, found.get(object_id, 0))
        line = json.dumps([frame, dict(zip(ids, masks.to_rle(), strict=True))])
        with self._file.writing():
            if self._lines is None:
                self._lines = tempfile.SpooledTemporaryFile(  # noqa: SIM115
                    _SPOOL_BYTES, "w+", encoding="utf-8"
                )
            self._lines.write(line + "\n")
        self._size, self._count = masks.image_size, frame + 1

    def close(self) -> None:
        if self._lines is None or self._file.is_broken:
            self.discard()
            return
        try:
            with self._file.writing() as text:
                text.write('{"masklet": [\n')
                for i, row in enumerate(self._rows(self._lines)):
                    text.write((",\n" if i else "") + json.dumps(row))
                text.write("\n]")
                for key, value in self._about().items():
                    text.write(f",\n{json.dumps(key)}: {json.dumps(value)}")
                text.write("\n}\n")
        except InputError:
            self.discard()
            raise
        self._remove_lines()
        self._file.close()

    def discard(self) -> None:
        self._remove_lines()
        self._file.discard()

    def _remove_lines(self) -> None:
        if self._lines is not None:
            with contextlib.suppress(OSError):  # closing writes what is left, and may have no room
                self._lines.close()
            self._lines = None

    def _rows(self, lines: IO[str]) -> Iterator[list[rle.RLE]]:
        """The masks of each frame, also of those that were not written."""
        empty = Masks(np.zeros((1, *self._size), np.bool_), [0]).to_rle()[0]
        lines.seek(0)
        next_frame = 0
        for line in lines:
            frame, masks = json.loads(line)
            for _ in range(next_frame, frame):
                yield [empty] * len(self._masklets)
            yield [masks.get(str(object_id), empty) for object_id in self._masklets]
            next_frame = frame + 1

    def _about(self) -> dict[str, Any]:
        height, width = self._size
        rate = None if self._frames.format is None else float(self._frames.format.rate)
        masklets = list(self._masklets.values())
        areas = [one.mean_area for one in masklets]
        return {
            "video_id": self._name,
            "video_duration": None if not rate else self._count / rate,
            "video_frame_count": float(self._count),
            "video_height": float(height),
            "video_width": float(width),
            "video_resolution": float(height * width),
            "masklet_id": list(self._masklets),
            "masklet_size_rel": [area / (height * width) for area in areas],
            "masklet_size_abs": areas,
            "masklet_size_bucket": [
                "small" if area < _SMALL else "medium" if area < _MEDIUM else "large"
                for area in areas
            ],
            "masklet_visibility_changes": [one.changes for one in masklets],
            "masklet_first_appeared_frame": [one.first for one in masklets],
            "masklet_frame_count": [self._count] * len(masklets),
            "masklet_edited_frame_count": [0] * len(masklets),
            "masklet_type": ["auto"] * len(masklets),
            "masklet_num": len(masklets),
        }


def _open_text(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8")


class YouTubeVosWriter:
    """YouTube-VOS's meta.json: of each object its category and the frames in which it is seen.

    The pictures of the masks are those of `IndexedPngWriter`. Other videos in the file stay there.

    Args:
        path: a file .json.
        frames: of the video.
        name: of the video, and of the folder of its pictures.

    Raises:
        InputError: there is another file of this name.
    """

    def __init__(self, path: str | os.PathLike[str], frames: Frames, *, name: str) -> None:
        self._path = checked_path(path, "a file meta.json")
        self._frames, self._name = frames, name
        self._objects: dict[int, list[str]] | None = None
        self._categories: dict[int, str] = {}
        self._content: dict[str, Any] = {"videos": {}}
        if os.path.exists(self._path):
            self._content = read_json(self._path)
            videos = self._content.get("videos") if isinstance(self._content, dict) else None
            if not isinstance(videos, dict):
                raise InputError(
                    f"{self._path}: expected a meta.json of YouTube-VOS with videos to add one to, "
                    f"got {shown(self._content)}"
                )

    def write(self, frame: int, masks: Masks) -> None:
        if self._objects is None:
            self._objects = {}
        if masks.names is not None:
            names = zip(masks.object_ids.tolist(), masks.names.tolist(), strict=True)
            self._categories.update(names)
        stem = stem_of(self._frames, frame)
        for object_id, area in zip(masks.object_ids.tolist(), masks.areas.tolist(), strict=True):
            seen = self._objects.setdefault(object_id, [])
            if area:
                seen.append(stem)

    def close(self) -> None:
        if self._objects is None:
            return
        self._content["videos"][self._name] = {
            "objects": {
                str(object_id): {
                    "category": self._categories.get(object_id, "object"),
                    "frames": seen,
                }
                for object_id, seen in sorted(self._objects.items())
            }
        }
        with write_atomically(self._path) as temporary:
            temporary.write_text(json.dumps(self._content), encoding="utf-8")

    def discard(self) -> None:
        self._objects = None
