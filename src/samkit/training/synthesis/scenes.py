"""Training scenes: random crops of photographs with cut-outs and drawn shapes pasted over them.

A scene is a function of a random generator and the library of images, so that a seed names it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.training.config import SceneConfig
from samkit.training.data import CachedImage, Library
from samkit.training.synthesis.cutouts import Mask, Pixels, coverage, lay_over, pick_layer, texture
from samkit.training.synthesis.photometric import Light

__all__ = ["MAX_OBJECTS", "Scene", "crop_box", "draw_photograph", "make_scene", "visible_enough"]

# Objects of the photograph that are rendered for one scene; more would only cost time.
MAX_OBJECTS = 14
# A target must show at least this share of the object in the scene before things were pasted.
_MIN_VISIBLE = 0.25
# Scenes without any object that are thrown away before the data are blamed.
_ATTEMPTS = 1000


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A square picture and its objects.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        masks: (N, S, S) float32 coverage 0..1 of what is visible of each object.
        weights: (N,) how often each is to be asked for, relative to the others.
    """

    image: npt.NDArray[np.uint8]
    masks: Mask
    weights: npt.NDArray[np.float64]


def make_scene(library: Library, config: SceneConfig, size: int, rng: np.random.Generator) -> Scene:
    """A scene of `size` pixels a side with at least one object.

    Raises:
        InputError: the size is below 1, or the options and data leave no object large enough.
    """
    if size < 1:
        raise InputError(f"size: expected at least one pixel a side, got {size}")
    for _ in range(_ATTEMPTS):
        scene = _compose(library, config, size, rng)
        if len(scene.masks):
            return scene
    raise InputError(
        "no scene shows an object: expected annotated objects that cover at least "
        f"{config.min_area:.2%} of a picture"
    )


def visible_enough(area: float, whole: float, size: int, config: SceneConfig) -> bool:
    """Whether what is visible of an object, `area` of `whole` pixels, makes it a target."""
    return max(config.min_area * size**2, _MIN_VISIBLE * whole) <= area <= 0.97 * size**2


def draw_photograph(library: Library, rng: np.random.Generator) -> tuple[CachedImage, list[int]]:
    """An annotated image, and the numbers of the objects in it that a scene is to have."""
    source = library.images[rng.choice(len(library.images), p=library.weights)]
    cached = source[int(rng.integers(len(source)))]
    odds = np.array([item.weight for item in cached.objects])
    if not len(odds):
        return cached, []
    count = min(MAX_OBJECTS, len(odds))
    return cached, rng.choice(len(odds), count, replace=False, p=odds / odds.sum()).tolist()


def crop_box(
    cached: CachedImage, chosen: list[int], config: SceneConfig, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """x, y, width and height of a random part that shows the centre of the first chosen object."""
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


def _compose(library: Library, config: SceneConfig, size: int, rng: np.random.Generator) -> Scene:
    image, masks, weights = _background(library, config, size, rng)
    pastes = int(rng.integers(0, config.max_pastes + 1))
    if not masks:
        pastes = max(pastes, 2)
    whole = [float(mask.sum()) for mask in masks]
    for _ in range(pastes):
        layer = pick_layer(library, config, size, rng)
        if layer is None:
            continue
        colours, alpha = layer.placed(_placement(layer.mask.shape, layer.scale, size, rng), size)
        image = lay_over(image, layer, colours, alpha)
        masks = [mask * (1 - alpha) for mask in masks] + [alpha]
        whole.append(float(alpha.sum()))
        weights.append(1.0)
    kept = [
        i
        for i, mask in enumerate(masks)
        if visible_enough(float(mask.sum()), whole[i], size, config)
    ]
    return Scene(
        image=Light.random(config, size, rng).applied(image, rng),
        masks=np.stack([masks[i] for i in kept]) if kept else np.zeros((0, size, size), np.float32),
        # Large objects are what people click at.
        weights=np.array([weights[i] * float(masks[i].mean()) ** 0.5 for i in kept]),
    )


def _background(
    library: Library, config: SceneConfig, size: int, rng: np.random.Generator
) -> tuple[Pixels, list[Mask], list[float]]:
    """(S, S, 3), and the photograph's own objects."""
    if rng.random() < config.procedural_background:
        if library.backgrounds and rng.random() < 0.3:
            cached = library.backgrounds[int(rng.integers(len(library.backgrounds)))]
            return _crop(cached, [], config, size, rng)
        return texture(library, size, rng), [], []
    return _crop(*draw_photograph(library, rng), config, size, rng)


def _crop(
    cached: CachedImage,
    chosen: list[int],
    config: SceneConfig,
    size: int,
    rng: np.random.Generator,
) -> tuple[Pixels, list[Mask], list[float]]:
    """A random part of a photograph, perhaps mirrored, with its `chosen` objects."""
    x0, y0, w, h = crop_box(cached, chosen, config, rng)
    mirrored = rng.random() < 0.5
    image = _fit(cached.image[y0 : y0 + h, x0 : x0 + w], size, mirrored)
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
        masks.append(coverage(_fit(canvas, size, mirrored)))
        weights.append(item.weight)
    return image.astype(np.float32), masks, weights


def _fit(image: npt.NDArray[np.uint8], size: int, mirrored: bool) -> npt.NDArray[np.uint8]:
    shrinks = image.shape[0] > size or image.shape[1] > size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    image = np.asarray(cv2.resize(image, (size, size), interpolation=method), np.uint8)
    return image[:, ::-1] if mirrored else image


def _placement(
    shape: tuple[int, ...], scale: float, size: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """2x3 map from a layer to the scene: mirrored, slightly turned and stretched, moved."""
    h, w = shape[:2]
    angle = np.deg2rad(rng.normal(0, 12))
    stretch = 1.2 ** rng.uniform(-1, 1)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([mirror * scale * stretch, scale / stretch])
    centre = rng.uniform(0.05, 0.95, 2) * size
    offset = centre - linear @ np.array([w / 2, h / 2])
    return np.column_stack([linear, offset])
