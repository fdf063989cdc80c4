"""Training clips: scenes with smooth motion and exact masks in every frame.

The camera pans and zooms over a photograph while cutouts move, rotate, scale, deform, occlude each
other, cast shadows, and enter and leave the frame.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from samkit.errors import InputError
from samkit.evaluation.metrics import BoolArray
from samkit.geometry import checked_size
from samkit.training.config import ClipConfig, SceneConfig
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
from samkit.training.synthesis.scenes import (
    first_with_objects,
    is_target,
    random_crop_box,
    random_photograph,
)

__all__ = ["Clip", "make_clip"]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A few frames and the objects in them.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        masks: (T, N, H, W) float32 coverage 0..1 of the visible part of each object, empty where
            it is occluded or out of the frame.
    """

    frames: npt.NDArray[np.uint8]
    masks: Mask

    @property
    def visible(self) -> BoolArray:
        """(T, N): whether each object covers most of any pixel."""
        return np.asarray(self.masks.max((2, 3)) > 0.5)


def make_clip(
    library: Library,
    scenes: SceneConfig,
    motion: ClipConfig,
    size: Size,
    frames: int,
    rng: Generator,
) -> Clip:
    """A clip of `frames` frames of `size` (height, width), with at least one object in one of them.

    Raises:
        InputError: there are no frames or pixels, or the options and data leave no object large
            enough.
    """
    size = checked_size(size, "size")
    if frames < 1:
        raise InputError(f"frames: expected at least one, got {frames}")
    return first_with_objects(
        "clip", scenes, lambda: _compose(library, scenes, motion, size, frames, rng)
    )


def _compose(
    library: Library,
    scenes: SceneConfig,
    motion: ClipConfig,
    size: Size,
    frames: int,
    rng: Generator,
) -> Clip | None:
    """A clip, or None if no object in it is a target."""
    motion = _randomly_calm(motion, rng)
    background = _background(library, scenes, motion, size, frames, rng)
    least = 0 if background[0][1] else 1
    pastes = int(rng.integers(least, scenes.max_pastes + 1)) if scenes.max_pastes else 0
    cutouts = [random_cutout(library, scenes, min(size), rng) for _ in range(pastes)]
    moving = [
        (cutout, _Trajectory(cutout, motion, size, frames, rng)) for cutout in cutouts if cutout
    ]
    augmentation = PhotometricAugmentation.sample(scenes, min(size), rng)
    flicker = 1 + _curve(frames, rng) * motion.flicker

    pictures, covers = [], []
    targets: set[int] = set()
    for t, (image, visible) in enumerate(background):
        whole = [float(mask.sum()) for mask in visible]
        for cutout, trajectory in moving:
            colours, alpha = cutout.remap(*trajectory.sampling_grid(t))
            image = cutout.composite(image, colours, alpha)
            visible = [mask * (1 - alpha) for mask in visible] + [alpha]
            whole.append(float(alpha.sum()))
        pictures.append(augmentation.apply(image * np.float32(flicker[t]), rng))
        covers.append(visible)
        for i, mask in enumerate(visible):
            if is_target(float(mask.sum()), whole[i], size, scenes):
                targets.add(i)
    if not targets:
        return None
    masks = np.array([[visible[i] for i in sorted(targets)] for visible in covers])
    return Clip(frames=np.stack(pictures), masks=masks)


def _randomly_calm(motion: ClipConfig, rng: Generator) -> ClipConfig:
    """The motion, or with a probability of `calm` up to ten times less and no entries."""
    if rng.random() >= motion.calm:
        return motion
    factor = 0.1 ** rng.random()
    names = ("speed", "wander", "turn", "zoom", "bend", "camera")
    return replace(motion, entry=0.0, **{name: getattr(motion, name) * factor for name in names})


def _background(
    library: Library,
    scenes: SceneConfig,
    motion: ClipConfig,
    size: Size,
    frames: int,
    rng: Generator,
) -> list[tuple[Pixels, list[Mask]]]:
    """For each frame of a moving camera the image, and the masks of the photograph's objects."""
    if rng.random() < scenes.procedural_background:
        side = round(max(size) * 1.5)
        cached = CachedImage(image=texture(library, side, rng).astype(np.uint8))
        chosen: list[int] = []
    else:
        cached, chosen = random_photograph(library, rng)
    chosen = chosen[: motion.max_objects]
    first = np.array(random_crop_box(cached, chosen, scenes, rng), np.float64)
    last = first + (np.array(random_crop_box(cached, chosen, scenes, rng)) - first) * motion.camera
    flipped = rng.random() < 0.5
    height, width = size
    shots = []
    for progress in _eased(frames, rng):
        # A crop between two crops of the photograph lies inside it.
        x, y, w, h = first + (last - first) * progress
        matrix = np.array([[width / w, 0, -x * width / w], [0, height / h, -y * height / h]])
        if flipped:
            matrix = np.array([[-1, 0, width], [0, 1, 0]]) @ np.vstack([matrix, [0, 0, 1]])
        masks = []
        for index in chosen:
            item = cached.objects[index]
            moved = matrix.copy()
            moved[:, 2] += matrix[:, :2] @ np.array([item.x, item.y], np.float64)
            masks.append(coverage(_warped(item.mask, moved, size)))
        shots.append((_warped(cached.image, matrix, size).astype(np.float32), masks))
    return shots


