"""Simulated prompts for the objects of scenes, and batches of them."""

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from samkit.evaluation.clicks import farthest_point
from samkit.evaluation.metrics import BoolArray
from samkit.nn import TokenLabel
from samkit.training.config import PromptConfig, Stage, TrainingConfig
from samkit.training.data import Library
from samkit.training.synthesis import Scene, make_scene
from samkit.training.synthesis.scenes import first_with_objects

__all__ = ["Batch", "correction_clicks", "downscaled", "make_batch", "simulated_prompt"]

# Masks are predicted, and losses computed, at a quarter of the input size.
_STRIDE = 4
# An object is there where it covers most of a cell of its target.
_SHOWN = 127
_NO_POINTS = (np.zeros((2, 2)), (TokenLabel.ABSENT, TokenLabel.ABSENT))


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B scenes with P prompts each.

    Attributes:
        images: (B, H, W, 3) uint8 RGB.
        targets: (B, P, H / 4, W / 4) uint8 coverage 0..255 of the object of each prompt.
        points: (B, P, 2, 2) float32 xy, pixels of the input: a click and an absent point, or a box.
        labels: (B, P, 2) int64 `TokenLabel`s of the points.
        masks: (B, P, H / 4, W / 4) uint8 coverage of mask prompts.
        has_mask: (B, P) bool, which prompts are masks.
    """

    images: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    masks: npt.NDArray[np.uint8]
    has_mask: BoolArray

    def split(self, count: int) -> list["Batch"]:
        """The batch in `count` equal parts."""
        columns = {f.name: np.split(getattr(self, f.name), count) for f in fields(self)}
        return [Batch(**{name: c[i] for name, c in columns.items()}) for i in range(count)]


def make_batch(
    library: Library, config: TrainingConfig, stage: Stage, step: int, *, rank: int = 0
) -> Batch:
    """The share of one process of the batch of a step; seed, stage, step and rank determine it."""
    rng = np.random.default_rng([config.seed, step, rank])
    images, prompts = [], []
    for _ in range(stage.images):
        scene, targets = first_with_objects(
            "scene", config.scenes, lambda: _scene_with_targets(library, config, stage, rng)
        )
        images.append(scene.image)
        for i in _choose(scene, stage.prompts, rng):
            mask, target = scene.masks[i], targets[i]
            is_mask = rng.random() < config.prompts.mask
            rough = _rough_mask(target, rng) if is_mask else np.zeros_like(target)
            xy, kinds = _NO_POINTS if is_mask else simulated_prompt(mask > 0.5, config.prompts, rng)
            prompts.append((target, xy, kinds, rough, is_mask))
    targets, points, labels, masks, has_mask = (
        np.reshape(column, (stage.images, stage.prompts, *np.shape(column[0])))
        for column in zip(*prompts, strict=True)
    )
    return Batch(
        images=np.stack(images),
        targets=targets,
        points=points.astype(np.float32),
        labels=labels.astype(np.int64),
        masks=masks,
        has_mask=has_mask,
    )


def downscaled(masks: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Coverage (N, H, W) 0..1 -> (N, H / 4, W / 4) 0..255."""
    height, width = (side // _STRIDE for side in masks.shape[1:])
    small = [cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) for mask in masks]
    return np.round(np.reshape(small, (-1, height, width)) * 255).astype(np.uint8)


def _scene_with_targets(
    library: Library, config: TrainingConfig, stage: Stage, rng: Generator
) -> tuple[Scene, npt.NDArray[np.uint8]] | None:
    """A scene and its targets, without objects that are too thin for them; None if all are."""
    scene = make_scene(library, config.scenes, stage.shape, rng)
    targets = downscaled(scene.masks)
    shown = targets.max((1, 2)) > _SHOWN
    if not shown.any():
        return None
    scene = replace(scene, masks=scene.masks[shown], weights=scene.weights[shown])
    return scene, targets[shown]


