"""A cache of downscaled training images and their objects."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import overload

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from samkit.errors import InputError, SamkitError
from samkit.evaluation.datasets import VOID_LABEL, Dataset, MaskFolderDataset, Subset, open_dataset
from samkit.evaluation.metrics import BoolArray
from samkit.media import list_images, read_image
from samkit.training.config import DataSource, TrainingConfig

__all__ = [
    "CachedImage",
    "CachedObject",
    "CachedSource",
    "Library",
    "held_out",
    "load_library",
    "training_files",
]

# Sampling weight of a class or component, relative to the whole foreground.
_PART_WEIGHT = 0.1
# Connected components smaller than this fraction of their class are left out.
_MIN_PART = 0.1
# Objects with fewer pixels than this in the cached image are left out.
_MIN_PIXELS = 30


@dataclass(frozen=True, kw_only=True)
class CachedObject:
    """One object of a cached image.

    Attributes:
        mask: (h, w) uint8 coverage 0..255, cropped to the object.
        x, y: position of its top left corner in the image.
        weight: sampling weight among the objects of the image.
        whole: whether it is a whole object, which can be pasted elsewhere.
    """

    mask: npt.NDArray[np.uint8]
    x: int
    y: int
    weight: float = 1.0
    whole: bool = True


@dataclass(frozen=True, kw_only=True)
class CachedImage:
    """An image and its objects.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        objects: those that are large enough.
        too_small: how many others there are.
        is_readable: False where the file cannot be read; the image is black then.
    """

    image: npt.NDArray[np.uint8]
    objects: tuple[CachedObject, ...] = ()
    too_small: int = 0
    is_readable: bool = True


class CachedSource(Sequence[CachedImage]):
    """The images of a source, cached at their first use while there is room.

    Args:
        read: reads the image of an index.
        count: number of images.
        limit: size of the cache in bytes; images beyond it are read again each time.
    """

    def __init__(self, read: Callable[[int], CachedImage], count: int, limit: float) -> None:
        self._read = read
        self._count = count
        self._kept: dict[int, CachedImage] = {}
        self._room = limit

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> CachedImage: ...

    @overload
    def __getitem__(self, index: slice) -> list[CachedImage]: ...

    def __getitem__(self, index: int | slice) -> CachedImage | list[CachedImage]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        if (kept := self._kept.get(index)) is not None:
            return kept
        cached = self._read(index)
        size = cached.image.nbytes + sum(item.mask.nbytes for item in cached.objects)
        if size <= self._room:
            self._kept[index] = cached
            self._room -= size
        return cached


@dataclass(frozen=True, kw_only=True)
class Library:
    """All training images.

    Attributes:
        images: the images of each source; some may have no object.
        weights: sampling probability of each source.
        paste_weights: the same for objects to paste, or all 0.
        backgrounds: photographs without annotation.
    """

    images: tuple[Sequence[CachedImage], ...]
    weights: tuple[float, ...]
    paste_weights: tuple[float, ...]
    backgrounds: Sequence[CachedImage]

    def random_image(self, weights: tuple[float, ...], rng: Generator) -> CachedImage:
        """An image of a source sampled by `weights`."""
        while True:  # every source was found to have an image that can be read
            source = self.images[rng.choice(len(self.images), p=weights)]
            cached = source[int(rng.integers(len(source)))]
            if cached.is_readable:
                return cached


def training_files(config: TrainingConfig) -> list[Path]:
    """Every image file of the training set, annotated ones first."""
    sources = [_split(source, config, held_out=False) for source in config.sources]
    return [path for source in sources for path in source.image_paths()] + _backgrounds(config)


def held_out(config: TrainingConfig) -> list[Dataset]:
    """The validation sets: `config.validation` and held-out images."""
    datasets: list[Dataset] = [open_dataset(path) for path in config.validation]
    if config.hold_out:
        datasets += [_split(source, config, held_out=True) for source in config.sources]
    return datasets


def load_library(config: TrainingConfig) -> Library:
    """The training set of a run; files are read when they are first needed.

    Raises:
        InputError: a source has no object in it, or a file cannot be used.
    """
    backgrounds = _backgrounds(config)
    side = config.scenes.cache_side
    room = config.cache_megabytes * 1e6 / (len(config.sources) + 1)
    return Library(
        images=tuple(_open_source(source, config, room) for source in config.sources),
        weights=_normalised([source.weight for source in config.sources]),
        paste_weights=_normalised([source.paste_weight for source in config.sources]),
        backgrounds=CachedSource(
            lambda i: CachedImage(image=_resized(read_image(backgrounds[i]), side)),
            len(backgrounds),
            room,
        ),
    )


def _split(source: DataSource, config: TrainingConfig, *, held_out: bool) -> Subset:
    """The images of a source that are held out, or the others.

    All annotations of an image are held out together.
    """
    dataset = open_dataset(source.path)
    paths = dataset.image_paths()
    places = {path: i for i, path in enumerate(dict.fromkeys(paths))}
    n = config.hold_out
    held = [n > 0 and places[path] % n == 0 for path in paths]
    chosen = [fnmatchcase(path.name, source.names) for path in paths]
    return Subset(dataset, [i for i in range(len(paths)) if chosen[i] and held[i] == held_out])


def _backgrounds(config: TrainingConfig) -> list[Path]:
    return list_images(config.backgrounds) if config.backgrounds else []


def _open_source(source: DataSource, config: TrainingConfig, room: float) -> CachedSource:
    images = _split(source, config, held_out=False)
    side = config.scenes.cache_side
    classes = images.dataset if source.kind == "classes" else None
    if classes is not None and not isinstance(classes, MaskFolderDataset):
        raise InputError(f"{source.path}: classes are read from images/ and masks/ only")

    def read(i: int) -> CachedImage:
        try:
            if classes is not None:
                image = read_image(images.image_paths()[i])
                labels = classes.label_map(images.numbers[i])
                objects = _foreground_and_parts(np.where(labels == VOID_LABEL, 0, labels))
            else:
                item = images[i]
                image, objects = item.image, [(mask, 1.0, True) for mask in item.masks]
        except SamkitError as error:  # one bad file must not end a long run
            warnings.warn(f"left out: {error}", stacklevel=2)
            return CachedImage(image=np.zeros((16, 16, 3), np.uint8), is_readable=False)
        kept = _objects(objects, side)
        return CachedImage(
            image=_resized(image, side), objects=kept, too_small=len(objects) - len(kept)
        )

    if not len(images):
        of_name = f" is called {source.names}" if source.names != "*" else " is left"
        raise InputError(
            f"{source.path}: no annotated image{of_name}, with those held out not counted"
        )
    cached = CachedSource(read, len(images), room)
    _check_source(source.path, cached, side)
    return cached


def _check_source(path: str, images: CachedSource, side: int) -> None:
    """Read images until one has an object.

    Raises:
        InputError: none has one; the message says why.
    """
    with warnings.catch_warnings(record=True) as left_out:
        has_object = any(image.objects for image in images)
        too_small = 0 if has_object else sum(image.too_small for image in images)
    if not has_object:
        why = f" ({left_out[0].message})" if left_out else ""
        if too_small:
            why = (
                f" but {too_small} that are too small: they cover less than {_MIN_PIXELS} "
                f"pixels of their image, shrunk to {side} pixels where it is larger{why}"
            )
        raise InputError(f"{path}: expected at least one annotated object, got none{why}")
    for warning in left_out:
        warnings.warn(warning.message, stacklevel=2)


def _foreground_and_parts(labels: npt.NDArray[np.int32]) -> list[tuple[BoolArray, float, bool]]:
    """Class map -> the whole foreground, each class, and the components of those with several."""
    objects = [(labels > 0, 1.0, True)]
    for label in np.unique(labels[labels > 0]):
        region = labels == label
        objects.append((region, _PART_WEIGHT, False))
        _, parts, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
        areas = stats[1:, cv2.CC_STAT_AREA]
        large = np.flatnonzero(areas >= _MIN_PART * areas.sum()) + 1
        if len(large) > 1:
            objects += [(parts == i, _PART_WEIGHT, False) for i in large]
    return objects


def _objects(masks: list[tuple[BoolArray, float, bool]], side: int) -> tuple[CachedObject, ...]:
    objects = []
    for mask, weight, whole in masks:
        small = _resized(mask.astype(np.uint8) * 255, side)
        if (small > 127).sum() < _MIN_PIXELS:
            continue
        x, y, w, h = cv2.boundingRect((small > 0).astype(np.uint8))
        cut = np.ascontiguousarray(small[y : y + h, x : x + w])
        objects.append(CachedObject(mask=cut, x=x, y=y, weight=weight, whole=whole))
    return tuple(objects)


def _resized(image: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Downscaled so that the longest side is at most `side`."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _normalised(weights: list[float]) -> tuple[float, ...]:
    total = sum(weights)
    return tuple(weight / total if total > 0 else 0.0 for weight in weights)
