"""Masks to files and back, and as COCO annotations. `Masks.save` describes the formats."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samkit import rle
from samkit.errors import InputError
from samkit.geometry import checked_size
from samkit.masks import checks, drawing
from samkit.masks.contours import outer_contours
from samkit.masks.fields import FIELD_NAMES, Fields
from samkit.masks.storage import Pixels, RunLengths, Storage
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
_NPZ_VERSION = 1
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
            _write_npz(masks, fields, file)
        else:
            file_name = Path(image).name if isinstance(image, (str, os.PathLike)) else ""
            file.write(_json_of(masks, fields, name, file_name).encode())


def load(path: str | os.PathLike[str]) -> tuple[Storage, Fields]:
    """See `Masks.load`."""
    path = Path(path)
    readers: dict[str, Callable[[IO[bytes]], tuple[Storage, Fields]]] = {
        ".png": _read_png,
        ".json": _read_coco,
        ".npz": _read_npz,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise InputError(f"cannot load {path}: expected a file .npz, .json or .png")
    try:
        with path.open("rb") as file:
            return read(file)
    except InputError as error:
        raise InputError(f"cannot load {path}: {error}") from error
    except OSError as error:
        raise InputError(f"cannot load {path}: {error.strerror or error}") from error
    except MemoryError:
        raise
    except Exception as error:  # readers of damaged files raise nearly anything
        raise InputError(f"cannot load {path}: it is damaged, or not a file of masks") from error


def format_of(path: str | os.PathLike[str], name: str | None, *, has_image: bool) -> str:
    """The format that `Masks.save` writes to a path, asked for by name or by the suffix.

    Raises:
        InputError: unknown format, or a suffix that does not fit it.
    """
    suffix = Path(path).suffix.lower()
    if name is None:
        fitting = [known for known, ends in _SUFFIXES.items() if suffix in ends]
        if not fitting:
            known = ", ".join(sorted({end for ends in _SUFFIXES.values() for end in ends}))
            raise InputError(f"cannot save {path}: expected one of the suffixes {known}")
        name = "overlay" if has_image and "overlay" in fitting else fitting[0]
    if name not in _SUFFIXES:
        raise InputError(f"expected one of the formats {', '.join(FORMATS)}, got {name!r}")
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
    with Image.open(file, formats=["PNG"]) as image:
        text = getattr(image, "text", {}).get(_PNG_KEY)
        index, mode = np.asarray(image), image.mode
    if mode not in ("1", "L", "P", "I;16", "I"):
        raise InputError(f"expected a black and white or an indexed picture, got mode {mode}")
    facts: dict[str, Any] = {} if text is None else json.loads(text)
    if mode in ("1", "L"):
        if not np.isin(index, (0, 1 if mode == "1" else 255)).all():
            raise InputError("expected a black and white picture, got shades of grey")
        index, count = (index != 0).astype(np.uint8), 1
    elif not facts and index.max() > _MOST_LABELS:
        raise InputError(f"expected labels up to {_MOST_LABELS}, got {index.max()}")
    else:
        count = len(facts["scores"]) if facts else int(index.max())
    if index.max() > count:
        raise InputError(f"expected values up to {count}, got {index.max()}")
    ids = {name: facts.get(name) for name in ("object_ids", "prompt_index")}
    fields = Fields.checked(count, facts.get("scores", np.ones(count)), ids)
    if count < 256:
        numbers = np.arange(1, count + 1, dtype=index.dtype)
        return Pixels(checks.frozen(index == numbers[:, None, None])), fields
    height, width = index.shape
    return RunLengths(rle.encode(index == i + 1 for i in range(count)), (height, width)), fields


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
    data = json.load(file)
    if not isinstance(data, dict) or not {"images", "annotations"} <= data.keys():
        raise InputError("expected a COCO data set with 'images' and 'annotations'")
    if len(data["images"]) != 1:
        raise InputError(f"expected the masks of one image, got {len(data['images'])} images")
    image, annotations = data["images"][0], data["annotations"]
    masks = RunLengths.checked(
        [one["segmentation"] for one in annotations], (image["height"], image["width"])
    )
    given: dict[str, Any] = {}
    keys = {"object_id": "object_ids", "prompt_index": "prompt_index", **_COCO_KEYS}
    for key, name in keys.items():
        if annotations and all(key in one for one in annotations):
            given[name] = [one[key] for one in annotations]
    if annotations and all("bbox" in one for one in annotations):
        xywh = np.array([one["bbox"] for one in annotations], np.float64)
        given["boxes"] = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    scores = [one.get("score", 1.0) for one in annotations]
    return masks, Fields.checked(len(masks), scores, given)


def _write_npz(masks: Storage, fields: Fields, file: IO[bytes]) -> None:
    height, width = masks.image_size
    packed = np.empty((len(masks), height, (width + 7) // 8), np.uint8)
    for row, mask in zip(packed, masks, strict=True):
        row[...] = np.packbits(mask, axis=1)
    arrays: dict[str, Any] = {
        "samkit_masks": np.array(_NPZ_VERSION),
        "packed": packed,
        "image_size": np.array(masks.image_size),
        "compressed": np.array(isinstance(masks, RunLengths)),
        "boxes": fields.boxes_of(masks),
        **fields.arrays(),
    }
    np.savez_compressed(file, **arrays)


def _read_npz(file: IO[bytes]) -> tuple[Storage, Fields]:
    archive = np.load(file, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile) or "samkit_masks" not in archive:
        raise InputError("expected masks that were saved by samkit")
    with archive as data:
        if int(data["samkit_masks"]) != _NPZ_VERSION:
            raise InputError(
                f"expected version {_NPZ_VERSION} of the file, got {int(data['samkit_masks'])}"
            )
        arrays = {name: data[name] for name in data}
    height, width = checked_size(arrays["image_size"], "image size")
    packed: npt.NDArray[np.uint8] = arrays["packed"]
    if packed.ndim != 3 or packed.shape[1:] != (height, (width + 7) // 8):
        raise InputError(f"expected packed masks of {height} x {width}, got {packed.shape}")
    given = {name: arrays.get(name) for name in FIELD_NAMES[1:]}
    fields = Fields.checked(len(packed), arrays["scores"], given)
    if not arrays["compressed"]:
        stack = np.unpackbits(packed, axis=2, count=width).view(np.bool_)
        return Pixels(checks.frozen(stack)), fields
    one_by_one = (np.unpackbits(row, axis=1, count=width).view(np.bool_) for row in packed)
    return RunLengths(rle.encode(one_by_one), (height, width)), fields
