"""Annotated images from the usual layouts: COCO JSON, folders of images and masks, DAVIS."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from samkit.errors import ImageError, InputError
from samkit.evaluation.coco import coco_mask, read_coco
from samkit.evaluation.layouts import annotated_folders
from samkit.evaluation.metrics import BoolArray
from samkit.files import checked_path
from samkit.limits import check_mask_size
from samkit.masks.label_maps import LabelMap, read_label_picture
from samkit.media import list_images, read_image

__all__ = [
    "VOID_LABEL",
    "AnnotatedImage",
    "CocoDataset",
    "Dataset",
    "MaskFolderDataset",
    "Subset",
    "is_black_and_white",
    "open_dataset",
    "read_label_map",
    "read_labels",
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

    Polygons and run lengths are read; crowd regions become ignored pixels. Numbers may be strings;
    see `samkit.evaluation.coco.read_coco`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = checked_path(path, "a COCO file of instances")
        self._images = read_coco(self.path)

    def __len__(self) -> int:
        return len(self._images)

    def image_paths(self) -> list[Path]:
        return [image.path for image in self._images]

    def __getitem__(self, index: int) -> AnnotatedImage:
        record = self._images[index]
        image = read_image(record.path)
        height, width = image.shape[:2]
        if record.size[0] not in (None, height) or record.size[1] not in (None, width):
            raise InputError(
                f"{self.path}: expected {record.path.name} of size {record.size} (height, width), "
                f"got {(height, width)}"
            )
        what = f"{self.path}, {record.path.name}"
        check_mask_size(len(record.annotations), height, width, what)
        ignore = np.zeros((height, width), bool)
        masks = []
        for annotation in record.annotations:
            mask = coco_mask(annotation.segmentation, (height, width), what)
            if annotation.is_crowd:
                ignore |= mask
            elif mask.any():
                masks.append(mask)
        stack = _stack(masks, (height, width))
        return AnnotatedImage(name=record.path.stem, image=image, masks=stack, ignore=ignore)


class MaskFolderDataset:
    """`images/NAME.*` and `masks/NAME.png`, whose values are instance ids.

    0 is background; in 8-bit masks 255 is void (ignored), unless the mask is black and white: then
    white is the only object. An image with several annotations, as in BSDS, has `masks/NAME_0.png`,
    `NAME_1.png`, ... and is an item for each. Sequences are such folders, or folders within both.
    They may be called `JPEGImages` and `Annotations`, as in DAVIS and YouTube-VOS, or
    `SegmentationObject`, as in Pascal VOC.
    """

    def __init__(self, root: str | os.PathLike[str], *, every: int = 1) -> None:
        _check_every(every)
        root = checked_path(root, "a folder of images and masks")
        self._items = [
            (f"{name}/{mask.stem}" if name else mask.stem, image, mask)
            for name, (images, masks) in annotated_folders(root).items()
            for image, mask in _image_mask_pairs(images, masks, every)
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
        ids = ids[ids > 0]
        check_mask_size(len(ids), image.shape[0], image.shape[1], str(mask_path))
        masks = _stack([labels == i for i in ids], labels.shape)
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


def open_dataset(path: str | os.PathLike[str], *, every: int = 1) -> Dataset:
    """Open annotated images of any of the layouts.

    Args:
        path: a COCO JSON file; or a folder with `instances.json`, with `images/` and `masks/`
            (or `JPEGImages/` and `Annotations/`), or with one folder of these per sequence.
        every: take only each n-th image, of sequences each n-th frame.

    Raises:
        InputError: none of these is there, or `every` is no whole number from 1 on.
    """
    _check_every(every)
    path = checked_path(path, "annotated images")
    if not os.path.exists(path):
        raise InputError(f"no such file or folder: {path}")
    instances = path / "instances.json" if os.path.isdir(path) else path
    if os.path.exists(instances):
        dataset = CocoDataset(instances)
        return dataset if every == 1 else Subset(dataset, range(0, len(dataset), every))
    return MaskFolderDataset(path, every=every)


def read_label_map(path: str | os.PathLike[str]) -> npt.NDArray[np.int32]:
    """A mask file of one channel, 8 or 16 bits -> (H, W) int32, the values as they are stored.

    Raises:
        ImageError: the file cannot be read, or is of another kind.
    """
    return _exact(checked_path(path, "a mask")).values.astype(np.int32)


def _exact(path: Path) -> LabelMap:
    picture = read_label_picture(path)
    if picture.is_lossy:
        raise ImageError(
            f"{path}: expected the numbers of objects, which {picture.format} does not keep: "
            "save masks as PNG"
        )
    return picture


def read_labels(path: Path, image_size: tuple[int, ...]) -> tuple[npt.NDArray[np.int32], BoolArray]:
    """The label map of an image, and where (H, W) an 8-bit one is 255 (in 16 bits that is an id).

    In a map that `is_black_and_white`, 255 may be an object.

    Raises:
        InputError: the file cannot be read, or has another size than the image (H, W).
    """
    picture = _exact(path)
    labels = picture.values.astype(np.int32)
    if labels.shape != image_size:
        raise InputError(f"{path}: expected the image's size {image_size}, got {labels.shape}")
    return labels, np.asarray((labels == VOID_LABEL) & picture.is_8_bit)


def is_black_and_white(labels: npt.NDArray[np.int32]) -> bool:
    """Whether a label map has no values but 0 and 255: one mask as `Masks.save` writes it."""
    return set(np.unique(labels).tolist()) <= {0, VOID_LABEL}


def _check_every(every: object) -> None:
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise InputError(f"every: expected a whole number from 1 on, got {every!r:.80}")


def _image_mask_pairs(images: Path, masks: Path, every: int) -> list[tuple[Path, Path]]:
    """Each n-th image that has masks, once for each mask."""
    paths = list_images(images)
    stems = {path.stem for path in paths}
    masks_of: dict[str, list[Path]] = defaultdict(list)
    for path in list_images(masks):
        name, _, number = path.stem.rpartition("_")
        own = path.stem in stems or not number.isdigit()
        masks_of[path.stem if own else name].append(path)
    annotated = [path for path in paths if masks_of[path.stem]]
    if not annotated:
        raise InputError(f"{images}: no image in it has a mask of the same name in {masks.name}/")
    return [(path, mask) for path in annotated[::every] for mask in masks_of[path.stem]]


def _stack(masks: list[BoolArray], size: tuple[int, ...]) -> BoolArray:
    return np.stack(masks) if masks else np.zeros((0, *size), bool)
