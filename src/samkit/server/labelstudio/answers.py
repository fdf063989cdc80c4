"""What Label Studio is answered: regions that are suggested."""

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from samkit.masks import Masks
from samkit.masks.labelstudio import brush_region, size_record
from samkit.server.labelstudio.questions import Tags

__all__ = ["as_prediction"]

# How far polygons are simplified, of the longer side of the image, so that they can be edited.
_SIMPLIFIED = 1e-3


def as_prediction(
    masks: Masks, labels: Sequence[str | None], tags: Tags, version: str
) -> dict[str, Any]:
    """A prediction with the regions of all masks that are not empty.

    Polygons are those of outlines: holes are lost, and parts are regions of their own.

    Args:
        masks: in the order of their prompts.
        labels: of each.
        tags: of the labelling configuration.
        version: of the model.
    """
    shapes = _brushes(masks, labels) if tags.kind == "brush" else _polygons(masks, labels)
    regions = [
        {
            "id": secrets.token_hex(5),
            "from_name": tags.control,
            "to_name": tags.image,
            **shape,
            "score": float(masks.scores[i]),
        }
        for i, shape in shapes
    ]
    mean = float(masks.scores.mean()) if regions else 0.0
    return {"result": regions, "score": mean, "model_version": version}


def _brushes(masks: Masks, labels: Sequence[str | None]) -> Iterator[tuple[int, dict[str, Any]]]:
    for i, label in enumerate(labels):
        mask = masks[i].masks[0]
        if mask.any():
            yield i, brush_region(mask, label)


def _polygons(masks: Masks, labels: Sequence[str | None]) -> Iterator[tuple[int, dict[str, Any]]]:
    height, width = masks.image_size
    outlines = masks.polygons(_SIMPLIFIED * max(height, width))
    for i, (rings, label) in enumerate(zip(outlines, labels, strict=True)):
        for ring in rings:
            if len(ring) < 3:
                continue
            value = {
                "points": (ring * 100 / (width, height)).tolist(),
                "closed": True,
                "polygonlabels": [] if label is None else [label],
            }
            yield i, {"type": "polygonlabels", **size_record(masks.image_size), "value": value}
