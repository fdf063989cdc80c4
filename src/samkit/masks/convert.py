"""`Masks` as the values of other libraries."""

import importlib
from typing import TYPE_CHECKING, Any

from samkit.errors import MissingDependencyError
from samkit.rle import RLE

if TYPE_CHECKING:
    from samkit.masks.result import Masks


COCO_KEYS = {
    "presence": "presence",
    "stability_score": "stability",
    "point": "points",
    "crop_box_xyxy": "crop_boxes",
}
"""Key in an annotation -> optional field of `Masks`."""


def to_rle(masks: "Masks") -> list[RLE]:
    """See `Masks.to_rle`."""
    return [
        RLE(size=list(masks.image_size), counts=one.decode("ascii"))
        for one in masks._storage.counts()
    ]


def to_coco(masks: "Masks", image_id: int, category_id: int, first_id: int) -> list[dict[str, Any]]:
    """See `Masks.to_coco`."""
    annotations: list[dict[str, Any]] = []
    columns = (
        to_rle(masks),
        masks.boxes.tolist(),
        masks.areas.tolist(),
        masks.scores.tolist(),
        masks.object_ids.tolist(),
        masks.prompt_index.tolist(),
    )
    for rle, (x0, y0, x1, y1), area, score, object_id, prompt in zip(*columns, strict=True):
        annotations.append(
            {
                "id": first_id + len(annotations),
                "image_id": image_id,
                "category_id": category_id,
                "segmentation": rle,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": area,
                "iscrowd": 0,
                "score": score,
                "object_id": object_id,
                "prompt_index": prompt,
            }
        )
    for key, name in COCO_KEYS.items():
        values = getattr(masks, name)
        if values is not None:
            for annotation, value in zip(annotations, values.tolist(), strict=True):
                annotation[key] = value
    return annotations


def to_supervision(masks: "Masks") -> Any:
    """See `Masks.to_supervision`."""
    try:
        supervision = importlib.import_module("supervision")
    except ImportError as error:
        raise MissingDependencyError(
            "to_supervision needs the package supervision: pip install supervision"
        ) from error
    return supervision.Detections(
        xyxy=masks.boxes.copy(),
        mask=masks.masks.copy(),
        confidence=masks.scores.copy(),
        tracker_id=masks.object_ids.copy(),
        data={"prompt_index": masks.prompt_index.copy()},
    )
