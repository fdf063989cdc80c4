"""Prompts as tfimm takes them, batched and padded arrays, checked and made tensors."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from samkit.compat.tfimm.arrays import array_of, numbers
from samkit.errors import PromptError
from samkit.image_predictor.prompt_tokens import stack_tokens, tokens
from samkit.nn import PromptTensors
from samkit.prompts import Prompt
from samkit.transforms import ImageTransform

__all__ = ["PADDING", "ObjectPrompts", "read_prompts"]

PADDING = -1
"""Label of a point that is not there, so that objects with fewer points fit a batch."""


@dataclass(frozen=True, kw_only=True)
class ObjectPrompts:
    """What is said about N objects.

    Attributes:
        clicks: of each object its points, without padding, or None.
        boxes: of each object its boxes, any number.
        masks: (N, H', W') float32 logits, or None.
    """

    clicks: tuple[Prompt | None, ...]
    boxes: tuple[tuple[Prompt, ...], ...]
    masks: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.clicks)

    def says_nothing(self, index: int) -> bool:
        """Whether an object has no prompt at all."""
        return self.clicks[index] is None and not self.boxes[index] and self.masks is None

    def tensors(
        self, part: slice, transform: ImageTransform, device: torch.device
    ) -> PromptTensors:
        """Some of the objects for the network, from pixels of the image to those of its input."""
        sequences = [
            tokens(
                np.zeros((0, 2), np.float32) if clicks is None else clicks.point_coords,
                np.zeros(0, np.int32) if clicks is None else clicks.point_labels,
                [box.box_xyxy for box in boxes if box.box_xyxy is not None],
            )
            for clicks, boxes in zip(self.clicks[part], self.boxes[part], strict=True)
        ]
        points, labels = stack_tokens(sequences)
        masks = None if self.masks is None else torch.from_numpy(self.masks[part])[:, None]
        return PromptTensors.padded(
            torch.from_numpy(transform.points_to_input(points)),
            torch.from_numpy(labels),
            pad_boxes=False,
            masks=masks,
        ).to(device)


def read_prompts(
    points: ArrayLike | None,
    labels: ArrayLike | None,
    boxes: ArrayLike | None,
    masks: ArrayLike | None,
    *,
    count: int,
    mask_size: tuple[int, int],
) -> ObjectPrompts:
    """Check the prompts of `count` objects.

    Args:
        points: (N, M1, 2) pixels, or None.
        labels: (N, M1) of 1 foreground, 0 background, -1 padding (its point is ignored); without
            labels all points are foreground.
        boxes: (N, M2, 4) xyxy, or None.
        masks: (N, M3, H', W') logits with M3 0 or 1, or None.
        count: N.
        mask_size: (H', W').

    Raises:
        PromptError: a wrong shape or value; the message says which.
    """
    if points is None:
        if labels is not None and np.size(labels):
            raise PromptError("labels: expected points too, got none")
        points, labels = np.zeros((count, 0, 2)), None
    xy = array_of(points, "points")
    if xy.ndim != 3 or xy.shape[0] != count or xy.shape[2] != 2:
        raise PromptError(f"points: expected shape ({count}, M1, 2), got {xy.shape}")
    kinds = np.ones(xy.shape[:2], np.int64) if labels is None else array_of(labels, "labels")
    if kinds.shape != xy.shape[:2]:
        raise PromptError(f"labels: expected shape {xy.shape[:2]}, got {kinds.shape}")
    if not np.isin(kinds, (1, 0, PADDING)).all():
        wrong = kinds[~np.isin(kinds, (1, 0, PADDING))][0]
        raise PromptError(
            f"labels: expected 1 (foreground), 0 (background) or -1 (padding), got {wrong}"
        )
    corners = numbers(np.zeros((count, 0, 4)) if boxes is None else boxes, "boxes")
    if corners.ndim != 3 or corners.shape[0] != count or corners.shape[2] != 4:
        raise PromptError(f"boxes: expected shape ({count}, M2, 4), got {corners.shape}")
    return ObjectPrompts(
        clicks=tuple(_clicks(*pair) for pair in zip(xy, kinds, strict=True)),
        boxes=tuple(tuple(Prompt(box_xyxy=box) for box in row) for row in corners),
        masks=_masks(masks, count, mask_size),
    )


def _clicks(xy: NDArray[np.generic], labels: NDArray[np.generic]) -> Prompt | None:
    there = labels != PADDING
    if not there.any():
        return None
    return Prompt(point_coords=xy[there], point_labels=labels[there].astype(np.int32))


def _masks(
    masks: ArrayLike | None, count: int, mask_size: tuple[int, int]
) -> NDArray[np.float32] | None:
    if masks is None:
        return None
    logits = numbers(masks, "masks")
    if logits.ndim != 4 or logits.shape[0] != count or logits.shape[1] > 1:
        raise PromptError(
            f"masks: expected shape ({count}, M3, {mask_size[0]}, {mask_size[1]}) with M3 0 or 1, "
            f"got {logits.shape}"
        )
    if logits.shape[1] == 0:
        return None
    if logits.shape[2:] != mask_size:
        raise PromptError(f"masks: expected logits of size {mask_size}, got {logits.shape[2:]}")
    return logits[:, 0]
