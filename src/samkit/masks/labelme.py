"""Files of LabelMe: masks as polygons, which it can edit."""

import base64
import binascii
import io
import json
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from samkit import rle
from samkit.errors import InputError, shown
from samkit.geometry import checked_size, mask_boxes
from samkit.limits import check_image_size
from samkit.masks import checks, contours
from samkit.masks.categories import Categories
from samkit.masks.fields import Fields
from samkit.masks.label_maps import read_label_picture
from samkit.masks.storage import Storage, hold

__all__ = ["document", "is_labelme", "read_labelme"]

_VERSION = "5.5.0"  # of LabelMe, the first whose form this is
_TOLERANCE = 1.0
"""How far, in pixels, a polygon may be from the exact outline: few corners can be moved by hand."""
_CIRCLE_CORNERS = 128

_KINDS = ("polygon", "rectangle", "circle", "mask")

_Points: TypeAlias = npt.NDArray[np.float64]


def document(masks: Storage, fields: Fields, image: str, categories: Categories) -> str:
    """The text of a file.

    Args:
        masks, fields, categories: of the image.
        image: the path of the image from the folder of the file.
    """
    height, width = masks.image_size
    ids = fields.object_ids.tolist()
    groups = ids if len(set(ids)) == len(ids) else range(len(ids))
    shapes = [
        {"label": name, "group_id": group, "score": score, "flags": {}, "description": "", **shape}
        for mask, name, group, score in zip(
            masks, categories.of_each, groups, fields.scores.tolist(), strict=True
        )
        for shape in _shapes(mask)
    ]
    return json.dumps(
        {
            "version": _VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": image,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
    )


def _shapes(mask: rle.BoolArray) -> Iterator[dict[str, Any]]:
    """A polygon for each part; or, as polygons have no holes, a picture of a mask that has any."""
    if all(len(part) == 1 for part in contours.parts_with_holes(mask)):
        for ring in contours.outer_contours(mask, _TOLERANCE):
            yield {"shape_type": "polygon", "points": ring.tolist()}
        return
    left, top, right, bottom = mask_boxes(mask[None])[0].astype(int).tolist()
    file = io.BytesIO()
    Image.fromarray(mask[top:bottom, left:right].astype(np.uint8)).save(file, "PNG")
    yield {
        "shape_type": "mask",
        "points": [[left, top], [right - 1, bottom - 1]],  # the last row and column are inside
        "mask": base64.b64encode(file.getvalue()).decode("ascii"),
    }


def is_labelme(data: object) -> bool:
    """Whether the value of a JSON file is one of LabelMe."""
    return isinstance(data, dict) and {"shapes", "imagePath"} <= data.keys()


def read_labelme(data: dict[str, Any]) -> tuple[Storage, Fields]:
    """The masks of a file: polygons, rectangles, circles and masks; other shapes are left out.

    Shapes with one label and one group are one object.

    Raises:
        InputError: it is damaged, or `samkit.limits` does not allow the size of its image.
    """
    size = checked_size(
        (data.get("imageHeight"), data.get("imageWidth")), "imageHeight and imageWidth"
    )
    check_image_size(*size, "the image", InputError)
    shapes = data["shapes"]
    if not isinstance(shapes, list) or not all(isinstance(one, dict) for one in shapes):
        raise InputError(f"shapes: expected a list of objects, got {shown(shapes)}")
    objects: dict[tuple[str, ...], list[tuple[dict[str, Any], str]]] = {}
    for i, one in enumerate(shapes):
        if _kind(one) not in _KINDS:
            continue
        group = one.get("group_id")
        key = (str(i),) if group is None else (shown(one.get("label"), 1000), shown(group))
        objects.setdefault(key, []).append((one, f"shape {i}"))
    groups = list(objects.values())

    def drawn() -> Iterator[rle.BoolArray]:
        for parts in groups:
            mask = np.zeros(size, np.bool_)
            for shape, what in parts:
                mask |= _drawn(shape, size, what)
            yield mask

    masks = hold(drawn(), len(groups), size, len(groups))
    firsts = [parts[0][0] for parts in groups]
    ids = [one.get("group_id") for one in firsts]
    are_ids = all(type(one) is int for one in ids) and len(set(ids)) == len(ids)
    scores = [1.0 if one.get("score") is None else one["score"] for one in firsts]
    return masks, Fields.checked(
        len(masks), scores, {"object_ids": ids if ids and are_ids else None}
    )


def _kind(shape: dict[str, Any]) -> object:
    return shape.get("shape_type") or "polygon"


def _drawn(shape: dict[str, Any], size: tuple[int, int], what: str) -> rle.BoolArray:
    """The mask of a shape."""
    kind = _kind(shape)
    given = shape.get("points")
    count = len(given) if isinstance(given, list) else 0
    if count < 3 if kind == "polygon" else count != 2:
        expected = "3 and more" if kind == "polygon" else "2"
        raise InputError(f"{what}: points: expected {expected}, got {shown(given)}")
    points = checks.floats(f"{what}: points", given, (count, 2)).astype(np.float64)
    if kind == "mask":
        return _pasted(shape.get("mask"), points, size, what)
    if kind != "polygon":
        points = _rectangle(points) if kind == "rectangle" else _circle(points)
    return rle.decode_one(rle.encode_polygons([points.ravel()], size, what), size)


def _rectangle(points: _Points) -> _Points:
    (x0, y0), (x1, y1) = points[0], points[1]
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def _circle(points: _Points) -> _Points:
    """A circle about the first point, through the second."""
    angles = np.linspace(0, 2 * np.pi, _CIRCLE_CORNERS, endpoint=False)
    radius = np.hypot(*(points[1] - points[0]))
    around: _Points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(points[0] + radius * around)


def _pasted(text: object, points: _Points, size: tuple[int, int], what: str) -> rle.BoolArray:
    """A picture between two pixels, both inside, of an image."""
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):  # other characters than those of ASCII
        data = b""
    picture = read_label_picture(io.BytesIO(data), f"{what}: mask").values != 0
    height, width = size
    if points.min() < 0 or (points >= (width, height)).any():
        raise InputError(f"{what}: expected a mask in an image of {size}, got {points.tolist()}")
    (left, top), (right, bottom) = np.sort(points, axis=0).astype(np.int64).tolist()
    if picture.shape != (bottom + 1 - top, right + 1 - left):
        raise InputError(
            f"{what}: expected a mask of {(bottom + 1 - top, right + 1 - left)} (height, width) "
            f"between its points, got {picture.shape}"
        )
    mask = np.zeros(size, np.bool_)
    mask[top : bottom + 1, left : right + 1] = picture
    return mask
