"""Finding image files."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from samkit.errors import ImageError
from samkit.files import checked_path

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
})
# fmt: on
"""Suffixes (lower case) that count as images when a folder or a pattern is listed."""


def as_path(source: str | os.PathLike[str]) -> Path:
    """Turn a path, or a ``file://`` address on this machine, into a ``Path``.

    Raises:
        ImageError: another kind of address, a host other than this one, or an empty path.
    """
    path = checked_path(source, "an image", ImageError)
    text = os.fspath(source)
    if "://" not in text:
        return path
    try:
        address = urlsplit(text)
    except ValueError as error:
        raise ImageError(f"{text} is no address: {error}") from error
    if address.scheme.lower() != "file":
        raise ImageError(f"expected a path or a file:// address, got {text}: download it first")
    if address.netloc not in ("", "localhost"):
        raise ImageError(f"expected a file on this machine, got host {address.netloc!r} in {text}")
    return checked_path(url2pathname(address.path), "an image", ImageError)


def list_images(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> list[Path]:
    """List the image files that paths, folders and patterns name, in the order given.

    A file may have any suffix. A folder gives its own images sorted by name, without those of
    folders inside it. A pattern (``*``, ``?``, ``[...]``, and ``**`` for any depth) gives its
    images sorted by path. Folders and patterns give only files with one of ``IMAGE_SUFFIXES``
    that are not hidden. A file named twice is listed once.

    Raises:
        ImageError: nothing was named, or one of the inputs matches no image.
    """
    if isinstance(inputs, (str, bytes, os.PathLike)) or not isinstance(inputs, Iterable):
        inputs = [inputs]
    found = [path for item in inputs for path in _images_of(as_path(item))]
    if not found:
        raise ImageError("expected at least one image, folder or pattern, got none")
    return list(dict.fromkeys(found))


def _images_of(path: Path) -> list[Path]:
    try:
        if path.is_file():
            return [path]
        if path.is_dir():
            candidates, where = list(path.iterdir()), f"in the folder {path}"
        elif glob.has_magic(str(path)):
            candidates = [Path(name) for name in glob.glob(str(path), recursive=True)]
            where = f"matches {path}"
        else:
            raise ImageError(f"no such file or folder: {path}")
        images = sorted(
            one
            for one in candidates
            if one.suffix.lower() in IMAGE_SUFFIXES
            and not one.name.startswith(".")
            and one.is_file()
        )
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror or error}") from error
    if not images:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        raise ImageError(f"no image {where} (expected one of {suffixes})")
    return images
