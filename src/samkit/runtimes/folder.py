"""The folder of an export: its files, and `samkit.json`, which says what they are."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from samkit.errors import CheckpointError
from samkit.files import checked_path, inside, open_file, read_json
from samkit.sizes import NetworkConfig, from_dict

__all__ = [
    "LAYOUT_VERSION",
    "MANIFEST",
    "ExportedFolder",
    "Weights",
    "checksum",
    "is_export",
    "open_folder",
]

MANIFEST = "samkit.json"
LAYOUT_VERSION = 1
"""Of the files of the layout samkit: other versions are refused."""

Weights = Literal["float32", "float16", "int8"]
"""How weights are stored."""

_WEIGHTS: tuple[Weights, ...] = get_args(Weights)

_KIND = ("layout", "version")
_MANIFEST_BYTES = 2**20
_BLOCK = 2**20


@dataclass(frozen=True, kw_only=True)
class ExportedFolder:
    """An export in the layout samkit whose files are as they were written.

    Attributes:
        path: of the folder.
        config: sizes of the network.
        weights: how they are stored.
        checksums: name of a file -> its SHA-256 in hexadecimal digits.
    """

    path: Path
    config: NetworkConfig
    weights: Weights
    checksums: dict[str, str]


def is_export(source: object) -> bool:
    """Whether this is the path of a folder that `samkit export` wrote, in any layout."""
    try:
        return (Path(source) / MANIFEST).is_file()  # type: ignore[arg-type]
    except (TypeError, ValueError, OSError):
        return False


def open_folder(source: str | Path) -> ExportedFolder:
    """Read `samkit.json`, and check the files that it names.

    Raises:
        CheckpointError: the folder is no export in the layout samkit, is of another version, or a
            file is missing or was changed.
    """
    folder = checked_path(source, "the folder of an export", CheckpointError)
    path = folder / MANIFEST
    about = read_json(path, CheckpointError, most=_MANIFEST_BYTES)
    layout, version = (about.get(key) if isinstance(about, dict) else None for key in _KIND)
    if layout != "samkit":
        raise CheckpointError(
            f"{path}: samkit runs exports in its own layout, got {layout!r:.40}; "
            "export again with --layout samkit"
        )
    if version != LAYOUT_VERSION:
        raise CheckpointError(
            f"{path}: expected version {LAYOUT_VERSION} of the layout, got {version!r:.40}; "
            "export again with this version of samkit"
        )
    try:
        config = from_dict(about["sizes"])
        config.validate()
        weights: Weights = _WEIGHTS[_WEIGHTS.index(about["weights"])]
        checksums = {str(name): str(one["sha256"]) for name, one in about["files"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error})") from error
    for name, expected in checksums.items():
        file = inside(folder, name, str(path), CheckpointError)
        if checksum(file) != expected:
            raise CheckpointError(f"{file} is not the file that was exported; export it again")
    return ExportedFolder(path=folder, config=config, weights=weights, checksums=checksums)


def checksum(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits.

    Raises:
        CheckpointError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_file(path, CheckpointError) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
