"""Training scenes: random crops of photographs with cut-outs and drawn shapes pasted over them.

A scene is a function of a random generator and the library of images, so that a seed names it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from samkit.training.config import SceneConfig
from samkit.training.data import CachedImage, Library

__all__ = ["Scene", "make_scene"]

# Objects of the photograph that are rendered for one scene; more would only cost time.
_MAX_OBJECTS = 14
# A target must show at least this share of the object in the scene before things were pasted.
_MIN_VISIBLE = 0.25
# Cut-outs smaller than this (longest side in pixels) are not pasted.
_MIN_CUT = 32

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A square picture and its objects.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        masks: (N, S, S) float32 coverage 0..1 of what is visible of each object.
        weights: (N,) how often each is to be asked for, relative to the others.
    """

    image: Pixels
    masks: Mask
    weights: npt.NDArray[np.float64]


def make_scene(library: Library, config: SceneConfig, size: int, rng: np.random.Generator) -> Scene:
    """A scene of `size` pixels a side with at least one object."""
    while True:
        scene = _compose(library, config, size, rng)
        if len(scene.masks):
            return scene


def _compose(library: Library, config: SceneConfig, size: int, rng: np.random.Generator) -> Scene:
    image, masks, weights = _background(library, config, size, rng)
    pastes = int(rng.integers(0, config.max_pastes + 1))
    if not masks:
        pastes = max(pastes, 2)
    whole_areas = [float(mask.sum()) for mask in masks]
    for _ in range(pastes):
        pasted = _paste(library, config, size, rng)
        if pasted is None:
            continue
        colours, alpha = pasted
        image = image + (colours - image) * alpha[..., None]
        masks = [mask * (1 - alpha) for mask in masks] + [alpha]
        whole_areas.append(float(alpha.sum()))
        weights.append(1.0)
    kept = [
        i
        for i, mask in enumerate(masks)
        if (area := float(mask.sum())) >= config.min_area * size * size
        and area >= _MIN_VISIBLE * whole_areas[i]
        and area <= 0.97 * size * size
    ]
    return Scene(
        image=_photometric(image, config, rng),
        masks=np.stack([masks[i] for i in kept]) if kept else np.zeros((0, size, size), np.float32),
        # Large objects are what people click at.
        weights=np.array([weights[i] * float(masks[i].mean()) ** 0.5 for i in kept]),
    )


def _background(
    library: Library, config: SceneConfig, size: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], list[Mask], list[float]]:
    """(S, S, 3) float32 with values 0..255, and the photograph's own objects."""
    if rng.random() < config.procedural_background:
        if library.backgrounds and rng.random() < 0.3:
            cached = library.backgrounds[rng.integers(len(library.backgrounds))]
            return _crop(cached, config, size, rng, [])
        return _texture(library, size, rng), [], []
    source = library.images[rng.choice(len(library.images), p=library.weights)]
    cached = source[rng.integers(len(source))]
    odds = np.array([item.weight for item in cached.objects])
    count = min(_MAX_OBJECTS, len(odds))
    chosen = rng.choice(len(odds), count, replace=False, p=odds / odds.sum())
    return _crop(cached, config, size, rng, chosen.tolist())


def _crop(
    cached: CachedImage,
    config: SceneConfig,
    size: int,
    rng: np.random.Generator,
    chosen: list[int],
) -> tuple[npt.NDArray[np.float32], list[Mask], list[float]]:
    """A random part of a photograph, perhaps mirrored, with its `chosen` objects."""
    height, width = cached.image.shape[:2]
    area = rng.uniform(*config.crop_area) if rng.random() < 0.6 else 1.0
    aspect = config.crop_aspect ** rng.uniform(-1, 1)
    w = int(np.clip(round(width * np.sqrt(area * aspect)), 16, width))
    h = int(np.clip(round(height * np.sqrt(area / aspect)), 16, height))
    x0, y0 = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    if chosen:  # a crop that shows the first object's centre
        first = cached.objects[chosen[0]]
        cx, cy = first.x + first.mask.shape[1] / 2, first.y + first.mask.shape[0] / 2
        x0 = int(np.clip(cx - w * rng.uniform(0.1, 0.9), 0, width - w))
        y0 = int(np.clip(cy - h * rng.uniform(0.1, 0.9), 0, height - h))
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
        masks.append(_coverage(_fit(canvas, size, mirrored)))
        weights.append(item.weight)
    return image.astype(np.float32), masks, weights


def _fit(image: Pixels, size: int, mirrored: bool) -> Pixels:
    shrinks = image.shape[0] > size or image.shape[1] > size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    image = np.asarray(cv2.resize(image, (size, size), interpolation=method), np.uint8)
    return image[:, ::-1] if mirrored else image


def _coverage(mask: Pixels) -> Mask:
    """0..255 -> 0..1."""
    return mask.astype(np.float32) / np.float32(255)


