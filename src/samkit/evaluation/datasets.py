"""Annotated images from the usual layouts: COCO JSON, folders of images and masks, DAVIS."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco

from samkit.errors import InputError
from samkit.evaluation.metrics import BoolArray
from samkit.media import list_images, read_image
from samkit.rle import checked_counts, decode_one

__all__ = [
    "VOID_LABEL",
    "AnnotatedImage",
    "CocoDataset",
    "Dataset",
    "MaskFolderDataset",
    "Subset",
    "is_black_and_white",
    "mask_folders",
    "open_dataset",
    "read_label_map",
    "read_labels",
    "sequence_folders",
]

VOID_LABEL = 255
"""Label of the pixels of an 8-bit mask that count neither for nor against a prediction."""


@dataclass(frozen=True, kw_only=True)
class AnnotatedImage:
    """One image and the objects in it.

    Attributes:
        name: in reports.
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W) bool, one per object.
        ignore: (H, W) bool, pixels without annotation.
    """

    name: str
    image: npt.NDArray[np.uint8]
    masks: BoolArray
    ignore: BoolArray

    def areas(self) -> npt.NDArray[np.float64]:
        """(N,) fraction of the image that each object covers."""
        return np.asarray(self.masks.mean((1, 2)))

    def objects_from(self, min_area: float) -> npt.NDArray[np.intp]:
        """Indices of the objects that cover some pixel and at least this fraction of the image."""
        areas = self.areas()
        return np.flatnonzero((areas >= min_area) & (areas > 0))


class Dataset(Protocol):
    """Annotated images by number, read at each access."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> AnnotatedImage: ...

    def image_paths(self) -> list[Path]:
        """The image files, in order."""
        ...


class CocoDataset:
    """A COCO file of instances, with its images in `images/` beside it or in the same folder.

    Polygons and run lengths are read; crowd regions become ignored pixels. Numbers may be strings.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            self._images = sorted(content["images"], key=lambda image: str(image["file_name"]))
            annotations = content["annotations"]
            nameless = [image["id"] for image in self._images if not str(image["file_name"])]
            if not isinstance(annotations, list):
                raise TypeError("annotations: expected a list")
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{self.path} is not a COCO file of instances: {error!r}") from error
        if nameless:
            raise InputError(f"{self.path}: the image with id {nameless[0]} has no file_name")
        if not self._images:
            raise InputError(f"{self.path}: expected at least one image, got none")
        self._annotations: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for annotation in annotations:
            needed = {"image_id", "segmentation"}
            if not isinstance(annotation, dict) or not needed <= annotation.keys():
                raise InputError(
                    f"{self.path}: expected annotations with image_id and segmentation, "
                    f"got {annotation!r:.80}"
                )
            self._annotations[str(annotation["image_id"])].append(annotation)
        folder = self.path.parent / "images"
        self._folder = folder if folder.is_dir() else self.path.parent

    def __len__(self) -> int:
        return len(self._images)

    def image_paths(self) -> list[Path]:
        return [self._folder / str(image["file_name"]) for image in self._images]

    def __getitem__(self, index: int) -> AnnotatedImage:
        record = self._images[index]
        path = self._folder / str(record["file_name"])
        image = read_image(path)
        size = image.shape[:2]
        stated = (record.get("height", size[0]), record.get("width", size[1]))
        if tuple(map(str, stated)) != tuple(map(str, size)):
            raise InputError(
                f"{self.path}: expected {path.name} of size {stated} (height, width), got {size}"
            )
        ignore = np.zeros(size, bool)
        masks = []
        for annotation in self._annotations[str(record["id"])]:
            mask = _coco_mask(annotation["segmentation"], size, self.path)
            if str(annotation.get("iscrowd", 0)) not in ("0", "None", "False"):
                ignore |= mask
            elif mask.any():
                masks.append(mask)
        return AnnotatedImage(name=path.stem, image=image, masks=_stack(masks, size), ignore=ignore)


class MaskFolderDataset:
    """`images/NAME.*` and `masks/NAME.png`, whose values are instance ids.

    0 is background; in 8-bit masks 255 is void (ignored), unless the mask is black and white: then
    white is the only object. An image with several annotations, as in BSDS, has `masks/NAME_0.png`,
    `NAME_1.png`, ... and is an item for each. In DAVIS's layout, each sequence is such a folder.
    """

    def __init__(self, root: str | Path, *, every: int = 1) -> None:
        root = Path(root)
        folders = {"": root}
        if not (root / "masks").is_dir():
            folders = {f"{folder.name}/": folder for folder in sequence_folders(root)}
        self._items = [
            (prefix + mask.stem, image, mask)
            for prefix, folder in folders.items()
            for image, mask in _image_mask_pairs(folder, every)
        ]

    def __len__(self) -> int:
        return len(self._items)

    def image_paths(self) -> list[Path]:
        return [image for _, image, _ in self._items]

    def label_map(self, index: int) -> npt.NDArray[np.int32]:
        """The mask of an image as it is stored: (H, W) int32."""
        return read_label_map(self._items[index][2])

    def __getitem__(self, index: int) -> AnnotatedImage:
        name, path, mask_path = self._items[index]
        image = read_image(path)
        labels, ignore = read_labels(mask_path, image.shape[:2])
        if ignore.any() and is_black_and_white(labels):
            ignore = np.zeros_like(ignore)
        ids = np.unique(labels[~ignore])
        masks = _stack([labels == i for i in ids[ids > 0]], labels.shape)
        return AnnotatedImage(name=name, image=image, masks=masks, ignore=ignore)


class Subset:
    """Some images of another data set, by their numbers in it."""

    def __init__(self, dataset: Dataset, numbers: Sequence[int]) -> None:
        self.dataset = dataset
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def image_paths(self) -> list[Path]:
        paths = self.dataset.image_paths()
        return [paths[i] for i in self.numbers]

    def __getitem__(self, index: int) -> AnnotatedImage:
        return self.dataset[self.numbers[index]]


def open_dataset(path: str | Path, *, every: int = 1) -> Dataset:
    """Open annotated images of any of the layouts.

    Args:
        path: a COCO JSON file; or a folder with `instances.json`, with `images/` and `masks/`, or
            with one folder of `images/` and `masks/` per sequence.
        every: take only each n-th image, of sequences each n-th frame.

    Raises:
        InputError: none of these is there.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    instances = path if path.is_file() else path / "instances.json"
    if instances.is_file():
        dataset = CocoDataset(instances)
        return dataset if every == 1 else Subset(dataset, range(0, len(dataset), every))
    return MaskFolderDataset(path, every=every)


