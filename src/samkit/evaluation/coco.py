"""Files of instances as COCO has them: images, and a list of annotations for each."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samkit.errors import InputError
from samkit.evaluation.metrics import BoolArray
from samkit.files import inside, parse_json, read_json
from samkit.rle import checked_counts, decode_one, encode_polygons

__all__ = ["CocoAnnotation", "CocoImage", "coco_mask", "read_coco"]


@dataclass(frozen=True, kw_only=True)
class CocoAnnotation:
    """An object, or a crowd.

    Attributes:
        segmentation: polygons or run lengths, not checked yet; see `coco_mask`.
        is_crowd: it is a region of many objects.
    """

    segmentation: Any
    is_crowd: bool


@dataclass(frozen=True, kw_only=True)
class CocoImage:
    """A record of an image.

    Attributes:
        path: of the file.
        size: (height, width) that the record says; None for what it does not say.
        annotations: of the image, in the order of the file.
    """

    path: Path
    size: tuple[int | None, int | None]
    annotations: list[CocoAnnotation] = field(default_factory=list)


def read_coco(path: Path) -> list[CocoImage]:
    """The images of a file, sorted by name; their files are in `images/` beside it or beside it.

    Numbers may be strings. Two records may name the same file: each has its own annotations.
    Annotations of images that are not there are left out.

    Raises:
        InputError: no file of instances, a record lacks something, two images have the same id, or
            one names a file elsewhere.
    """
    content = read_json(path)
    folder = path.parent / "images" if (path.parent / "images").is_dir() else path.parent
    images: dict[int, CocoImage] = {}
    for record, what in _records(content, "images", path):
        number = _whole(record, "id", what)
        if number in images:
            raise InputError(f"{what}: expected an id of its own, got {number} for a second time")
        what = f"{path}: the image with id {number}"
        images[number] = CocoImage(
            path=inside(folder, record.get("file_name"), f"{what}: file_name"),
            size=(_size(record, "height", what), _size(record, "width", what)),
        )
    if not images:
        raise InputError(f"{path}: expected at least one image, got none")
    for record, what in _records(content, "annotations", path):
        number = _whole(record, "image_id", what)
        if "segmentation" not in record:
            raise InputError(f"{what}: expected a segmentation, got {record!r:.80}")
        annotation = CocoAnnotation(
            segmentation=record["segmentation"], is_crowd=_is_crowd(record, what)
        )
        if number in images:
            images[number].annotations.append(annotation)
    return sorted(images.values(), key=lambda image: str(image.path))


def coco_mask(segmentation: Any, size: tuple[int, int], what: str) -> BoolArray:
    """A segmentation, polygons or run lengths, as a mask (H, W).

    Args:
        segmentation: as the file has it, or as JSON in a string.
        size: (height, width) of the image.
        what: the beginning of error messages.

    Raises:
        InputError: it is neither, or damaged.
    """
    if isinstance(segmentation, str):
        segmentation = parse_json(segmentation, f"{what}: a segmentation")
    if isinstance(segmentation, dict):
        return decode_one(checked_counts(segmentation, size, f"a mask of {what}"), size)
    if not isinstance(segmentation, list) or not segmentation:
        raise InputError(f"{what}: expected polygons or run lengths, got {segmentation!r:.80}")
    return decode_one(encode_polygons(segmentation, size, what), size)


def _records(content: Any, name: str, path: Path) -> list[tuple[dict[str, Any], str]]:
    """The records of a list in the file, each with what messages call it."""
    records = content.get(name) if isinstance(content, dict) else None
    if not isinstance(records, list):
        raise InputError(
            f"{path} is not a COCO file of instances: expected a list of {name}, got "
            f"{type(content if records is None else records).__name__}"
        )
    for i, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError(f"{path}: {name}[{i}]: expected an object, got {record!r:.80}")
    return [(record, f"{path}: {name}[{i}]") for i, record in enumerate(records)]


def _whole(record: dict[str, Any], key: str, what: str) -> int:
    value = record.get(key)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    if type(value) is not int or abs(value) >= 2**63:
        got = repr(value)[:80] if key in record else "none"
        raise InputError(f"{what}: {key}: expected a whole number of 64 bits, got {got}")
    return value


def _size(record: dict[str, Any], key: str, what: str) -> int | None:
    return None if record.get(key) is None else _whole(record, key, what)


def _is_crowd(record: dict[str, Any], what: str) -> bool:
    value = record.get("iscrowd")
    known = {"None": False, "0": False, "False": False, "1": True, "True": True}
    if str(value) not in known:
        raise InputError(f"{what}: iscrowd: expected 0 or 1, got {value!r:.80}")
    return known[str(value)]
