"""Masks to files and back, and as COCO annotations. `Masks.save` describes the formats."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samkit import rle
from samkit.errors import InputError, shown
from samkit.files import checked_path, open_file, parse_json
from samkit.geometry import checked_size
from samkit.masks import checks, drawing
from samkit.masks.contours import outer_contours
from samkit.masks.fields import Fields
from samkit.masks.label_maps import read_label_picture
from samkit.masks.npz import read_npz, write_npz
from samkit.masks.storage import DENSE_BYTES, Pixels, RunLengths, Storage
from samkit.media import ImageSource, write_atomically

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_SUFFIXES: dict[str, tuple[str, ...]] = {
    "png": (".png",),
    "overlay": _PICTURES,
    "coco": (".json",),
    "jsonl": (".jsonl",),
    "npz": (".npz",),
    "polygons": (".json",),
}
FORMATS = tuple(_SUFFIXES)
"""Names of the formats that `Masks.save` takes."""

_PNG_KEY = "samkit"
# A foreign picture with larger values is not read as a label map: it may be a depth map.
_MOST_LABELS = 4096
# Key in an annotation -> optional field of `Masks`.
_COCO_KEYS = {
    "presence": "presence",
    "stability_score": "stability",
    "point": "points",
    "crop_box_xyxy": "crop_boxes",
}


def save(
    masks: Storage,
    fields: Fields,
    path: str | os.PathLike[str],
    name: str,
    image: ImageSource | None,
) -> None:
    """Write masks in any format but an overlay; see `Masks.save`."""
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        if name == "png":
            _write_png(masks, fields, file)
        elif name == "npz":
            write_npz(masks, fields, file)
        else:
            file_name = Path(image).name if isinstance(image, (str, os.PathLike)) else ""
            file.write(_json_of(masks, fields, name, file_name).encode())


def load(path: str | os.PathLike[str]) -> tuple[Storage, Fields]:
    """See `Masks.load`."""
    path = checked_path(path, "a file of masks")
    readers: dict[str, Callable[[IO[bytes]], tuple[Storage, Fields]]] = {
        ".png": _read_png,
        ".json": _read_coco,
        ".npz": read_npz,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise InputError(f"cannot load {path}: expected a file .npz, .json or .png")
    with open_file(path) as file:
        try:
            return read(file)
        except InputError as error:
            raise InputError(f"cannot load {path}: {error}") from error
        except OSError as error:
            raise InputError(f"cannot load {path}: {error.strerror or error}") from error
        except MemoryError:
            raise
        except Exception as error:  # readers of damaged files raise nearly anything
            what = "it is damaged, or not a file of masks"
            raise InputError(f"cannot load {path}: {what}") from error


def format_of(path: str | os.PathLike[str], name: str | None, *, has_image: bool) -> str:
    """The format that `Masks.save` writes to a path, asked for by name or by the suffix.

    Raises:
        InputError: unknown format, or a suffix that does not fit it.
    """
    suffix = checked_path(path, "a file of masks").suffix.lower()
    if name is None:
        fitting = [known for known, ends in _SUFFIXES.items() if suffix in ends]
        if not fitting:
            known = ", ".join(sorted({end for ends in _SUFFIXES.values() for end in ends}))
            raise InputError(f"cannot save {path}: expected one of the suffixes {known}")
        name = "overlay" if has_image and "overlay" in fitting else fitting[0]
    if not isinstance(name, str) or name not in _SUFFIXES:
        raise InputError(f"expected one of the formats {', '.join(FORMATS)}, got {shown(name)}")
    if suffix not in _SUFFIXES[name]:
        expected = ", ".join(_SUFFIXES[name])
        raise InputError(f"cannot save {path}: the format {name} is for files {expected}")
    if name == "overlay" and not has_image:
        raise InputError(f"cannot save {path}: an overlay needs its image, give image=")
    return name


def to_coco(
    masks: Storage, fields: Fields, image_id: int, category_id: int, first_id: int
) -> list[dict[str, Any]]:
    """See `Masks.to_coco`."""
    columns = (
        masks.counts(),
        fields.boxes_of(masks).tolist(),
        masks.areas().tolist(),
        fields.scores.tolist(),
        fields.object_ids.tolist(),
        fields.prompt_index.tolist(),
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
        for i, (counts, (x0, y0, x1, y1), area, score, object_id, prompt) in enumerate(
            zip(*columns, strict=True)
        )
    ]


def _write_png(masks: Storage, fields: Fields, file: IO[bytes]) -> None:
    if len(masks) > 65535:
        raise InputError(f"expected at most 65535 masks for a PNG, got {len(masks)}: use npz")
    info = PngInfo()
    facts = {
        "scores": fields.scores.tolist(),
        "object_ids": fields.object_ids.tolist(),
        "prompt_index": fields.prompt_index.tolist(),
    }
    info.add_text(_PNG_KEY, json.dumps(facts))
    if len(masks) == 1:
        Image.fromarray(masks[0].astype(np.uint8) * np.uint8(255)).save(file, "PNG", pnginfo=info)
        return
    index = np.zeros(masks.image_size, np.uint8 if len(masks) < 256 else np.uint16)
    for i in drawing.painting_order(fields.scores):
        index[masks[i]] = i + 1
    image = Image.fromarray(index)
    if len(masks) < 256:
        colours = [drawing.colour_of(int(object_id)) for object_id in fields.object_ids]
        image.putpalette([value for colour in [(0, 0, 0), *colours] for value in colour])
    image.save(file, "PNG", pnginfo=info)


def _read_png(file: IO[bytes]) -> tuple[Storage, Fields]:
    labels = read_label_picture(file, "the picture")
    index, height, width = labels.values, *labels.values.shape
    if labels.format != "PNG":
        raise InputError(f"expected a PNG, got {labels.format}")
    facts = _facts(labels.texts[_PNG_KEY]) if _PNG_KEY in labels.texts else {}
    if labels.mode in ("1", "L"):
        if not np.isin(index, (0, 1 if labels.mode == "1" else 255)).all():
            raise InputError("expected a black and white picture, got shades of grey")
        index, count = (index != 0).astype(np.uint8), 1
    elif not facts and index.max() > _MOST_LABELS:
        raise InputError(f"expected labels up to {_MOST_LABELS}, got {index.max()}")
    else:
        count = len(facts["scores"]) if facts else int(index.max())
    if index.max() > count or index.min() < 0:
        raise InputError(f"expected values from 0 to {count}, got {index.min()} to {index.max()}")
    ids = {name: facts.get(name) for name in ("object_ids", "prompt_index")}
    fields = Fields.checked(count, facts.get("scores", np.ones(count)), ids)
    if count > 255 or count * height * width > DENSE_BYTES:
        return RunLengths(rle.encode_labels(index, count), (height, width)), fields
    numbers = np.arange(1, count + 1, dtype=index.dtype)
    return Pixels(checks.frozen(index == numbers[:, None, None])), fields


def _facts(text: str) -> dict[str, Any]:
    """Scores and ids that `_write_png` put beside the pixels."""
    facts = parse_json(text, "the text of the PNG")
    if not isinstance(facts, dict) or not isinstance(facts.get("scores"), list):
        raise InputError(f"the text of the PNG: expected scores, got {shown(facts)}")
    return facts


def _json_of(masks: Storage, fields: Fields, name: str, file_name: str) -> str:
    """The masks as ``coco``, ``jsonl`` or ``polygons``."""
    height, width = masks.image_size
    if name == "polygons":
        objects = [
            {
                "object_id": int(fields.object_ids[i]),
                "prompt_index": int(fields.prompt_index[i]),
                "score": float(fields.scores[i]),
                "rings": [ring.tolist() for ring in rings],
            }
            for i, rings in enumerate(map(outer_contours, masks))
        ]
        return json.dumps({"image_size": [height, width], "polygons": objects})
    annotations = to_coco(masks, fields, 1, 1, 1)
    if name == "jsonl":
        return "".join(json.dumps({"file_name": file_name, **one}) + "\n" for one in annotations)
    data_set = {
        "images": [{"id": 1, "width": width, "height": height, "file_name": file_name}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": annotations,
    }
    return json.dumps(data_set)


def _read_coco(file: IO[bytes]) -> tuple[Storage, Fields]:
    data = parse_json(file.read(), "it")
    if not isinstance(data, dict) or not {"images", "annotations"} <= data.keys():
        raise InputError("expected a COCO data set with 'images' and 'annotations'")
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
