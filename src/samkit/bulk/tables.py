"""The table of a bulk run: a row for each mask, and Parquet files of many images."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, TypeAlias

import samkit
from samkit.bulk.places import RESULT_KEY, Place, arrow, as_text
from samkit.errors import InputError, shown
from samkit.masks import Masks

__all__ = ["Footer", "Origin", "Row", "Table", "error_rows", "read_footer", "rows_of"]

Row: TypeAlias = dict[str, Any]

# Of a row group, which is what a reader holds in memory.
_ROWS_AT_ONCE = 2048

_COUNTS = ("images", "failed", "masks")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What the masks of a run were made by: another of these gives others.

    Attributes:
        model: as it was given.
        fingerprint: of its weights.
        settings: a hash of what was asked.
    """

    model: str
    fingerprint: str
    settings: str


@dataclass(frozen=True, kw_only=True)
class Footer(Origin):
    """What a file says of itself.

    Attributes:
        items: a hash of its images and their prompts.
        images: how many there are, or videos.
        failed: of how many of them there is an error instead.
        masks: of all.
    """

    items: str
    images: int
    failed: int
    masks: int

    def is_done(self, origin: Origin, items: str) -> bool:
        """Whether it holds these images, of this origin."""
        return self.items == items and all(
            getattr(self, name) == value for name, value in asdict(origin).items()
        )


def rows_of(masks: Masks, labels: Sequence[str], frame: int | None = None) -> list[Row]:
    """A row for each mask, or one without a mask, of an image or a frame of a video."""
    height, width = masks.image_size
    about = {"frame": frame, "width": width, "height": height}
    if not len(masks):
        return [about]
    columns = {
        name: getattr(masks, name).tolist()
        for name in ("object_ids", "stability", "presence")
        if getattr(masks, name) is not None
    }
    return [
        {
            **about,
            "mask_index": i,
            "object_id": columns["object_ids"][i],
            "rle": mask,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": area,
            "score": score,
            "label": label,
            **{name: columns[name][i] for name in ("stability", "presence") if name in columns},
        }
        for i, (mask, (x0, y0, x1, y1), area, score, label) in enumerate(
            zip(
                masks.to_rle(),
                masks.boxes.tolist(),
                masks.areas.tolist(),
                masks.scores.tolist(),
                labels,
                strict=True,
            )
        )
    ]


def error_rows(error: str) -> list[Row]:
    """The row of an image or video that failed."""
    return [{"error": as_text(error)}]


class Table:
    """The rows of a shard, as they come."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._constant = {**asdict(origin), "samkit_version": samkit.__version__}
        self._data = io.BytesIO()
        self._writer = arrow("parquet").ParquetWriter(
            self._data, _schema(), compression="zstd", write_page_checksum=True
        )
        self._waiting: list[Row] = []
        self.images = self.failed = self.masks = 0

    def add(self, image_id: str, path: str, rows: list[Row]) -> None:
        """Add all rows of an image or a video."""
        self.images += 1
        self.failed += any("error" in row for row in rows)
        self.masks += sum("rle" in row for row in rows)
        about = {"image_id": image_id, "path": path, **self._constant}
        self._waiting += [{**about, **row} for row in rows]
        if len(self._waiting) >= _ROWS_AT_ONCE:
            self._flush()

    def finish(self, items: str) -> bytes:
        """The whole file.

        Args:
            items: a hash of its images and their prompts.
        """
        self._flush()
        footer = Footer(
            **asdict(self._origin),
            items=items,
            images=self.images,
            failed=self.failed,
            masks=self.masks,
        )
        self._writer.add_key_value_metadata({RESULT_KEY: json.dumps(asdict(footer))})
        self._writer.close()
        return self._data.getvalue()

    def _flush(self) -> None:
        if self._waiting:
            table = arrow("lib").Table.from_pylist(self._waiting, _schema())
            self._writer.write_table(table, row_group_size=_ROWS_AT_ONCE)
            self._waiting = []


def read_footer(place: Place) -> Footer:
    """What a file of a run says of itself.

    Raises:
        InputError: it is not there, damaged, or of something else.
    """
    try:
        with place.open(InputError) as file:
            about = arrow("parquet").read_metadata(file).metadata or {}
        said = json.loads(about.get(RESULT_KEY, "null"))
    except InputError:
        raise
    except (ValueError, OSError) as error:
        raise InputError(f"{place} is no whole file of a bulk run: {error}") from error
    kinds = {name: int if name in _COUNTS else str for name in Footer.__dataclass_fields__}
    if not isinstance(said, dict) or {name: type(said[name]) for name in said} != kinds:
        raise InputError(f"{place} is no file of a bulk run: expected a footer, got {shown(said)}")
    return Footer(**said)


@cache
def _schema() -> Any:
    pa = arrow("lib")
    text, number = pa.string(), pa.float32()
    return pa.schema(
        {
            "image_id": text,
            "path": text,
            "frame": pa.int32(),
            "width": pa.int32(),
            "height": pa.int32(),
            "mask_index": pa.int32(),
            "object_id": pa.int64(),
            "rle": pa.struct({"size": pa.list_(pa.int32()), "counts": text}),
            "bbox": pa.list_(number),
            "area": pa.int64(),
            "score": number,
            "stability": number,
            "presence": number,
            "label": text,
            "model": text,
            "fingerprint": text,
            "samkit_version": text,
            "settings": text,
            "error": text,
        }
    )
