"""Photometric augmentation: colour jitter, blur and noise."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from samkit.training.config import SceneConfig

__all__ = ["PhotometricAugmentation"]


@dataclass(frozen=True, kw_only=True)
class PhotometricAugmentation:
    """An augmentation with its parameters sampled, for one image or all frames of a clip.

    Attributes:
        blur: standard deviation in pixels, 0 for none.
        colours: (3, 3) matrix by which RGB is multiplied from the right.
        contrast, brightness: factors.
        noise: standard deviation, for values 0..255.
    """

    blur: float
    colours: npt.NDArray[np.float32]
    contrast: float
    brightness: float
    noise: float

    @classmethod
    def sample(cls, config: SceneConfig, size: int, rng: Generator) -> "PhotometricAugmentation":
        """Random parameters for images of `size` pixels a side."""
        blur = rng.uniform(0.4, 1.6) * size / 192 if rng.random() < config.blur else 0.0
        grey = np.repeat(np.array([[0.299], [0.587], [0.114]], np.float32), 3, 1)
        if rng.random() < config.grey:
            colours = grey
        else:
            saturation = np.float32(1 + rng.uniform(-1, 1) * config.saturation)
            colours = grey + (np.eye(3, dtype=np.float32) - grey) * saturation
            colours = colours @ _hue_rotation(np.deg2rad(rng.uniform(-1, 1) * config.hue))
        return cls(
            blur=float(blur),
            colours=colours,
            contrast=1 + rng.uniform(-1, 1) * config.contrast,
            brightness=1 + rng.uniform(-1, 1) * config.brightness,
            noise=rng.uniform(2, 14) if rng.random() < config.noise else 0.0,
        )

    def apply(self, image: npt.NDArray[np.float32], rng: Generator) -> npt.NDArray[np.uint8]:
        """(H, W, 3) float32 0..255 -> uint8. Only the noise is random."""
        if self.blur:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), self.blur), np.float32)
        image = image @ self.colours
        mean = image.mean()
        image = ((image - mean) * np.float32(self.contrast) + mean) * np.float32(self.brightness)
        if self.noise:
            image = image + rng.standard_normal(image.shape, np.float32) * np.float32(self.noise)
        return np.clip(image, 0, 255).astype(np.uint8)


def _hue_rotation(angle: float) -> npt.NDArray[np.float32]:
    """3x3 rotation of colours about the grey axis."""
    c, s = np.cos(angle), np.sin(angle) / np.sqrt(3)
    matrix = np.full((3, 3), (1 - c) / 3) + np.eye(3) * c
    matrix += s * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return np.asarray(matrix.T, np.float32)
