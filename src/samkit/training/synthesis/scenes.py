"""Training scenes: random crops of photographs with cutouts pasted into them.

The library of images and the state of the random generator determine a scene.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from samkit.errors import InputError
from samkit.geometry import checked_size
from samkit.training.config import SceneConfig
from samkit.training.data import CachedImage, Library
from samkit.training.synthesis.cutouts import (
    Cutout,
    Mask,
    Pixels,
    Size,
    coverage,
    random_cutout,
    texture,
)
from samkit.training.synthesis.photometric import PhotometricAugmentation

__all__ = [
    "Scene",
    "first_with_objects",
    "is_target",
    "make_scene",
    "random_crop_box",
    "random_photograph",
]

# Largest number of the photograph's objects in a scene; more would only cost time.
_MAX_OBJECTS = 14
# Smallest visible fraction of a target, relative to the object before others occlude it.
_MIN_VISIBLE = 0.25
# Attempts to synthesise a scene or clip with an object.
_ATTEMPTS = 1000

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An image and its objects.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W) float32 coverage 0..1 of the visible part of each object.
        weights: (N,) sampling weight of each object as a target of prompts.
    """

    image: npt.NDArray[np.uint8]
    masks: Mask
    weights: npt.NDArray[np.float64]


def make_scene(library: Library, config: SceneConfig, size: Size, rng: Generator) -> Scene:
    """A scene of `size` (height, width) with at least one object.

    Raises:
        InputError: the size is none, or the options and data leave no object large enough.
    """
    height, width = checked_size(size, "size")
    size = (height, width)
    return first_with_objects("scene", config, lambda: _compose(library, config, size, rng))


def first_with_objects(kind: str, config: SceneConfig, attempt: Callable[[], T | None]) -> T:
    """The first scene or clip that is not None, of a limited number of attempts."""
    for _ in range(_ATTEMPTS):
        if (result := attempt()) is not None:
            return result
    raise InputError(
        f"no {kind} shows an object: expected annotated objects that cover at least "
        f"{config.min_area:.2%} of a picture and are not too thin to be seen at its size"
    )


def is_target(area: float, whole: float, size: Size, config: SceneConfig) -> bool:
    """Whether an object is a target, of which `area` of `whole` pixels are not occluded."""
    all_pixels = size[0] * size[1]
    return max(config.min_area * all_pixels, _MIN_VISIBLE * whole) <= area <= 0.97 * all_pixels


def random_photograph(library: Library, rng: Generator) -> tuple[CachedImage, list[int]]:
    """An annotated image, and the indices of the objects in it to include in a scene."""
    cached = library.random_image(library.weights, rng)
    odds = np.array([item.weight for item in cached.objects])
    if not len(odds):
        return cached, []
    count = min(_MAX_OBJECTS, len(odds))
    return cached, rng.choice(len(odds), count, replace=False, p=odds / odds.sum()).tolist()


def random_crop_box(
    cached: CachedImage, chosen: list[int], config: SceneConfig, rng: Generator
) -> tuple[int, int, int, int]:
    """x, y, width and height of a random crop with the centre of the first chosen object in it."""
    height, width = cached.image.shape[:2]
    area = rng.uniform(*config.crop_area) if rng.random() < 0.6 else 1.0
    aspect = config.crop_aspect ** rng.uniform(-1, 1)
    w = int(np.clip(round(width * np.sqrt(area * aspect)), min(16, width), width))
    h = int(np.clip(round(height * np.sqrt(area / aspect)), min(16, height), height))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    if chosen:
        first = cached.objects[chosen[0]]
        cx, cy = first.x + first.mask.shape[1] / 2, first.y + first.mask.shape[0] / 2
        x = int(np.clip(cx - w * rng.uniform(0.1, 0.9), 0, width - w))
        y = int(np.clip(cy - h * rng.uniform(0.1, 0.9), 0, height - h))
    return x, y, w, h


