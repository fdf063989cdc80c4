"""What a bulk run has written: how far it is, whether it is whole, its images and masks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from typing import IO, Any, NamedTuple

from samkit.bulk.places import Place, arrow
from samkit.bulk.running import Status, read_footers, read_run
from samkit.bulk.shards import shard_name
from samkit.bulk.tables import Footer, Origin, Row, read_footer
from samkit.errors import InputError
from samkit.masks import Masks
from samkit.masks.datasets import open_dataset_writer

__all__ = ["BulkImage", "open", "save_coco", "status", "verify"]


class BulkImage(NamedTuple):
    """An image of a bulk run, or a frame of one of its videos.

    Attributes:
        image_id: what the source calls it.
        path: its file, or the file that holds it.
        frame: of a video.
        masks: None where it failed.
        labels: of each mask.
        error: why it failed.
    """

    image_id: str
    path: str
    frame: int | None
    masks: Masks | None
    labels: list[str]
    error: str | None


def open(dest: str | os.PathLike[str] | Place) -> Iterator[BulkImage]:
    """The images of a run with their masks, in the order of the source, a few in memory at a time.

    Of a run that is not done, the shards that are there; files of an earlier listing of the source
    are left out.

    Raises:
        InputError: there is no run, or a file of it is damaged.
    """
    folder = Place.of(dest, "a folder of results")
    shards = read_run(folder)["shards"]
    there = folder.names()
    files = [
        (folder / shard_name(number), items)
        for number, items in enumerate(shards)
        if shard_name(number) in there
    ]
    return (
        image
        for place, items in files
        if read_footer(place).items == items
        for image in _images(place)
    )


def save_coco(dest: str | os.PathLike[str] | Place, path: str | os.PathLike[str]) -> None:
    """Write the masks of a run as one COCO data set (.json).

    Images that failed are left out. A frame of a video is called ``VIDEO/000012``.

    Raises:
        InputError: as `open`, or the file cannot be written.
    """
    labels = sorted({label for image in open(dest) for label in image.labels})
    writer = open_dataset_writer(path, labels)
    try:
        for image in open(dest):
            if image.masks is not None:
                frame = "" if image.frame is None else f"/{image.frame:06}"
                writer.write(image.image_id + frame, image.masks, image.labels)
        writer.close()
    except BaseException:
        writer.discard()
        raise


def status(dest: str | os.PathLike[str] | Place) -> Status:
    """How far a run is. Files that are damaged, or of an earlier listing, count as missing.

    Raises:
        InputError: there is no run.
    """
    folder = Place.of(dest, "a folder of results")
    about = read_run(folder)
    shards = about["shards"]
    found = Status(len(shards), about["images"])
    for items, footer in zip(shards, read_footers(folder, len(shards)), strict=True):
        if isinstance(footer, Footer) and footer.items == items:
            found = found.plus(footer)
    return found


def verify(dest: str | os.PathLike[str] | Place) -> list[str]:
    """What is wrong with the files of a run, a line each: missing, damaged or of something else.

    All rows are read, and all masks checked.

    Raises:
        InputError: there is no run.
    """
    folder = Place.of(dest, "a folder of results")
    about = read_run(folder)
    shards, images = about["shards"], about["images"]
    wrong, found = [], 0
    for number, footer in enumerate(read_footers(folder, len(shards))):
        place = folder / shard_name(number)
        if not isinstance(footer, Footer):
            wrong.append(f"{place}: missing" if footer is None else str(footer))
            continue
        found += footer.images
        wrong += [
            f"{place}: of another {name}"
            for name in Origin.__dataclass_fields__
            if getattr(footer, name) != about[name]
        ]
        if footer.items != shards[number]:
            wrong.append(f"{place}: of other images or prompts")
        try:
            counts = _counts(place)
        except InputError as error:
            wrong.append(str(error))
            continue
        said = footer.images, footer.failed, footer.masks
        if counts != said:
            wrong.append(f"{place}: expected (images, failed, masks) {said}, got {counts}")
    if not wrong and found != images:
        wrong.append(f"{folder}: expected {images} images, got {found}")
    return wrong


def _counts(place: Place) -> tuple[int, int, int]:
    """Images, those that failed, and masks of a file, whose masks are read."""
    ids, failed, masks = set(), 0, 0
    for image in _images(place):
        ids.add(image.image_id)
        failed += image.masks is None
        masks += 0 if image.masks is None else len(image.masks)
    return len(ids), failed, masks


def _images(place: Place) -> Iterator[BulkImage]:
    for (image_id, frame), rows in groupby(
        _rows(place), lambda row: (row["image_id"], row["frame"])
    ):
        yield _image(image_id, frame, list(rows))


def _parquet(file: IO[bytes]) -> Any:
    return arrow("parquet").ParquetFile(file, page_checksum_verification=True)


def _rows(place: Place) -> Iterator[Row]:
    """All rows of a file, a row group in memory at a time."""
    import pyarrow

    try:
        with place.open(InputError) as file, _parquet(file) as table:
            for group in range(table.num_row_groups):
                yield from table.read_row_group(group).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"cannot read {place}: {error}") from error


def _image(image_id: str, frame: int | None, rows: list[Row]) -> BulkImage:
    first = rows[0]
    path = first["path"]
    if first["error"] is not None:
        return BulkImage(image_id, path, frame, None, [], first["error"])
    size = first["height"], first["width"]
    if first["mask_index"] is None:
        return BulkImage(image_id, path, frame, Masks.empty(size), [], None)
    fields = {
        theirs: None if first[ours] is None else [row[ours] for row in rows]
        for theirs, ours in (
            ("object_ids", "object_id"),
            ("stability", "stability"),
            ("presence", "presence"),
        )
    }
    masks = Masks.from_rle(
        [row["rle"] for row in rows], size, [row["score"] for row in rows], **fields
    )
    return BulkImage(image_id, path, frame, masks, [row["label"] for row in rows], None)
