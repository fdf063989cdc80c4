"""A COCO data set written bit by bit, so that memory does not grow with its length."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from typing import IO, Any

from samkit.errors import InputError
from samkit.files import checked_path
from samkit.media.writing import PendingFile

__all__ = ["CocoStream"]

_SPOOL_BYTES = 2**20


class CocoStream:
    """Writes images and their annotations as they come.

    The file is in place after `close`, whole; without any image there is none.

    Args:
        path: a file .json.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = checked_path(path, "a file of masks")
        self._file: PendingFile | None = None
        self._text: IO[str] | None = None  # to that file
        self._images: IO[str]  # which follow the annotations
        self._annotations = 0
        self._is_broken = False

    def add(self, image: Mapping[str, Any], annotations: Iterable[dict[str, Any]]) -> None:
        """Add an image, and its annotations with ids that count up from 1.

        Raises:
            InputError: the place cannot be written.
        """
        is_first = self._text is None
        try:
            text = self._begin() if self._text is None else self._text
            self._images.write(("" if is_first else ",\n") + json.dumps(image))
            for annotation in annotations:
                separator = ",\n" if self._annotations else ""
                self._annotations += 1
                text.write(separator + json.dumps({**annotation, "id": self._annotations}))
        except OSError as error:
            self._is_broken = True
            raise self._cannot(error) from error

    def close(self, **others: Any) -> None:
        """Finish with other parts of the data set, such as its categories.

        Raises:
            InputError: the place cannot be written.
        """
        if self._file is None or self._text is None or self._is_broken:
            self.discard()
            return
        try:
            self._text.write('\n],\n"images": [\n')
            self._images.seek(0)
            self._text.writelines(self._images)
            self._text.write("\n]")
            for name, value in others.items():
                self._text.write(f",\n{json.dumps(name)}: {json.dumps(value)}")
            self._text.write("\n}\n")
            self._text.close()
        except OSError as error:
            self.discard()
            raise self._cannot(error) from error
        self._images.close()
        file, self._file = self._file, None
        file.keep()

    def discard(self) -> None:
        """Remove what is not in place yet."""
        if self._file is None:
            return
        for opened in (self._text, self._images):
            with contextlib.suppress(OSError):  # closing writes what is left, and may have no room
                if opened is not None:
                    opened.close()
        file, self._file = self._file, None
        file.discard()

    def _begin(self) -> IO[str]:
        self._file = PendingFile(self._path)
        self._images = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            _SPOOL_BYTES, "w+", encoding="utf-8"
        )
        self._text = self._file.temporary.open("w", encoding="utf-8")
        self._text.write('{"annotations": [\n')
        return self._text

    def _cannot(self, error: OSError) -> InputError:
        return InputError(f"cannot write {self._path}: {error.strerror or error}")
