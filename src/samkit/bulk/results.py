"""What a bulk run has written: how far it is, whether it is whole, its images and masks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from samkit.bulk.running import Status, read_run, shard_path
from samkit.bulk.tables import items_hash, made_of, parquet
from samkit.errors import InputError
from samkit.files import checked_path
from samkit.masks import Masks
from samkit.masks.datasets import open_dataset_writer

__all__ = ["BulkImage", "open", "save_coco", "status", "verify"]


class BulkImage(NamedTuple):
    """An image of a bulk run.

    Attributes:
        image_id: what the source calls it.
        path: its file, or the file that holds it.
        masks: None where it failed.
        labels: of each mask.
        error: why it failed.
    """

    image_id: str
    path: str
    masks: Masks | None
    labels: list[str]
    error: str | None


def open(dest: str | os.PathLike[str]) -> Iterator[BulkImage]:
    """The images of a run with their masks, in the order of the source, a few in memory at a time.

    Of a run that is not done, the shards that are there.

    Raises:
        InputError: there is no run, or a file of it is damaged.
    """
    folder = checked_path(dest, "a folder of results")
    paths = [path for _, path in _shards(folder) if path.is_file()]
    return (image for path in paths for image in _images(path))


def save_coco(dest: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write the masks of a run as one COCO data set (.json); images that failed are left out.

    Raises:
        InputError: as `open`, or the file cannot be written.
    """
    labels = sorted({label for image in open(dest) for label in image.labels})
    writer = open_dataset_writer(path, labels)
    try:
        for image in open(dest):
            if image.masks is not None:
                writer.write(image.image_id, image.masks, image.labels)
        writer.close()
    except BaseException:
        writer.discard()
        raise


def status(dest: str | os.PathLike[str]) -> Status:
    """How far a run is.

    Raises:
        InputError: there is no run.
    """
    folder = checked_path(dest, "a folder of results")
    there = [path.is_file() for _, path in _shards(folder)]
    return Status(len(there), sum(there), read_run(folder)["images"])


def verify(dest: str | os.PathLike[str]) -> list[str]:
    """What is wrong with the files of a run, a line each: missing, damaged or of something else.

    All rows are read, and all masks checked.

    Raises:
        InputError: there is no run.
    """
    folder = checked_path(dest, "a folder of results")
    about = read_run(folder)
    wrong = []
    for count, path in _shards(folder):
        try:
            made = made_of(path)
            if made is None:
                wrong.append(f"{path}: missing")
                continue
            ids = [image.image_id for image in _images(path)]
        except InputError as error:
            wrong.append(str(error))
            continue
        for name in ("model", "fingerprint", "settings"):
            if getattr(made, name) != about[name]:
                wrong.append(f"{path}: of another {name}")
        if len(ids) != count or items_hash(ids) != made.items:
            wrong.append(f"{path}: expected {count} images of its listing, got {len(ids)}")
    return wrong


def _shards(folder: Path) -> Iterator[tuple[int, Path]]:
    """How many images each shard has, and its file."""
    about = read_run(folder)
    images, size = about["images"], about["shard_size"]
    for number, start in enumerate(range(0, images, size)):
        yield min(size, images - start), shard_path(folder, number)


def _images(path: Path) -> Iterator[BulkImage]:
    """The images of a shard; the rows of one lie in one row group."""
    import pyarrow

    try:
        with parquet().ParquetFile(path) as table:
            for group in range(table.num_row_groups):
                rows = table.read_row_group(group).to_pylist()
                for image_id, own in groupby(rows, lambda row: row["image_id"]):
                    yield _image(image_id, list(own))
    except (KeyError, OSError, pyarrow.ArrowException) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _image(image_id: str, rows: list[dict[str, Any]]) -> BulkImage:
    first = rows[0]
    if first["error"] is not None:
        return BulkImage(image_id, first["path"], None, [], first["error"])
    size = first["height"], first["width"]
    if first["mask_index"] is None:
        return BulkImage(image_id, first["path"], Masks.empty(size), [], None)
    fields = {
        name: None if first[name] is None else [row[name] for row in rows]
        for name in ("stability", "presence")
    }
    masks = Masks.from_rle(
        [row["rle"] for row in rows], size, [row["score"] for row in rows], **fields
    )
    return BulkImage(image_id, first["path"], masks, [row["label"] for row in rows], None)
