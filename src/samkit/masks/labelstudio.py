"""Tasks of Label Studio: masks as what a brush painted.

Written are predictions for the labels of a `BrushLabels` called "tag" of an `Image` called "image",
as in Label Studio's template for masks. Read are what brushes painted, polygons and rectangles.
"""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from samkit import rle
from samkit.errors import InputError, shown
from samkit.geometry import checked_size
from samkit.limits import check_image_size
from samkit.masks import checks
from samkit.masks.brush import decode_brush, encode_brush
from samkit.masks.categories import Categories
from samkit.masks.fields import Fields
from samkit.masks.storage import Storage, hold

__all__ = [
    "as_task",
    "brush_region",
    "checked_tasks",
    "document",
    "image_of",
    "is_tasks",
    "label_of",
    "read_one",
    "read_task",
    "rectangle_corners",
    "size_of",
    "size_record",
]

_Record: TypeAlias = dict[str, Any]
_Size: TypeAlias = tuple[int, int]
_NO_LABEL = "object"


def document(masks: Storage, fields: Fields, image: str, categories: Categories) -> str:
    """The text of a file with one task."""
    return json.dumps([as_task(masks, fields, image, categories)])


def as_task(masks: Storage, fields: Fields, image: str, categories: Categories) -> _Record:
    """A task whose prediction has a region for each mask that is not empty.

    Args:
        masks, fields, categories: of the image.
        image: its name or address.
    """
    regions = [
        {
            "id": f"mask_{i}",
            "from_name": "tag",
            "to_name": "image",
            **brush_region(mask, name),
            "score": score,
        }
        for i, (mask, name, score) in enumerate(
            zip(masks, categories.of_each, fields.scores.tolist(), strict=True)
        )
        if mask.any()
    ]
    prediction: _Record = {"model_version": "samkit", "result": regions}
    if regions:
        prediction["score"] = float(np.mean([one["score"] for one in regions]))
    return {"data": {"image": image}, "predictions": [prediction]}


def brush_region(mask: rle.BoolArray, label: str | None) -> _Record:
    """What a mask (H, W) is in a region that a brush painted; without a label, it has none."""
    value = {
        "format": "rle",
        "rle": encode_brush(mask),
        "brushlabels": [] if label is None else [label],
    }
    return {"type": "brushlabels", **size_record(mask.shape), "value": value}


def size_record(image_size: tuple[int, ...]) -> _Record:
    """The size (height, width) of an image as regions say it."""
    height, width = image_size
    return {"original_width": width, "original_height": height, "image_rotation": 0}


def is_tasks(data: object) -> bool:
    """Whether the value of a JSON file is a task, or a list of them."""
    first = data[0] if isinstance(data, list) and data else data
    return (
        isinstance(first, dict)
        and "data" in first
        and not {"annotations", "predictions"}.isdisjoint(first)
    )


def checked_tasks(data: object) -> list[_Record]:
    """The tasks of a file.

    Raises:
        InputError: it has something else.
    """
    tasks: list[Any] = data if isinstance(data, list) else [data]
    for i, one in enumerate(tasks):
        if not is_tasks([one]):
            raise InputError(
                f"task {i}: expected one of Label Studio with data and annotations or predictions, "
                f"got {shown(one)}"
            )
    return tasks


def image_of(task: _Record) -> str:
    """The name or address of a task's image; "" where it says none."""
    data = task["data"] if isinstance(task["data"], dict) else {}
    texts = [value for value in (data.get("image"), *data.values()) if isinstance(value, str)]
    return texts[0] if texts else ""


def read_one(data: object) -> tuple[Storage, Fields]:
    """The masks of a file that has one task.

    Raises:
        InputError: it has several, or no region, which would say the size of the image.
    """
    tasks = checked_tasks(data)
    if len(tasks) != 1:
        raise InputError(
            f"expected the masks of one image, got {len(tasks)} tasks: use "
            "samkit.masks.datasets.read_labelstudio"
        )
    found = read_task(tasks[0], "the task")
    if found is None:
        raise InputError("expected a task with masks, polygons or rectangles, got none of them")
    return found[:2]


