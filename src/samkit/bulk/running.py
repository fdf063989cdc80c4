"""Bulk runs: shards of a listing, each of which becomes one file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from samkit.arguments import whole_number
from samkit.bulk.sources import Item, list_items
from samkit.bulk.tables import Made, items_hash, made_of, parquet, rows_of, write_shard
from samkit.errors import InputError, SamkitError
from samkit.files import checked_path, read_json
from samkit.image_predictor import load
from samkit.mask_generator import AutomaticMaskGenerator
from samkit.media import read_image, write_atomically
from samkit.processes import Ended, cpus, in_processes
from samkit.weights.tensor_file import fingerprint

__all__ = ["Status", "read_run", "run", "shard_path"]

_RUN = "run.json"
_IMAGES_AT_ONCE = 32  # in a row group
_KEPT = ("model", "fingerprint", "settings")


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        shards: how many there are to be.
        done: how many are there.
        images: of all shards.
    """

    shards: int
    done: int
    images: int


def run(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    *,
    model: str = "pico",
    device: str = "auto",
    dtype: str = "auto",
    settings: Mapping[str, Any] | None = None,
    label: str = "object",
    jobs: int | None = None,
    shard_size: int = 256,
    tell: Callable[[str], object] = lambda line: None,
) -> Status:
    """Find all masks of the images of a source, by several processes, into Parquet files.

    Run it again to go on: a shard is done when its file is there, of the same images, model and
    settings. Files are written whole or not at all. An image that fails is a row with ``error``.
    Each process has one thread, so that the rows do not depend on how many there are. A script
    that calls this begins its own work below ``if __name__ == "__main__":``.

    Args:
        source: what `samkit.bulk.sources.list_items` takes.
        dest: a folder.
        model, device, dtype: as `samkit.load` takes them.
        settings: of `samkit.AutomaticMaskGenerator`.
        label: what the masks are of.
        jobs: how many processes; by default as many as CPUs.
        shard_size: images in a file.
        tell: called with a line about the processes, and one after each shard.

    Raises:
        InputError: the source or a setting is wrong, ``dest`` holds another run or cannot be
            written.
        SamkitError: the model cannot be loaded.
        MissingDependencyError: pyarrow is not installed.
    """
    parquet()
    folder = checked_path(dest, "a folder of results")
    size = whole_number("shard_size", shard_size, 1)
    count = cpus() if jobs is None else whole_number("jobs", jobs, 1)
    items = list_items(source)
    asked = dict(settings or {})
    predictor = load(model, device=device, dtype=dtype)
    AutomaticMaskGenerator(predictor, **asked)  # what is wrong with the settings
    made = Made(
        model=model,
        fingerprint=fingerprint(predictor.network),
        settings=_hash({"settings": asked, "dtype": dtype, "label": label}),
    )
    del predictor
    shards = [items[start : start + size] for start in range(0, len(items), size)]
    _begin_run(folder, made, asked, len(items), size)
    begin = partial(_begin, model, device, dtype, asked, label)
    left = []
    for number, shard in enumerate(shards):
        its = replace(made, items=items_hash(item.image_id for item in shard))
        if made_of(shard_path(folder, number)) != its:
            left.append((number, shard, its))
    todo = sum(len(shard) for _, shard, _ in left)
    tell(f"{len(shards) - len(left)} of {len(shards)} shards are done, {todo} images are left")
    if left:
        images = (item for _, shard, _ in left for item in shard)
        with closing(in_processes(begin, images, min(count, todo), tell, threads=1)) as results:
            for number, shard, its in left:
                write_shard(shard_path(folder, number), its, _batches(shard, results))
                tell(f"shard {number}: {len(shard)} images")
    return Status(len(shards), len(shards), len(items))


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard."""
    return folder / f"part-{number:06}.parquet"


def read_run(folder: Path) -> dict[str, Any]:
    """What a folder of results says about its run.

    Raises:
        InputError: it holds none.
    """
    about = read_json(folder / _RUN)
    names = {*_KEPT, "images", "shard_size"}
    if not isinstance(about, dict) or not names <= about.keys():
        raise InputError(f"{folder / _RUN}: expected what a bulk run wrote")
    return about


def _begin_run(folder: Path, made: Made, asked: dict[str, Any], images: int, size: int) -> None:
    """Say in the folder what the run is; refuse one that holds another."""
    shards = -(-images // size)
    if (folder / _RUN).exists():
        before = read_run(folder)
        other = [name for name in _KEPT if before[name] != getattr(made, name)]
        if other:
            raise InputError(
                f"{folder} holds a run of another {' and '.join(other)}; choose another folder"
            )
        if shard_path(folder, shards).exists():
            raise InputError(
                f"{folder} holds more than the {shards} shards of this source; choose another "
                "folder, or the same shard_size"
            )
    about = {**asdict(made), "asked": asked, "images": images, "shard_size": size}
    del about["items"]
    with write_atomically(folder / _RUN) as temporary:
        temporary.write_text(json.dumps(about, indent=1, default=str), encoding="utf-8")


def _batches(
    shard: Sequence[Item], results: Iterator[list[dict[str, Any]] | Ended]
) -> Iterator[list[dict[str, Any]]]:
    """The rows of a shard, of a number of images each."""
    for start in range(0, len(shard), _IMAGES_AT_ONCE):
        rows: list[dict[str, Any]] = []
        for item in shard[start : start + _IMAGES_AT_ONCE]:
            result = next(results)
            if isinstance(result, Ended):
                error = f"two processes ended in the middle of it ({result.reason})"
                result = rows_of(item.image_id, item.path, None, "", error)
            rows += result
        yield rows


def _begin(
    model: str, device: str, dtype: str, asked: dict[str, Any], label: str
) -> Callable[[Item], list[dict[str, Any]]]:
    generator = AutomaticMaskGenerator(load(model, device=device, dtype=dtype), **asked)
    return partial(_segment, generator, label)


def _segment(generator: AutomaticMaskGenerator, label: str, item: Item) -> list[dict[str, Any]]:
    try:
        masks = generator(read_image(item.read()))
    except (SamkitError, OSError) as error:
        return rows_of(item.image_id, item.path, None, "", str(error))
    return rows_of(item.image_id, item.path, masks, label)


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
