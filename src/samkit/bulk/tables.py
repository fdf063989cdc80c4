"""The table of a bulk run: a row for each mask, and Parquet files of many images."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import samkit
from samkit.errors import InputError, MissingDependencyError
from samkit.masks import Masks
from samkit.media import write_atomically

__all__ = ["Made", "items_hash", "made_of", "parquet", "rows_of", "write_shard"]

_KEY = b"samkit"


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a shard was made by: another of these gives another shard.

    Attributes:
        model: as it was given.
        fingerprint: of its weights.
        settings: a hash of what was asked.
        items: a hash of the ids of the shard's images; empty: of any.
    """

    model: str
    fingerprint: str
    settings: str
    items: str = ""


@cache
def parquet() -> Any:
    """pyarrow.parquet.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingDependencyError(
            "bulk runs need the package pyarrow: pip install 'samkit[bulk]'"
        ) from error


def items_hash(image_ids: Iterable[str]) -> str:
    """A hash of ids in their order."""
    return hashlib.sha256(json.dumps(list(image_ids)).encode()).hexdigest()[:32]


def rows_of(
    image_id: str, path: str, masks: Masks | None, label: str, error: str | None = None
) -> list[dict[str, Any]]:
    """A row for each mask, or one without a mask."""
    height, width = (None, None) if masks is None else masks.image_size
    about = {"image_id": image_id, "path": path, "width": width, "height": height, "error": error}
    if masks is None or not len(masks):
        return [about]
    corners = masks.boxes
    boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).tolist()
    columns = {}
    for name in ("stability", "presence"):
        values = getattr(masks, name)
        columns[name] = [None] * len(masks) if values is None else values.tolist()
    return [
        {
            **about,
            "mask_index": i,
            "rle": mask,
            "bbox": [
                boxes[i][0],
                boxes[i][1],
                boxes[i][2] - boxes[i][0],
                boxes[i][3] - boxes[i][1],
            ],
            "area": int(masks.areas[i]),
            "score": float(masks.scores[i]),
            "label": label,
            **{name: values[i] for name, values in columns.items()},
        }
        for i, mask in enumerate(masks.to_rle())
    ]


def write_shard(path: Path, made: Made, batches: Iterable[Sequence[dict[str, Any]]]) -> None:
    """Write a file of rows, whole or not at all; each batch is a row group.

    Raises:
        InputError: the place cannot be written.
    """
    import pyarrow

    schema = _schema().with_metadata({_KEY: json.dumps(asdict(made))})
    constant = {
        "model": made.model,
        "fingerprint": made.fingerprint,
        "samkit_version": samkit.__version__,
        "settings": made.settings,
    }
    with write_atomically(path) as temporary, parquet().ParquetWriter(temporary, schema) as writer:
        for rows in batches:
            table = pyarrow.Table.from_pylist([{**row, **constant} for row in rows], schema)
            writer.write_table(table)


def made_of(path: Path) -> Made | None:
    """What made a shard; None where there is no such file.

    Raises:
        InputError: the file is damaged, or of something else.
    """
    import pyarrow

    if not path.is_file():
        return None
    try:
        about = parquet().read_schema(path).metadata or {}
        return Made(**json.loads(about[_KEY]))
    except (KeyError, TypeError, ValueError, OSError, pyarrow.ArrowInvalid) as error:
        raise InputError(f"{path} is no whole file of a bulk run: {error}") from error


def _schema() -> Any:
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        {
            "image_id": text,
            "path": text,
            "width": pa.int32(),
            "height": pa.int32(),
            "mask_index": pa.int32(),
            "rle": pa.struct({"size": pa.list_(pa.int32()), "counts": text}),
            "bbox": pa.list_(pa.float32()),
            "area": pa.int64(),
            "score": pa.float32(),
            "stability": pa.float32(),
            "presence": pa.float32(),
            "label": text,
            "model": text,
            "fingerprint": text,
            "samkit_version": text,
            "settings": text,
            "error": text,
        }
    )
