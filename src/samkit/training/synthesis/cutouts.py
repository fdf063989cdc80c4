"""Cutouts of training objects, drawn shapes and textures, and their compositing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from samkit.training.config import SceneConfig
from samkit.training.data import Library

__all__ = [
    "Cutout",
    "Mask",
    "Pixels",
    "Size",
    "coverage",
    "random_cutout",
    "shape_cutout",
    "texture",
]

# Objects smaller than this (longest side in pixels) are not pasted.
_MIN_CUT = 32
# A shadow is a blurred copy of the mask. Its largest opacity, and offset relative to the object.
_SHADOW_DEPTH, _SHADOW_DISTANCE = 0.6, 0.25

_LINEAR = cv2.INTER_LINEAR

Pixels = npt.NDArray[np.float32]
"""(H, W, 3) RGB, 0..255."""
Mask = npt.NDArray[np.float32]
"""(H, W) coverage, 0..1."""
Size: TypeAlias = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """An object to paste into a scene.

    Attributes:
        colours: (h, w, 3) uint8 RGB.
        mask: (h, w) uint8 coverage 0..255.
        scale: factor by which it is enlarged in the scene.
        gain: (3,) factor of its colours; offset: added to them, for values 0..255.
        shadow: opacity of its shadow, 0 for none; x and y offset as fractions of its longest side.
    """

    colours: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    scale: float
    gain: npt.NDArray[np.float32]
    offset: float
    shadow: tuple[float, float, float]

    def remap(self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> tuple[Pixels, Mask]:
        """Colours and coverage in a scene, sampled at x, y (H, W) of the cutout."""
        return self._warp(lambda image, border: cv2.remap(image, x, y, _LINEAR, borderMode=border))

    def warp_affine(self, matrix: npt.NDArray[np.float64], size: Size) -> tuple[Pixels, Mask]:
        """Colours (H, W, 3) and coverage (H, W) under a 2x3 map from the cutout to the scene."""

        def warp(image: npt.NDArray[np.uint8], border: int) -> cv2.typing.MatLike:
            return cv2.warpAffine(image, matrix, size[::-1], flags=_LINEAR, borderMode=border)

        return self._warp(warp)

    def _warp(
        self, warp: Callable[[npt.NDArray[np.uint8], int], cv2.typing.MatLike]
    ) -> tuple[Pixels, Mask]:
        mask = np.asarray(warp(self.mask, cv2.BORDER_CONSTANT), np.uint8)
        colours = warp(self.colours, cv2.BORDER_REPLICATE).astype(np.float32)
        colours = np.clip(colours * self.gain + np.float32(self.offset), 0, 255)
        return np.asarray(colours, np.float32), coverage(mask)

    def composite(self, image: Pixels, colours: Pixels, alpha: Mask) -> Pixels:
        """The scene with the warped cutout and its shadow blended over it."""
        opacity, right, down = self.shadow
        if opacity > 0:
            side = max(self.mask.shape) * self.scale
            shift = np.array([[1, 0, right * side], [0, 1, down * side]])
            shadow = cv2.warpAffine(alpha, shift, alpha.shape[::-1], flags=_LINEAR)
            shadow = cv2.GaussianBlur(shadow, (0, 0), max(0.5, 0.04 * side))
            image = image * (1 - np.float32(opacity) * np.asarray(shadow, np.float32))[..., None]
        return image + (colours - image) * alpha[..., None]


def random_cutout(
    library: Library, config: SceneConfig, side: int, rng: Generator
) -> Cutout | None:
    """An object or shape for a scene of `side` pixels; None if the sampled image has no object."""
    if rng.random() < config.shape or not any(library.paste_weights):
        return shape_cutout(library, config, side, rng)
    cached = library.random_image(library.paste_weights, rng)
    whole = [item for item in cached.objects if item.whole and max(item.mask.shape) >= _MIN_CUT]
    if not whole:
        return None
    item = whole[rng.integers(len(whole))]
    h, w = item.mask.shape
    colours, mask = cached.image[item.y : item.y + h, item.x : item.x + w], item.mask
    scale = min(_random_side(config, rng) * side / max(h, w), 2.0)
    if scale < 1:
        small = (max(2, round(w * scale)), max(2, round(h * scale)))
        colours = np.asarray(cv2.resize(colours, small, interpolation=cv2.INTER_AREA), np.uint8)
        mask = np.asarray(cv2.resize(mask, small, interpolation=cv2.INTER_AREA), np.uint8)
        scale = 1.0
    return Cutout(
        colours=colours,
        mask=mask,
        scale=scale,
        gain=rng.uniform(0.75, 1.25, 3).astype(np.float32),
        offset=float(rng.uniform(-20, 20)),
        shadow=_random_shadow(config, rng),
    )


def shape_cutout(library: Library, config: SceneConfig, side: int, rng: Generator) -> Cutout:
    """A textured and shaded ellipse, polygon or blob."""
    radius = _random_side(config, rng) * side / 2
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
    c, s = np.cos(turn := rng.uniform(0, 2 * np.pi)), np.sin(turn)
    outline = outline @ np.array([[c, s], [-s, c]])
    low = outline.min(0) - 2
    width, height = (int(v) for v in np.ceil(np.ptp(outline, axis=0)) + 4)
    mask = np.zeros((height, width), np.uint8)
    corners16 = np.round((outline - low) * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners16], 255, cv2.LINE_AA, shift=4)
    colours = texture(library, max(height, width), rng)[:height, :width]
    return Cutout(
        colours=(colours * _random_shading(height, width, rng)).clip(0, 255).astype(np.uint8),
        mask=mask,
        scale=1.0,
        gain=np.ones(3, np.float32),
        offset=0.0,
        shadow=_random_shadow(config, rng),
    )


def texture(library: Library, size: int, rng: Generator) -> Pixels:
    """(S, S, 3): a gradient with smooth noise, or an enlarged patch of a photograph."""
    if rng.random() < 0.4:
        image = library.random_image(library.weights, rng).image
        side = int(rng.integers(12, 64))
        y = int(rng.integers(0, max(1, image.shape[0] - side)))
        x = int(rng.integers(0, max(1, image.shape[1] - side)))
        patch = image[y : y + side, x : x + side]
        return cv2.resize(patch, (size, size), interpolation=_LINEAR).astype(np.float32)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    gradient = ramp[None, :] * np.cos(angle) + ramp[:, None] * np.sin(angle)
    first, second = rng.uniform(0, 255, (2, 3))
    image = first + (second - first) * (gradient[..., None] * rng.uniform(0, 0.5) + 0.5)
    cells = int(rng.integers(2, 40))
    noise = rng.normal(0, rng.uniform(0, 40), (cells, cells, 1 if rng.random() < 0.6 else 3))
    smooth = cv2.resize(noise.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(image + smooth.reshape(size, size, -1), 0, 255), np.float32)


def coverage(mask: npt.NDArray[np.uint8]) -> Mask:
    """0..255 -> 0..1."""
    return mask.astype(np.float32) / np.float32(255)


def _random_side(config: SceneConfig, rng: Generator) -> float:
    low, high = np.log(config.paste_side)
    return float(np.exp(rng.uniform(low, high)))


def _random_shadow(config: SceneConfig, rng: Generator) -> tuple[float, float, float]:
    if rng.random() >= config.shadow:
        return 0.0, 0.0, 0.0
    right, down = rng.uniform(-_SHADOW_DISTANCE, _SHADOW_DISTANCE, 2)
    return float(rng.uniform(0.2, _SHADOW_DEPTH)), float(right), float(down)


def _random_shading(height: int, width: int, rng: Generator) -> npt.NDArray[np.float32]:
    """(h, w, 1) factor: illumination from one side."""
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    towards = rng.uniform(-1, 1, 2)
    light = 1 + rng.uniform(0, 0.5) * (towards[0] * x + towards[1] * y)
    return np.asarray(light[..., None], np.float32)
