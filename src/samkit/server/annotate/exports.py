"""Where exports go, so that nothing of anybody else is written over."""

import os
from pathlib import Path

from samkit.errors import InputError
from samkit.server.annotate.classes import read_lines, write_lines

__all__ = ["place_of_export"]

# Names of what was exported, a line for each, beside it.
_EXPORTED = "exported.txt"


def place_of_export(folder: Path, name: str) -> Path:
    """Where to export to: a place that is free, or was exported to before.

    Args:
        folder: of the project.
        name: of the file or folder in it.

    Raises:
        InputError: something else is there, or that it is ours cannot be written down.
    """
    path, file = folder / name, folder / _EXPORTED
    known = read_lines(file)
    if name not in known:
        if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
            raise InputError(
                f"{path} is there already, and is no export of this project: move it, or begin "
                "again with another folder (-o)"
            )
        write_lines(file, [*known, name])
    return path