def read_task(task: _Record, what: str) -> tuple[Storage, Fields, list[str]] | None:
    """The masks of a task with their categories, or None if it has none.

    Those of the newest annotation that was not cancelled are taken; without one, those of the
    newest prediction. Regions without an area, such as key points and choices, are left out.

    Args:
        task: one of `checked_tasks`.
        what: the beginning of error messages.

    Raises:
        InputError: it is damaged, its image was turned, or `samkit.limits` does not allow its size.
    """
    results = _result(task, what)
    names = _labels(results)
    regions = [one for one in results if _kind(one) in _DRAWN]
    if not regions:
        return None
    sizes = [size_of(one, f"{what}, region {i}") for i, one in enumerate(regions)]
    if len(set(sizes)) > 1:
        raise InputError(f"{what}: expected regions of one image size, got {sorted(set(sizes))}")

    def drawn() -> Iterator[rle.BoolArray]:
        for i, one in enumerate(regions):
            about = f"{what}, region {i}"
            value = one.get("value")
            if not isinstance(value, dict):
                raise InputError(f"{about}: expected a value, got {shown(value)}")
            yield _DRAWN[_kind(one)](value, sizes[i], about)

    masks = hold(drawn(), len(regions), sizes[0], len(regions))
    scores = [1.0 if one.get("score") is None else one["score"] for one in regions]
    fields = Fields.checked(len(masks), scores, {})
    return (
        masks,
        fields,
        [label_of(one) or names.get(str(one.get("id")), _NO_LABEL) for one in regions],
    )


def _result(task: _Record, what: str) -> list[_Record]:
    """The regions of the newest answer to a task."""
    for key in ("annotations", "predictions"):
        answers = [
            one for one in _records(task.get(key), f"{what}: {key}") if not one.get("was_cancelled")
        ]
        if answers:
            newest = sorted(answers, key=lambda one: str(one.get("created_at", "")))[-1]
            return _records(newest.get("result"), f"{what}: result")
    return []


def _records(value: object, what: str) -> list[_Record]:
    records = [] if value is None else value
    if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
        raise InputError(f"{what}: expected a list of objects, got {shown(value)}")
    return records


def _kind(region: _Record) -> str:
    return str(region.get("type", "")).removesuffix("labels")


def label_of(region: _Record) -> str | None:
    """The first label of a region, if this record says any."""
    value = region.get("value")
    labels = value.get(str(region.get("type"))) if isinstance(value, dict) else None
    is_list = isinstance(labels, list) and labels and isinstance(labels[0], str)
    return labels[0] if is_list else None  # type: ignore[index]


def _labels(results: list[_Record]) -> dict[str, str]:
    """Id of a region -> its label; a brush without labels of its own has them in another record."""
    return {
        one["id"]: label
        for one in results
        if isinstance(one.get("id"), str) and (label := label_of(one)) is not None
    }


def size_of(region: _Record, what: str) -> _Size:
    """(height, width) of the image that a region is of.

    Raises:
        InputError: it says none, the image was turned, or `samkit.limits` does not allow the size.
    """
    given = region.get("original_height"), region.get("original_width")
    size = checked_size(given, f"{what}: original_height and original_width")
    check_image_size(*size, what, InputError)
    if region.get("image_rotation"):
        raise InputError(
            f"{what}: expected an image that was not turned, got an image_rotation of "
            f"{shown(region['image_rotation'])}"
        )
    return size


def _brush(value: _Record, size: _Size, what: str) -> rle.BoolArray:
    return decode_brush(value.get("rle"), size, f"{what}: rle")


def _polygon(value: _Record, size: _Size, what: str) -> rle.BoolArray:
    points = value.get("points")
    if not isinstance(points, list) or len(points) < 3:
        raise InputError(f"{what}: points: expected three and more, got {shown(points)}")
    percent = checks.floats(f"{what}: points", points, (len(points), 2)).astype(np.float64)
    height, width = size
    outline = (percent * (width, height) / 100).ravel()
    return rle.decode_one(rle.encode_polygons([outline], size, what), size)


def _rectangle(value: _Record, size: _Size, what: str) -> rle.BoolArray:
    outline = rectangle_corners(value, size, what).ravel()
    return rle.decode_one(rle.encode_polygons([outline], size, what), size)


def rectangle_corners(value: _Record, size: _Size, what: str) -> npt.NDArray[np.float64]:
    """The corners (4, 2) xy, in pixels, of a rectangle in per cent of an image's size (H, W).

    It was turned about its first corner, clockwise, by so many degrees.

    Raises:
        InputError: it is none.
    """
    sides = [value.get(key) for key in ("x", "y", "width", "height")]
    x, y, across, down = checks.floats(f"{what}: x, y, width and height", sides, (4,)).tolist()
    turned = value.get("rotation") or 0
    angle = math.radians(float(checks.floats(f"{what}: rotation", turned, ())))
    height, width = size
    corner = np.array([x * width, y * height]) / 100
    right = np.array([math.cos(angle), math.sin(angle)]) * across * width / 100
    below = np.array([-math.sin(angle), math.cos(angle)]) * down * height / 100
    return np.stack([corner, corner + right, corner + right + below, corner + below])


# Type of a region -> the mask of its value.
_DRAWN: dict[str, Callable[[_Record, _Size, str], rle.BoolArray]] = {
    "brush": _brush,
    "polygon": _polygon,
    "rectangle": _rectangle,
}