def _warped(
    image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], size: Size
) -> npt.NDArray[np.uint8]:
    """An image under a 2x3 map, without aliasing where that shrinks it."""
    shrink = 1 / max(float(np.abs(matrix[:, :2]).sum(1).max()), 1e-6)
    if shrink > 1.5:
        small = tuple(max(1, round(side / shrink)) for side in image.shape[1::-1])
        factors = np.array([small[0] / image.shape[1], small[1] / image.shape[0]])
        image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = np.column_stack([matrix[:, :2] / factors, matrix[:, 2]])
    border = cv2.BORDER_REPLICATE if image.ndim == 3 else cv2.BORDER_CONSTANT
    warped = cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(warped, np.uint8)


class _Trajectory:
    """The motion of a cutout through a clip."""

    def __init__(
        self, cutout: Cutout, motion: ClipConfig, size: Size, frames: int, rng: Generator
    ) -> None:
        self.size = size
        self.centre = np.array(cutout.mask.shape[1::-1], np.float64) / 2
        drift = rng.normal(0, 1, 2) * motion.speed * (frames - 1)
        time = np.linspace(-0.5, 0.5, frames)[:, None]
        wander = np.column_stack([_curve(frames, rng), _curve(frames, rng)]) * motion.wander
        middle = rng.uniform(0.1, 0.9, 2)
        if rng.random() < motion.entry:
            # Outside the frame at one end of the clip and well inside at the other.
            side = max(cutout.mask.shape) * cutout.scale / min(size)
            angle = rng.uniform(0, 2 * np.pi)
            outside = 0.5 + (0.75 + side / 2) * np.array([np.cos(angle), np.sin(angle)])
            inside = rng.uniform(0.25, 0.75, 2)
            enters = rng.random() < 0.5
            drift = inside - outside if enters else outside - inside
            middle = (inside + outside) / 2
        self.centres = (middle + drift * time + wander) * size[::-1]
        flip = -1.0 if rng.random() < 0.5 else 1.0
        angles = np.deg2rad(rng.normal(0, 12) + motion.turn * _curve(frames, rng))
        scales = cutout.scale * np.exp(motion.zoom * _curve(frames, rng))
        c, s = np.cos(angles), np.sin(angles)
        # From the scene to the cutout: the inverse of rotation, flip and scaling.
        self.linear = np.stack(
            [np.stack([c * flip, s * flip], -1), np.stack([-s, c], -1)], 1
        ) / scales[:, None, None]  # fmt: skip
        length = max(cutout.mask.shape)
        self.waves = rng.uniform(0.5, 1.5, 2) * 2 * np.pi / length
        self.phases = rng.uniform(0, 2 * np.pi, 2)
        bends = motion.bend * length * (rng.random() < 0.6)
        self.bends = np.column_stack([_curve(frames, rng), _curve(frames, rng)]) * bends

    def sampling_grid(self, t: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """x and y (H, W) in the cutout of each pixel of frame t."""
        offset = self.centre - self.linear[t] @ self.centres[t]
        (a, b), (c, d) = self.linear[t].astype(np.float32)
        down, right = (np.arange(side, dtype=np.float32) for side in self.size)
        x = a * right[None] + (b * down[:, None] + np.float32(offset[0]))
        y = c * right[None] + (d * down[:, None] + np.float32(offset[1]))
        if self.bends[t].any():
            bend_x, bend_y = self.bends[t].astype(np.float32)
            (u, v), (p, q) = self.waves.astype(np.float32), self.phases.astype(np.float32)
            x, y = x + bend_x * np.sin(u * y + p), y + bend_y * np.sin(v * x + q)
        return x, y


def _curve(frames: int, rng: Generator) -> npt.NDArray[np.float64]:
    """(T,) a smooth random curve around 0, with an amplitude of about 1."""
    time = np.linspace(0, 1, frames)
    periods, phases = rng.uniform(0.3, 1.5, 2), rng.uniform(0, 2 * np.pi, 2)
    waves = np.sin(2 * np.pi * periods[:, None] * time + phases[:, None])
    return np.asarray(waves.sum(0) / 2)


def _eased(frames: int, rng: Generator) -> npt.NDArray[np.float64]:
    """(T,) from 0 to 1, linear or eased in and out."""
    time = np.linspace(0, 1, frames)
    soft = time * time * (3 - 2 * time)
    return np.asarray(time + (soft - time) * rng.random())
