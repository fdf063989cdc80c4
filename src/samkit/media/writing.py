"""Finding out before long work whether its result can be written."""

import os
from contextlib import suppress
from pathlib import Path

from samkit.media.pending import PendingFile

__all__ = ["check_writable"]


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise what `write_atomically` would raise for this path; leave everything as it is.

    Raises:
        InputError: no file can be put at ``path``.
    """
    text = os.path.abspath(os.fspath(path))
    missing = [folder for folder in Path(text).parents if not os.path.exists(folder)]
    try:
        PendingFile(path).discard()
    finally:
        for folder in missing:  # the innermost first
            with suppress(OSError, ValueError):
                folder.rmdir()
