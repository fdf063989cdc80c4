"""A COCO data set written bit by bit, so that memory does not grow with its length."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from samkit.errors import InputError
from samkit.media.writing import StreamedFile

__all__ = ["CocoStream"]

_SPOOL_BYTES = 2**20


class CocoStream:
    """Writes images and their annotations as they come.

    The file is in place after `close`, whole; without any image there is none.

    Args:
        path: a file .json.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = StreamedFile(path, _open_text)
        # They follow the annotations.
        self._images: IO[str] | None = None
        self._annotations = 0

    def add(self, image: Mapping[str, Any], annotations: Iterable[dict[str, Any]]) -> None:
        """Add an image, and its annotations with ids that count up from 1.

        Raises:
            InputError: the place cannot be written.
        """
        with self._file.writing() as text:
            if self._images is None:
                self._images = tempfile.SpooledTemporaryFile(  # noqa: SIM115
                    _SPOOL_BYTES, "w+", encoding="utf-8"
                )
                text.write('{"annotations": [\n')
                separator = ""
            else:
                separator = ",\n"
            self._images.write(separator + json.dumps(image))
            for annotation in annotations:
                separator = ",\n" if self._annotations else ""
                self._annotations += 1
                text.write(separator + json.dumps({**annotation, "id": self._annotations}))

    def close(self, **others: Any) -> None:
        """Finish with other parts of the data set, such as its categories.

        Raises:
            InputError: the place cannot be written.
        """
        if self._images is None or self._file.is_broken:
            self.discard()
            return
        try:
            with self._file.writing() as text:
                text.write('\n],\n"images": [\n')
                self._images.seek(0)
                text.writelines(self._images)
                text.write("\n]")
                for name, value in others.items():
                    text.write(f",\n{json.dumps(name)}: {json.dumps(value)}")
                text.write("\n}\n")
        except InputError:
            self.discard()
            raise
        self._images.close()
        self._images = None
        self._file.close()

    def discard(self) -> None:
        """Remove what is not in place yet."""
        if self._images is not None:
            with contextlib.suppress(OSError):  # closing writes what is left, and may have no room
                self._images.close()
            self._images = None
        self._file.discard()


def _open_text(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8")
