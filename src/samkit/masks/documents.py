"""Masks as text: COCO annotations, JSON lines, polygons, GeoJSON, YOLO, tables, and others' forms.

`Masks.save` describes the formats.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from samkit import rle
from samkit.errors import InputError, shown
from samkit.files import parse_json
from samkit.geometry import checked_size
from samkit.masks import checks, contours, labelme, labelstudio
from samkit.masks.categories import Categories
from samkit.masks.fields import Fields
from samkit.masks.storage import RunLengths, Storage

__all__ = ["DOCUMENTS", "read_document", "table", "to_coco"]

# Key in an annotation -> optional field of `Masks`.
_COCO_KEYS = {
    "candidate": "candidates",
    "presence": "presence",
    "stability_score": "stability",
    "point": "points",
    "crop_box_xyxy": "crop_boxes",
}


def to_coco(
    masks: Storage, fields: Fields, image_id: int, category_ids: Sequence[int], first_id: int
) -> list[dict[str, Any]]:
    """See `Masks.to_coco`."""
    columns = (
        masks.counts(),
        fields.boxes_of(masks).tolist(),
        masks.areas().tolist(),
        fields.scores.tolist(),
        fields.object_ids.tolist(),
        fields.prompt_index.tolist(),
        category_ids,
    )
    optional = {key: getattr(fields, name) for key, name in _COCO_KEYS.items()}
    more = {key: values.tolist() for key, values in optional.items() if values is not None}
    return [
        {
            "id": first_id + i,
            "image_id": image_id,
            "category_id": category_id,
            "segmentation": rle.as_rle(counts, masks.image_size),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": area,
            "iscrowd": 0,
            "score": score,
            "object_id": object_id,
            "prompt_index": prompt,
            **{key: values[i] for key, values in more.items()},
        }
        for i, (counts, (x0, y0, x1, y1), area, score, object_id, prompt, category_id) in enumerate(
            zip(*columns, strict=True)
        )
    ]


# Columns of every table.
_COLUMNS = ("object_id", "prompt_index", "area", "x0", "y0", "x1", "y1", "centroid_x", "centroid_y",
            "score")  # fmt: skip


def table(masks: Storage, fields: Fields) -> list[dict[str, Any]]:
    """See `Masks.table`."""
    rows: list[dict[str, Any]] = []
    boxes, areas = fields.boxes_of(masks).tolist(), masks.areas().tolist()
    for i, ((left, top), mask) in enumerate(masks.crops()):
        y, x = np.nonzero(mask)
        # The middle of a pixel is half a pixel from its corner.
        centroid = (
            (float(x.mean()) + left + 0.5, float(y.mean()) + top + 0.5) if x.size else (None, None)
        )
        ids = int(fields.object_ids[i]), int(fields.prompt_index[i])
        values = (*ids, areas[i], *boxes[i], *centroid, float(fields.scores[i]))
        row = dict(zip(_COLUMNS, values, strict=True))
        if fields.candidates is not None:
            row["candidate"] = int(fields.candidates[i])
        for name in ("presence", "stability"):
            values = getattr(fields, name)
            if values is not None:
                row[name] = float(values[i])
        if fields.names is not None:
            row["name"] = str(fields.names[i])
        rows.append(row)
    return rows


def _coco(masks: Storage, fields: Fields, file_name: str, categories: Categories) -> str:
    height, width = masks.image_size
    data_set = {
        "images": [{"id": 1, "width": width, "height": height, "file_name": file_name}],
        "categories": categories.as_coco,
        "annotations": to_coco(masks, fields, 1, _ids(categories), 1),
    }
    return json.dumps(data_set)


def _json_lines(masks: Storage, fields: Fields, file_name: str, categories: Categories) -> str:
    annotations = to_coco(masks, fields, 1, _ids(categories), 1)
    return "".join(
        json.dumps({"file_name": file_name, "category": name, **one}) + "\n"
        for name, one in zip(categories.of_each, annotations, strict=True)
    )


def _ids(categories: Categories) -> list[int]:
    return [number + 1 for number in categories.numbers]


def _polygons(masks: Storage, fields: Fields, file_name: str, categories: Categories) -> str:
    objects = [
        {
            "object_id": int(fields.object_ids[i]),
            "prompt_index": int(fields.prompt_index[i]),
            **({} if fields.candidates is None else {"candidate": int(fields.candidates[i])}),
            "score": float(fields.scores[i]),
            "rings": [ring.tolist() for ring in rings],
        }
        for i, rings in enumerate(_outlines(masks))
    ]
    return json.dumps({"image_size": list(masks.image_size), "polygons": objects})


def _geojson(masks: Storage, fields: Fields, file_name: str, categories: Categories) -> str:
    features = []
    rows = table(masks, fields)
    for name, row, (corner, mask) in zip(categories.of_each, rows, masks.crops(), strict=True):
        parts = [
            [[*ring.tolist(), ring[0].tolist()] for ring in part]
            for part in contours.parts_with_holes(mask, corner=corner)
        ]
        geometry = {"type": "MultiPolygon", "coordinates": parts} if parts else None
        about = {"objectType": "annotation", "classification": {"name": name}}  # for QuPath
        features.append(
            {
                "type": "Feature",
                "id": row["object_id"],
                "geometry": geometry,
                "properties": {**about, "file_name": file_name, **row},
            }
        )
    return json.dumps({"type": "FeatureCollection", "features": features})


def _outlines(masks: Storage) -> Iterator[list[contours.Ring]]:
    """The outer rings of each mask."""
    return (contours.outer_contours(mask, corner=corner) for corner, mask in masks.crops())


def _csv(masks: Storage, fields: Fields, file_name: str, categories: Categories) -> str:
    text = io.StringIO()
    rows = [
        {"file_name": file_name, "category": name, **row}
        for name, row in zip(categories.of_each, table(masks, fields), strict=True)
    ]
    columns = list(rows[0]) if rows else ["file_name", "category", *_COLUMNS]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _yolo(masks: Storage, fields: Fields, file_name: str, categories: Categories) -> str:
    height, width = masks.image_size
    lines = []
    for number, rings in zip(categories.numbers, _outlines(masks), strict=True):
        ring = contours.joined(rings) / (width, height)
        if len(ring):
            lines.append(
                " ".join([str(number), *(f"{value:.6g}" for value in ring.ravel())]) + "\n"
            )
    return "".join(lines)


DOCUMENTS: dict[str, Callable[[Storage, Fields, str, Categories], str]] = {
    "coco": _coco,
    "jsonl": _json_lines,
    "polygons": _polygons,
    "geojson": _geojson,
    "csv": _csv,
    "yolo": _yolo,
    "labelme": labelme.document,
    "labelstudio": labelstudio.document,
}
"""Format -> its text, of masks, their fields, the name of the image and their categories."""


def read_document(text: bytes) -> tuple[Storage, Fields]:
    """The masks of one image in a JSON text of COCO, Label Studio or LabelMe.

    Raises:
        InputError: it is none of them.
    """
    data = parse_json(text, "it")
    if labelstudio.is_tasks(data):
        return labelstudio.read_one(data)
    return labelme.read_labelme(data) if labelme.is_labelme(data) else _read_coco(data)


def _read_coco(data: object) -> tuple[Storage, Fields]:
    """The masks of a COCO data set of one image."""
    if not isinstance(data, dict) or not {"images", "annotations"} <= data.keys():
        raise InputError(
            "expected a COCO data set with 'images' and 'annotations', tasks of Label Studio, or a "
            "file of LabelMe"
        )
    images, annotations = (_records(data, name) for name in ("images", "annotations"))
    if len(images) != 1:
        raise InputError(f"expected the masks of one image, got {len(images)} images")
    image = images[0]
    for i, one in enumerate(annotations):
        if "segmentation" not in one:
            raise InputError(f"annotation {i}: expected a segmentation, got {shown(one)}")
        if one.get("image_id", image.get("id")) != image.get("id"):
            raise InputError(
                f"annotation {i}: expected the image_id {image.get('id')!r:.80}, got "
                f"{one['image_id']!r:.80}"
            )
    size = checked_size((image.get("height"), image.get("width")), "the size of the image")
    masks = RunLengths.checked([one["segmentation"] for one in annotations], size)
    given: dict[str, Any] = {}
    keys = {"object_id": "object_ids", "prompt_index": "prompt_index", **_COCO_KEYS}
    for key, name in keys.items():
        if annotations and all(key in one for one in annotations):
            given[name] = [one[key] for one in annotations]
    if annotations and all("bbox" in one for one in annotations):
        xywh = checks.floats("bbox", [one["bbox"] for one in annotations], (len(annotations), 4))
        given["boxes"] = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    scores = [one.get("score", 1.0) for one in annotations]
    return masks, Fields.checked(len(masks), scores, given)


def _records(data: dict[str, Any], name: str) -> list[dict[str, Any]]:
    records = data[name]
    if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
        raise InputError(f"{name}: expected a list of objects, got {records!r:.80}")
    return records