def mask_folders(root: Path) -> tuple[Path, Path]:
    """`images/` and `masks/` in a folder.

    Raises:
        InputError: one of them is missing.
    """
    images, masks = root / "images", root / "masks"
    if not images.is_dir() or not masks.is_dir():
        raise InputError(f"{root}: expected the folders images/ and masks/ in it")
    return images, masks


def sequence_folders(root: Path) -> list[Path]:
    """The folders in a folder that have `masks/` in them, sorted.

    Raises:
        InputError: there is none.
    """
    folders = sorted(folder for folder in root.iterdir() if (folder / "masks").is_dir())
    if not folders:
        raise InputError(f"{root}: expected folders with images/ and masks/ in them")
    return folders


def read_label_map(path: str | Path) -> npt.NDArray[np.int32]:
    """A mask file of one channel, 8 or 16 bits -> (H, W) int32, the values as they are stored."""
    try:
        # Palette images hold their labels as indices, which PIL keeps and OpenCV would not.
        with Image.open(path) as image:
            labels = np.asarray(image)
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the mask {path}: {error}") from error
    if labels.ndim != 2:
        raise InputError(f"{path}: expected a mask of one channel, got shape {labels.shape}")
    return labels.astype(np.int32)


def read_labels(path: Path, image_size: tuple[int, ...]) -> tuple[npt.NDArray[np.int32], BoolArray]:
    """The label map of an image, and where (H, W) an 8-bit one is 255 (in 16 bits that is an id).

    In a map that `is_black_and_white`, 255 may be an object.

    Raises:
        InputError: the file cannot be read, or has another size than the image (H, W).
    """
    labels = read_label_map(path)
    if labels.shape != image_size:
        raise InputError(f"{path}: expected the image's size {image_size}, got {labels.shape}")
    void = np.asarray(labels == VOID_LABEL)
    if void.any():
        with Image.open(path) as image:
            void &= not image.mode.startswith("I")
    return labels, void


def is_black_and_white(labels: npt.NDArray[np.int32]) -> bool:
    """Whether a label map has no values but 0 and 255: one mask as `Masks.save` writes it."""
    return set(np.unique(labels).tolist()) <= {0, VOID_LABEL}


def _image_mask_pairs(folder: Path, every: int) -> list[tuple[Path, Path]]:
    """Each n-th image that has masks, once for each mask."""
    images, masks = mask_folders(folder)
    paths = list_images(images)
    stems = {path.stem for path in paths}
    masks_of: dict[str, list[Path]] = defaultdict(list)
    for path in list_images(masks):
        name, _, number = path.stem.rpartition("_")
        own = path.stem in stems or not number.isdigit()
        masks_of[path.stem if own else name].append(path)
    annotated = [path for path in paths if masks_of[path.stem]]
    if not annotated:
        raise InputError(f"{folder}: no image in images/ has a mask of the same name")
    return [(path, mask) for path in annotated[::every] for mask in masks_of[path.stem]]


def _coco_mask(segmentation: Any, size: tuple[int, ...], path: Path) -> BoolArray:
    height, width = size
    if isinstance(segmentation, str):
        try:
            segmentation = json.loads(segmentation)
        except ValueError as error:
            raise InputError(f"{path}: cannot parse a segmentation: {error}") from error
    if isinstance(segmentation, dict):
        name = f"a mask of {path}"
        return decode_one(checked_counts(segmentation, (height, width), name), (height, width))
    if not isinstance(segmentation, list) or not segmentation:
        raise InputError(f"{path}: expected polygons or run lengths, got {segmentation!r:.80}")
    outlines = [_outline(one, size, path) for one in segmentation]
    # As COCO draws them: a pixel belongs to a polygon if its centre lies inside.
    merged = coco.merge(coco.frPyObjects(outlines, height, width))
    return decode_one(merged["counts"], (height, width))


def _outline(outline: Any, size: tuple[int, ...], path: Path) -> list[float]:
    """A polygon x0, y0, x1, y1, ...; checked, because pycocotools trusts it."""
    try:
        points = np.asarray(outline, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.zeros(0)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
        raise InputError(f"{path}: an outline is not a polygon: {outline!r:.80}")
    if np.abs(points).max() > 100 * max(size):
        raise InputError(f"{path}: a polygon lies far outside of its image: {outline!r:.80}")
    corners: list[float] = points.tolist()
    return corners


def _stack(masks: list[BoolArray], size: tuple[int, ...]) -> BoolArray:
    return np.stack(masks) if masks else np.zeros((0, *size), bool)
