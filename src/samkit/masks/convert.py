"""Masks as the values of other libraries."""

import importlib
from typing import Any

from samkit import rle
from samkit.errors import MissingDependencyError
from samkit.masks.fields import Fields
from samkit.masks.storage import Storage

COCO_KEYS = {
    "presence": "presence",
    "stability_score": "stability",
    "point": "points",
    "crop_box_xyxy": "crop_boxes",
}
"""Key in an annotation -> optional field of `Masks`."""


def to_rle(masks: Storage) -> list[rle.RLE]:
    """See `Masks.to_rle`."""
    return [rle.as_rle(counts, masks.image_size) for counts in masks.counts()]


def to_coco(
    masks: Storage, fields: Fields, image_id: int, category_id: int, first_id: int
) -> list[dict[str, Any]]:
    """See `Masks.to_coco`."""
    columns = (
        to_rle(masks),
        fields.boxes_of(masks).tolist(),
        masks.areas().tolist(),
        fields.scores.tolist(),
        fields.object_ids.tolist(),
        fields.prompt_index.tolist(),
    )
    optional = {key: getattr(fields, name) for key, name in COCO_KEYS.items()}
    more = {key: values.tolist() for key, values in optional.items() if values is not None}
    return [
        {
            "id": first_id + i,
            "image_id": image_id,
            "category_id": category_id,
            "segmentation": one,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": area,
            "iscrowd": 0,
            "score": score,
            "object_id": object_id,
            "prompt_index": prompt,
            **{key: values[i] for key, values in more.items()},
        }
        for i, (one, (x0, y0, x1, y1), area, score, object_id, prompt) in enumerate(
            zip(*columns, strict=True)
        )
    ]


def to_supervision(masks: Storage, fields: Fields) -> Any:
    """See `Masks.to_supervision`."""
    try:
        supervision = importlib.import_module("supervision")
    except ImportError as error:
        raise MissingDependencyError(
            "to_supervision needs the package supervision: pip install supervision"
        ) from error
    return supervision.Detections(
        xyxy=fields.boxes_of(masks).copy(),
        mask=masks.dense().copy(),
        confidence=fields.scores.copy(),
        tracker_id=fields.object_ids.copy(),
        data={"prompt_index": fields.prompt_index.copy()},
    )
