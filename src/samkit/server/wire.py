"""What goes over the wire: requests as they are checked, masks as they are answered."""

import base64
import io
import math
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from fastapi import Query
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from samkit import rle
from samkit.errors import PromptError
from samkit.masks import Masks
from samkit.prompts import Prompt
from samkit.server.errors import ApiError

__all__ = [
    "File",
    "Format",
    "FramePrompt",
    "MaskRequest",
    "TrackRequest",
    "as_prompts",
    "masks_as_json",
]

# Of the masks of one request's prompts, a few bytes of which can stand for any number of pixels.
_MASK_PIXELS = 2**26
# Of one prompt, as each looks at all the others; and of a request, as prompts take as long as the
# longest one that is computed with them.
_POINTS, _ALL_POINTS = 500, 20_000

Format: TypeAlias = Annotated[
    Literal["rle", "png", "polygons"],
    Query(
        description="rle: COCO's compressed run lengths. png: the mask within its box, white on "
        "black, in base64. polygons: parts, each a list of rings [[x, y], ...], the outer first."
    ),
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class File(_Request):
    """A file below the server's root."""

    path: str


class MaskRequest(_Request):
    """Prompts on one image.

    Attributes:
        prompts: each as `Prompt.to_dict` gives it: points [[x, y], ...] with labels (1 on the
            object, 0 not), box [x0, y0, x1, y1], mask; of a mask its run lengths, or the logits
            of an earlier answer.
        candidates: 1, or 3 proposals for each prompt.
        logits: answer with low-resolution logits too, to refine the masks by.
    """

    prompts: list[dict[str, Any]]
    candidates: int = 1
    format: Literal["rle", "png", "polygons"] = "rle"
    logits: bool = False


class FramePrompt(_Request):
    """A prompt on a frame of a video; see `VideoPredictor.prompt`."""

    frame: int
    object_id: int
    prompt: dict[str, Any]
    format: Literal["rle", "png", "polygons"] = "rle"


class TrackRequest(_Request):
    """What to track; see `VideoPredictor.track`."""

    direction: Literal["forward", "backward", "both"] = "forward"
    start: int | None = None
    stop: int | None = None
    smooth: int = Field(default=0, ge=0, le=16)
    format: Literal["rle", "png", "polygons"] = "rle"


def as_prompts(given: list[dict[str, Any]]) -> list[Prompt]:
    """The prompts that a client means.

    Raises:
        PromptError: one of them is none.
        ApiError: their masks are too large in all, or their points too many.
    """
    if sum(_mask_pixels(values.get("mask")) for values in given) > _MASK_PIXELS:
        raise ApiError(413, "too_large", f"expected masks of at most {_MASK_PIXELS} pixels in all")
    counts = [_point_count(values.get("points")) for values in given]
    if len(given) * max(counts, default=0) > _ALL_POINTS:
        raise ApiError(
            413,
            "too_large",
            f"expected at most {_ALL_POINTS} points, where all prompts count as the longest one",
        )
    prompts = []
    for i, values in enumerate(given):
        try:
            if counts[i] > _POINTS:
                raise PromptError(f"expected at most {_POINTS} points, got {counts[i]}")
            prompts.append(Prompt.from_dict(values))
        except PromptError as error:
            raise PromptError(f"prompt {i}: {error}") from None
    return prompts


def _point_count(points: object) -> int:
    return len(points) if isinstance(points, list) else 0


def _mask_pixels(mask: object) -> int:
    """What a mask of a prompt says of its size; anything wrong is found when it is read."""
    size = mask.get("size") if isinstance(mask, dict) else None
    if not isinstance(size, list) or not all(isinstance(side, int) for side in size):
        return 0
    return abs(math.prod(size))


def masks_as_json(masks: Masks, format: str, *, logits: bool = False) -> dict[str, Any]:
    """Masks for a client: `image_size` [height, width] and a list of `masks`."""
    shapes = {"rle": _run_lengths, "png": _pictures, "polygons": _polygons}[format](masks)
    boxes, areas = masks.boxes.tolist(), masks.areas.tolist()
    found = []
    for i, shape in enumerate(shapes):
        one: dict[str, Any] = {
            "object_id": int(masks.object_ids[i]),
            "prompt_index": int(masks.prompt_index[i]),
            "score": float(masks.scores[i]),
            "box": boxes[i],
            "area": areas[i],
            format: shape,
        }
        if masks.presence is not None:
            one["presence"] = float(masks.presence[i])
        if masks.stability is not None:
            one["stability"] = float(masks.stability[i])
        if logits and masks.logits is not None:
            one["logits"] = Prompt(mask_input=masks.logits[i]).to_dict()["mask"]
        found.append(one)
    return {"image_size": list(masks.image_size), "masks": found}


def _run_lengths(masks: Masks) -> list[Any]:
    return [one["segmentation"] for one in masks.to_coco()]


def _polygons(masks: Masks) -> list[Any]:
    return [
        [[ring.tolist() for ring in part] for part in parts] for parts in masks.polygons(holes=True)
    ]


def _pictures(masks: Masks) -> list[Any]:
    """The masks within their boxes, as PNGs of one bit."""
    pictures = []
    tight = rle.boxes(
        [one["segmentation"]["counts"].encode() for one in masks.to_coco()], masks.image_size
    )  # boxes that a caller gave need not be tight
    for i, (x0, y0, x1, y1) in enumerate(tight.astype(int).tolist()):
        part = masks[i].masks[0][y0:y1, x0:x1]
        if part.size == 0:
            part = np.zeros((1, 1), np.bool_)
        file = io.BytesIO()
        Image.fromarray(part).save(file, "PNG")
        pictures.append(
            {"x": x0, "y": y0, "data": base64.b64encode(file.getvalue()).decode("ascii")}
        )
    return pictures