def _compose(library: Library, config: SceneConfig, size: Size, rng: Generator) -> Scene | None:
    """A scene, or None if no object in it is a target."""
    image, masks, weights = _background(library, config, size, rng)
    least = 0 if masks else 1
    pastes = int(rng.integers(least, config.max_pastes + 1)) if config.max_pastes else 0
    whole = [float(mask.sum()) for mask in masks]
    for _ in range(pastes):
        cutout = random_cutout(library, config, min(size), rng)
        if cutout is None:
            continue
        colours, alpha = cutout.warp_affine(_random_affine(cutout, size, rng), size)
        image = cutout.composite(image, colours, alpha)
        masks = [mask * (1 - alpha) for mask in masks] + [alpha]
        whole.append(float(alpha.sum()))
        weights.append(1.0)
    augmented = PhotometricAugmentation.sample(config, min(size), rng).apply(image, rng)
    areas = [float(mask.sum()) for mask in masks]
    kept = [i for i, area in enumerate(areas) if is_target(area, whole[i], size, config)]
    if not kept:
        return None
    return Scene(
        image=augmented,
        masks=np.stack([masks[i] for i in kept]),
        # Users mostly prompt large objects.
        weights=np.array([weights[i] * float(masks[i].mean()) ** 0.5 for i in kept]),
    )


def _background(
    library: Library, config: SceneConfig, size: Size, rng: Generator
) -> tuple[Pixels, list[Mask], list[float]]:
    """(H, W, 3), and masks and weights of the photograph's own objects."""
    if rng.random() < config.procedural_background:
        if library.backgrounds and rng.random() < 0.3:
            cached = library.backgrounds[int(rng.integers(len(library.backgrounds)))]
            return _crop(cached, [], config, size, rng)
        return texture(library, max(size), rng)[: size[0], : size[1]], [], []
    return _crop(*random_photograph(library, rng), config, size, rng)


def _crop(
    cached: CachedImage, chosen: list[int], config: SceneConfig, size: Size, rng: Generator
) -> tuple[Pixels, list[Mask], list[float]]:
    """A random crop of a photograph, perhaps flipped, with its `chosen` objects."""
    x0, y0, w, h = random_crop_box(cached, chosen, config, rng)
    flipped = rng.random() < 0.5
    image = _resized(cached.image[y0 : y0 + h, x0 : x0 + w], size, flipped)
    masks, weights = [], []
    for index in chosen:
        item = cached.objects[index]
        mh, mw = item.mask.shape
        left, top = max(item.x, x0), max(item.y, y0)
        right, bottom = min(item.x + mw, x0 + w), min(item.y + mh, y0 + h)
        if left >= right or top >= bottom:
            continue
        canvas = np.zeros((h, w), np.uint8)
        canvas[top - y0 : bottom - y0, left - x0 : right - x0] = item.mask[
            top - item.y : bottom - item.y, left - item.x : right - item.x
        ]
        masks.append(coverage(_resized(canvas, size, flipped)))
        weights.append(item.weight)
    return image.astype(np.float32), masks, weights


def _resized(image: npt.NDArray[np.uint8], size: Size, flipped: bool) -> npt.NDArray[np.uint8]:
    shrinks = image.shape[0] > size[0] or image.shape[1] > size[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    image = np.asarray(cv2.resize(image, size[::-1], interpolation=method), np.uint8)
    return image[:, ::-1] if flipped else image


def _random_affine(cutout: Cutout, size: Size, rng: Generator) -> npt.NDArray[np.float64]:
    """2x3 map from a cutout to the scene: scale, flip, slight rotation and stretch, translation."""
    (h, w), scale = cutout.mask.shape, cutout.scale
    angle = np.deg2rad(rng.normal(0, 12))
    stretch = 1.2 ** rng.uniform(-1, 1)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.diag([flip * scale * stretch, scale / stretch])
    centre = rng.uniform(0.05, 0.95, 2) * size[::-1]
    offset = centre - linear @ np.array([w / 2, h / 2])
    return np.column_stack([linear, offset])