def _paste(
    library: Library, config: SceneConfig, size: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], Mask] | None:
    """Colours (S, S, 3) and coverage (S, S) of something to lay over the scene."""
    if rng.random() < config.shape or not any(library.paste_weights):
        alpha = _shape(config, size, rng)
        return _texture(library, size, rng), alpha
    source = library.images[rng.choice(len(library.images), p=library.paste_weights)]
    cached = source[rng.integers(len(source))]
    whole = [item for item in cached.objects if item.whole and max(item.mask.shape) >= _MIN_CUT]
    if not whole:
        return None
    item = whole[rng.integers(len(whole))]
    h, w = item.mask.shape
    colours = cached.image[item.y : item.y + h, item.x : item.x + w]
    low, high = np.log(config.paste_side)
    scale = min(np.exp(rng.uniform(low, high)) * size / max(h, w), 2.0)
    mask = item.mask
    if scale < 1:
        small = (max(2, round(w * scale)), max(2, round(h * scale)))
        colours = np.asarray(cv2.resize(colours, small, interpolation=cv2.INTER_AREA), np.uint8)
        mask = np.asarray(cv2.resize(mask, small, interpolation=cv2.INTER_AREA), np.uint8)
        scale = 1.0
    matrix = _placement(mask.shape, scale, size, rng)
    cover = np.asarray(cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)
    warped = np.asarray(
        cv2.warpAffine(
            colours, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ),
        np.float32,
    )
    gain, offset = rng.uniform(0.75, 1.25, 3), rng.uniform(-20, 20)
    warped = np.clip(warped * gain.astype(np.float32) + np.float32(offset), 0, 255)
    return warped.astype(np.float32), _coverage(cover)


def _placement(
    shape: tuple[int, ...], scale: float, size: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """2x3 map from a cut-out to the scene: mirrored, slightly turned and stretched, moved."""
    h, w = shape[:2]
    angle = np.deg2rad(rng.normal(0, 12))
    stretch = 1.2 ** rng.uniform(-1, 1)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([mirror * scale * stretch, scale / stretch])
    centre = rng.uniform(0.05, 0.95, 2) * size
    offset = centre - linear @ np.array([w / 2, h / 2])
    return np.column_stack([linear, offset])


def _shape(config: SceneConfig, size: int, rng: np.random.Generator) -> Mask:
    """Coverage of an ellipse, a polygon or a blob."""
    low, high = np.log(config.paste_side)
    radius = np.exp(rng.uniform(low, high)) * size / 2
    kind = rng.integers(3)
    corners = 64 if kind != 1 else int(rng.integers(3, 8))
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    if kind == 0:
        radii = np.ones(corners)
    elif kind == 1:
        angles = angles + rng.uniform(-0.3, 0.3, corners)
        radii = rng.uniform(0.5, 1, corners)
    else:
        waves = sum(
            rng.normal(0, 0.3 / k) * np.cos(k * angles + rng.uniform(0, 2 * np.pi))
            for k in range(1, 6)
        )
        radii = np.clip(1 + waves, 0.2, 1.8)
    outline = radius * radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    outline = outline * np.array([1.0, rng.uniform(0.3, 1.0)])
    turn = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(turn), np.sin(turn)
    outline = outline @ np.array([[c, s], [-s, c]]) + rng.uniform(0.1, 0.9, 2) * size
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return _coverage(mask)


def _texture(library: Library, size: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(S, S, 3) float32 0..255: a gradient with cloudy noise, or a magnified bit of a photo."""
    if rng.random() < 0.4:
        source = library.images[rng.choice(len(library.images), p=library.weights)]
        image = source[rng.integers(len(source))].image
        side = int(rng.integers(12, 64))
        y = int(rng.integers(0, max(1, image.shape[0] - side)))
        x = int(rng.integers(0, max(1, image.shape[1] - side)))
        return _fit(image[y : y + side, x : x + side], size, False).astype(np.float32)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    gradient = ramp[None, :] * np.cos(angle) + ramp[:, None] * np.sin(angle)
    first, second = rng.uniform(0, 255, (2, 3))
    image = first + (second - first) * (gradient[..., None] * rng.uniform(0, 0.5) + 0.5)
    cells = int(rng.integers(2, 40))
    noise = rng.normal(0, rng.uniform(0, 40), (cells, cells, 1 if rng.random() < 0.6 else 3))
    clouds = cv2.resize(noise.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    clouds = clouds.reshape(size, size, -1)
    return np.asarray(np.clip(image + clouds, 0, 255), np.float32)


def _photometric(
    image: npt.NDArray[np.float32], config: SceneConfig, rng: np.random.Generator
) -> Pixels:
    """Random light, colour, sharpness and noise."""
    image = image.astype(np.float32)
    if rng.random() < config.blur:
        sigma = rng.uniform(0.4, 1.6) * image.shape[0] / 192
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    grey = image @ np.array([0.299, 0.587, 0.114], np.float32)
    if rng.random() < config.grey:
        image = np.repeat(grey[..., None], 3, 2)
    else:
        saturation = 1 + rng.uniform(-1, 1) * config.saturation
        image = grey[..., None] + (image - grey[..., None]) * np.float32(saturation)
        image = image @ _hue_rotation(np.deg2rad(rng.uniform(-1, 1) * config.hue))
    contrast = 1 + rng.uniform(-1, 1) * config.contrast
    brightness = 1 + rng.uniform(-1, 1) * config.brightness
    mean = image.mean()
    image = ((image - mean) * contrast + mean) * np.float32(brightness)
    if rng.random() < config.noise:
        image = image + rng.standard_normal(image.shape, np.float32) * rng.uniform(2, 14)
    return np.clip(image, 0, 255).astype(np.uint8)


def _hue_rotation(angle: float) -> npt.NDArray[np.float32]:
    """3x3 rotation of colours about the grey axis."""
    c, s = np.cos(angle), np.sin(angle) / np.sqrt(3)
    matrix = np.full((3, 3), (1 - c) / 3) + np.eye(3) * c
    matrix += s * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return np.asarray(matrix.T, np.float32)
