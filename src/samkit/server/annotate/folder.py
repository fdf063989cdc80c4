"""Which file tells of which photograph or video."""

import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

from samkit.errors import InputError
from samkit.server.annotate.sidecars import KeptFile

__all__ = ["SidecarFolder", "place_of", "short_names"]

# Of the path of a photograph that was moved, how many parts may tell it from others of its name.
_MOST_PARTS = 8

K = TypeVar("K", bound=KeptFile)


class SidecarFolder(Generic[K]):
    """What is kept of photographs, or of videos: a file for each, all below one folder.

    A photograph is known by its place, whichever others are listed beside it, as names such as
    IMG_0001.jpg are in many folders. One that was moved is known by the end of its path and its
    length in bytes, if they are those of no other.

    Args:
        kind: of what is kept.
        folder: of the files; it need not exist.
        images: places of the photographs, of `place_of`, none twice.

    Raises:
        InputError: a file is damaged, or the folder cannot be written.
    """

    def __init__(self, kind: type[K], folder: Path, images: Sequence[Path]) -> None:
        self._folder, self._images = Path(os.path.realpath(folder)), images
        _check_writable(folder)
        self._names = short_names(images)
        self._sidecars: dict[int, K] = {}
        self._files: dict[int, Path] = {}
        index = {place: i for i, place in enumerate(images)}
        others: list[tuple[Path, Path, K]] = []  # the place it tells of, the file
        for file in sorted(self._folder.rglob("*.json")):
            sidecar = kind.read(file)
            place = Path(os.path.normpath(self._folder / sidecar.source))
            if place in index:
                self._add(index[place], file, sidecar)
            elif not place.exists():
                others.append((place, file, sidecar))
        if others:
            self._add_moved(others)

    def _add(self, index: int, file: Path, sidecar: K) -> None:
        if index in self._sidecars:
            raise InputError(f"{file} and {self._files[index]} tell of one photograph; remove one")
        self._sidecars[index], self._files[index] = sidecar, file

    def _add_moved(self, others: list[tuple[Path, Path, K]]) -> None:
        for parts in range(_MOST_PARTS, 0, -1):
            new: dict[object, list[int]] = {}
            for i, image in enumerate(self._images):
                if i not in self._sidecars:
                    new.setdefault((image.parts[-parts:], _length(image)), []).append(i)
            old: dict[object, list[tuple[Path, Path, K]]] = {}
            for one in others:
                old.setdefault((one[0].parts[-parts:], one[2].bytes), []).append(one)
            for key, found in old.items():
                if len(found) == len(new.get(key, ())) == 1:
                    self._add(new[key][0], found[0][1], found[0][2])
                    others.remove(found[0])

    def get(self, index: int) -> K | None:
        """What is kept of an image; None if there is nothing."""
        return self._sidecars.get(index)

    def about(self, index: int) -> dict[str, Any]:
        """Values of `KeptFile`: where an image lies, and its length."""
        return {"source": self._source(index), "bytes": _length(self._images[index])}

    def put(self, index: int, sidecar: K) -> Path:
        """Keep this of an image; it is in the file when this returns.

        Returns:
            The file.

        Raises:
            InputError: the file cannot be written.
        """
        file = self._files.get(index) or self._new_file(self._names[index])
        kept = sidecar.model_copy(update=self.about(index))
        kept.write(file)
        self._sidecars[index], self._files[index] = kept, file
        return file

    def file(self, index: int) -> Path | None:
        """The file of an image, if there is one."""
        return self._files.get(index)

    def _source(self, index: int) -> str:
        try:
            path = os.path.relpath(self._images[index], self._folder)
        except ValueError:  # on another drive
            path = str(self._images[index])
        return Path(path).as_posix()

    def _new_file(self, name: str) -> Path:
        """A file after a photograph of that name, where others may have had one like it."""
        names = (name if i == 1 else f"{name}~{i}" for i in count(1))
        files = (self._folder / f"{name}.json" for name in names)
        return next(file for file in files if not os.path.lexists(file))


def place_of(image: Path) -> Path:
    """Where a photograph lies, whatever links to folders lead there."""
    return Path(os.path.realpath(image.parent)) / image.name


def short_names(places: Sequence[Path]) -> list[str]:
    """Names by which images are told apart: their paths below the folder that holds them all."""
    common = Path(os.path.commonpath([place.parent for place in places]))
    return [place.relative_to(common).as_posix() for place in places]


def _length(image: Path) -> int:
    try:
        return image.stat().st_size if image.is_file() else 0
    except OSError:  # it is gone
        return -1


def _check_writable(folder: Path) -> None:
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"cannot write to {folder}")
