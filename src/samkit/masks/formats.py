"""Masks to files and back. `Masks.save` describes the formats."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samkit import rle
from samkit.errors import InputError, shown
from samkit.files import checked_path, open_file, parse_json
from samkit.masks import checks, drawing
from samkit.masks.categories import Categories
from samkit.masks.documents import DOCUMENTS, read_document
from samkit.masks.fields import Fields
from samkit.masks.label_maps import read_label_picture
from samkit.masks.maps import MAPS, place_on_map
from samkit.masks.npz import read_npz, write_npz
from samkit.masks.storage import DENSE_BYTES, Pixels, RunLengths, Storage
from samkit.masks.voc import VOC
from samkit.media import ImageSource, write_atomically

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_SUFFIXES: dict[str, tuple[str, ...]] = {
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "overlay": _PICTURES,
    "cutout": (".png", ".webp", ".tif", ".tiff"),
    "coco": (".json",),
    "polygons": (".json",),
    "labelme": (".json",),
    "labelstudio": (".json",),
    "voc-class": (".png",),
    "voc-object": (".png",),
    "jsonl": (".jsonl",),
    "geojson": (".geojson",),
    "gpkg": (".gpkg",),
    "csv": (".csv",),
    "yolo": (".txt",),
    "npz": (".npz",),
}
FORMATS = tuple(_SUFFIXES)
"""Names of the formats that `Masks.save` takes."""

PICTURES_OF_THE_IMAGE = ("overlay", "cutout")
"""Those that need the pixels of the image."""

_PNG_KEY = "samkit"
# A foreign picture with larger values is not read as a label map: it may be a depth map.
_MOST_LABELS = 4096
_VOID = 255


def save(
    masks: Storage,
    fields: Fields,
    path: str | os.PathLike[str],
    name: str,
    image: ImageSource | None,
    categories: Categories,
) -> None:
    """Write masks in a format that needs no pixels of the image; see `Masks.save`."""
    source = image if isinstance(image, (str, os.PathLike)) else None
    place = place_on_map(name, source)
    file_name = _name_of(image, path, name)
    with write_atomically(path) as temporary:
        if place is not None:
            MAPS[name](masks, fields, temporary, place, categories)
            return
        with temporary.open("wb") as file:
            if name in _BINARY:
                _BINARY[name](masks, fields, file)
            elif name in VOC:
                VOC[name](masks, fields, categories, file)
            else:
                file.write(DOCUMENTS[name](masks, fields, file_name, categories).encode())


def _name_of(image: ImageSource | None, path: str | os.PathLike[str], name: str) -> str:
    """What a file in a format calls its image."""
    if not isinstance(image, (str, os.PathLike)):
        if name == "labelme":
            raise InputError(f"cannot save {path}: the format labelme names the image, give image=")
        return ""
    source = Path(image)
    if name == "labelstudio":  # which may know it by an address
        return image if isinstance(image, str) else source.as_posix()
    if name == "labelme":  # which looks for it from the folder of the file
        with suppress(ValueError):  # on another drive of Windows
            source = Path(os.path.relpath(source, Path(path).parent))
        return source.as_posix()
    return source.name


def load(path: str | os.PathLike[str]) -> tuple[Storage, Fields]:
    """See `Masks.load`."""
    path = checked_path(path, "a file of masks")
    readers: dict[str, Callable[[IO[bytes]], tuple[Storage, Fields]]] = {
        ".png": _read_labels,
        ".tif": _read_labels,
        ".tiff": _read_labels,
        ".json": lambda file: read_document(file.read()),
        ".npz": read_npz,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise InputError(f"cannot load {path}: expected a file .npz, .json, .png or .tif")
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
    if name in PICTURES_OF_THE_IMAGE and not has_image:
        raise InputError(f"cannot save {path}: the format {name} needs the image, give image=")
    return name


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
    image = Image.fromarray(_labels(masks, fields))
    if len(masks) < 256:
        colours = [drawing.colour_of(int(object_id)) for object_id in fields.object_ids]
        image.putpalette([value for colour in [(0, 0, 0), *colours] for value in colour])
    image.save(file, "PNG", pnginfo=info)


def _write_tiff(masks: Storage, fields: Fields, file: IO[bytes]) -> None:
    import tifffile  # takes long

    tifffile.imwrite(file, _labels(masks, fields), compression="zlib", predictor=True)


def _labels(masks: Storage, fields: Fields) -> npt.NDArray[Any]:
    """(H, W): mask i has the value i + 1; the best score is on top."""
    count = len(masks)
    kind = np.uint8 if count < 256 else np.uint16 if count < 65536 else np.uint32
    index = np.zeros(masks.image_size, kind)
    for i in drawing.painting_order(fields.scores):
        index[masks[i]] = i + 1
    return index


_BINARY: dict[str, Callable[[Storage, Fields, IO[bytes]], None]] = {
    "png": _write_png,
    "tiff": _write_tiff,
    "npz": write_npz,
}


def _read_labels(file: IO[bytes]) -> tuple[Storage, Fields]:
    labels = read_label_picture(file, "the picture")
    index, height, width = labels.values, *labels.values.shape
    if labels.is_lossy:
        raise InputError(f"expected a PNG or TIFF, got {labels.format}")
    facts = _facts(labels.texts[_PNG_KEY]) if _PNG_KEY in labels.texts else {}
    if labels.mode == "P" and len(facts.get("scores", ())) < _VOID:
        index = np.where(index == _VOID, 0, index)  # the border in Pascal VOC and DAVIS
    white = 1 if labels.mode == "1" else 255
    is_white = labels.mode in ("1", "L") and bool(np.isin(index, (0, white)).all())
    if is_white and (labels.format != "TIFF" or index.any()):
        index, count = (index != 0).astype(np.uint8), 1
    elif labels.mode in ("1", "L") and labels.format != "TIFF":
        raise InputError("expected a black and white picture, got shades of grey")
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
