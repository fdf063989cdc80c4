"""Training images in memory: small, with their objects cut to size."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.evaluation.datasets import MaskFolderDataset, open_dataset
from samkit.media import list_images, read_image
from samkit.training.config import DataSource, TrainingConfig

__all__ = ["CachedImage", "CachedObject", "Library", "load_library", "training_files"]

# A part of a figure is drawn this often, relative to a whole object.
_PART_WEIGHT = 0.1
# Connected parts smaller than this fraction of their class are left out.
_MIN_PART = 0.1
# Objects with fewer pixels than this in the cached image teach nothing.
_MIN_PIXELS = 30


@dataclass(frozen=True, kw_only=True)
class CachedObject:
    """One object of a cached image.

    Attributes:
        mask: (h, w) uint8 coverage 0..255, cut to the object.
        x, y: where its top left corner is in the image.
        weight: how often it is drawn, relative to the other objects of the image.
        whole: whether it is an object of its own, fit to be pasted elsewhere.
    """

    mask: npt.NDArray[np.uint8]
    x: int
    y: int
    weight: float = 1.0
    whole: bool = True


@dataclass(frozen=True, kw_only=True)
class CachedImage:
    """An image (H, W, 3) uint8 RGB and its objects."""

    image: npt.NDArray[np.uint8]
    objects: tuple[CachedObject, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Library:
    """All training images.

    Attributes:
        images: the annotated images of each source.
        weights: how often each source is drawn; sums to 1.
        paste_weights: how often each source gives objects to paste; sums to 1, or all are 0.
        backgrounds: photographs without annotation.
    """

    images: tuple[tuple[CachedImage, ...], ...]
    weights: tuple[float, ...]
    paste_weights: tuple[float, ...]
    backgrounds: tuple[CachedImage, ...]


def training_files(config: TrainingConfig) -> list[Path]:
    """Every image file that a run reads, annotated ones first."""
    files = [path for source in config.sources for path in open_dataset(source.path).image_paths()]
    return files + _background_files(config)


def load_library(config: TrainingConfig) -> Library:
    """Read everything that the run needs into memory.

    Raises:
        InputError: a source has no object in it, or a file cannot be used.
    """
    side = config.scenes.cache_side
    images = []
    for source in config.sources:
        cached = [c for c in _load_source(source, side) if c.objects]
        if not cached:
            raise InputError(f"{source.path}: expected at least one annotated object, got none")
        images.append(tuple(cached))
    return Library(
        images=tuple(images),
        weights=_normalised([source.weight for source in config.sources]),
        paste_weights=_normalised([source.paste_weight for source in config.sources]),
        backgrounds=tuple(
            CachedImage(image=_resized(read_image(path), side))
            for path in _background_files(config)
        ),
    )


def _background_files(config: TrainingConfig) -> list[Path]:
    return list_images(config.backgrounds) if config.backgrounds else []


def _load_source(source: DataSource, side: int) -> list[CachedImage]:
    dataset = open_dataset(source.path)
    if source.kind == "instances":
        items = (dataset[i] for i in range(len(dataset)))
        return [
            CachedImage(
                image=_resized(item.image, side),
                objects=_objects([(mask, 1.0, True) for mask in item.masks], side),
            )
            for item in items
        ]
    if not isinstance(dataset, MaskFolderDataset):
        raise InputError(f"{source.path}: classes are read from images/ and masks/ only")
    return [
        CachedImage(
            image=_resized(read_image(path), side),
            objects=_objects(_figure_and_parts(dataset.label_map(i)), side),
        )
        for i, path in enumerate(dataset.image_paths())
    ]


def _figure_and_parts(
    labels: npt.NDArray[np.int32],
) -> list[tuple[npt.NDArray[np.bool_], float, bool]]:
    """Class map -> the whole figure, each class, and the parts of classes that have several."""
    found = [(labels > 0, 1.0, True)]
    for label in np.unique(labels[labels > 0]):
        region = labels == label
        found.append((region, _PART_WEIGHT, False))
        _, parts, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
        areas = stats[1:, cv2.CC_STAT_AREA]
        large = np.flatnonzero(areas >= _MIN_PART * areas.sum()) + 1
        if len(large) > 1:
            found += [(parts == i, _PART_WEIGHT, False) for i in large]
    return found


def _objects(
    masks: list[tuple[npt.NDArray[np.bool_], float, bool]], side: int
) -> tuple[CachedObject, ...]:
    objects = []
    for mask, weight, whole in masks:
        small = _resized(mask.astype(np.uint8) * 255, side)
        solid = small > 127
        if solid.sum() < _MIN_PIXELS:
            continue
        x, y, w, h = cv2.boundingRect((small > 0).astype(np.uint8))
        cut = np.ascontiguousarray(small[y : y + h, x : x + w])
        objects.append(CachedObject(mask=cut, x=x, y=y, weight=weight, whole=whole))
    return tuple(objects)


def _resized(image: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Shrink so that the longest side is at most `side`."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _normalised(weights: list[float]) -> tuple[float, ...]:
    total = sum(weights)
    return tuple(weight / total if total > 0 else 0.0 for weight in weights)