def _choose(scene: Scene, count: int, rng: Generator) -> npt.NDArray[np.int64]:
    """Objects to prompt: all equally often; weights decide which ones get the remaining prompts."""
    available = len(scene.weights)
    odds = scene.weights / scene.weights.sum()
    whole = np.tile(np.arange(available), count // available)
    rest = rng.choice(available, count % available, replace=False, p=odds)
    return np.concatenate([whole, rest])


def simulated_prompt(
    mask: BoolArray, config: PromptConfig, rng: Generator
) -> tuple[npt.NDArray[np.float64], tuple[int, int]]:
    """A box or a click for a mask (H, W): two points xy and their labels.

    Where the mask is empty at this size, the prompt is for the whole image.
    """
    if not mask.any():
        mask = np.ones_like(mask)
    if rng.random() < config.box:
        x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
        box = np.array([[x, y], [x + w, y + h]], np.float64)
        if rng.random() < config.jitter_box:
            box += rng.uniform(-config.jitter, config.jitter, (2, 2)) * [w, h]
            box = np.clip(box, 0, mask.shape[::-1])
        return box, (TokenLabel.BOX_TOP_LEFT, TokenLabel.BOX_BOTTOM_RIGHT)
    if rng.random() < config.centre_click:
        click = np.array(farthest_point(mask), np.float64)
    else:
        click = _anywhere(mask, rng)
    return np.stack([click, np.zeros(2)]), (TokenLabel.FOREGROUND, TokenLabel.ABSENT)


def _rough_mask(target: npt.NDArray[np.uint8], rng: Generator) -> npt.NDArray[np.uint8]:
    """A mask prompt with errors: dilated, eroded, moved, coarse, or with a disc less or more."""
    height, width = target.shape
    x, y, w, h = cv2.boundingRect((target > 127).astype(np.uint8))
    side = max(w, h)
    kind = rng.integers(6)
    radius = 1 + int(rng.uniform(0, 0.12) * side)
    if kind < 2:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        rough = (cv2.dilate if kind == 0 else cv2.erode)(target, disc)
    elif kind == 2:
        # As an object moves from one frame to the next.
        angle, scale = rng.normal(0, 5), 1 + rng.uniform(-0.12, 0.12)
        matrix = np.array(cv2.getRotationMatrix2D((x + w / 2, y + h / 2), angle, scale), float)
        matrix[:, 2] += rng.uniform(-0.12, 0.12, 2) * (w, h)
        rough = cv2.warpAffine(target, matrix, (width, height), flags=cv2.INTER_LINEAR)
    elif kind < 5:
        # As where a tracker has lost a part, or leaked.
        centre = (int(x + rng.random() * w), int(y + rng.random() * h))
        radius = max(1, int(rng.uniform(0.1, 0.4) * side))
        rough = cv2.circle(target.copy(), centre, radius, 0 if kind == 3 else 255, -1)
    else:
        factor = min(1.0, rng.uniform(3, 10) / max(side, 1))
        small = (max(1, round(width * factor)), max(1, round(height * factor)))
        rough = cv2.resize(target, small, interpolation=cv2.INTER_AREA)
        rough = cv2.resize(rough, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(rough if rough.max() > 127 else target, np.uint8)


def correction_clicks(
    predicted: BoolArray, target: BoolArray, rng: Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """A click on an error of each predicted mask.

    Args:
        predicted, target: (N, h, w) at a quarter of the input size.

    Returns:
        xy (N, 2) float32 in pixels of the input, and labels (N,): foreground for false negatives,
        background for false positives. Half of the clicks are in the centre of the more frequent
        kind of error, half are anywhere in the errors; a perfect mask gets a click inside.
    """
    points, labels = [], []
    for guess, truth in zip(predicted, target, strict=True):
        missed, excess = truth & ~guess, guess & ~truth
        if rng.random() < 0.5:
            region = missed if missed.sum() >= excess.sum() else excess
            xy = np.array(farthest_point(region)) if region.any() else None
        else:
            region = missed | excess
            xy = _anywhere(region, rng) if region.any() else None
        if xy is None:
            xy = _anywhere(truth if truth.any() else np.ones_like(truth), rng)
        labels.append(int(truth[int(xy[1]), int(xy[0])] or not (missed | excess).any()))
        points.append((xy + 0.5) * _STRIDE - 0.5)
    return np.array(points, np.float32), np.array(labels, np.int64)


def _anywhere(mask: BoolArray, rng: Generator) -> npt.NDArray[np.float64]:
    inside = np.flatnonzero(mask)
    y, x = divmod(int(inside[rng.integers(len(inside))]), mask.shape[1])
    return np.array([x, y], np.float64)
