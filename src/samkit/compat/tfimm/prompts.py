"""Prompts in tfimm's form, batched and padded arrays, checked and as tensors."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from samkit.compat.arrays import array_of, finite_numbers
from samkit.errors import PromptError
from samkit.image_predictor.prompt_tokens import stack_tokens, tokens
from samkit.nn import PromptTensors
from samkit.prompts import checks
from samkit.transforms import ImageTransform

__all__ = ["PromptBatch", "read_prompts"]

Tokens: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64]]

# Label of a point that is ignored, so that objects with fewer points fit a batch.
_PADDING = -1


@dataclass(frozen=True, kw_only=True)
class PromptBatch:
    """Prompts of N objects.

    Attributes:
        tokens: of each object, coordinates (T, 2) in pixels of the image and labels (T,) of its
            points and boxes, without padding.
        masks: (N, H', W') float32 logits, or None.
    """

    tokens: tuple[Tokens, ...]
    masks: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.tokens)

    def tensors(
        self, part: slice, transform: ImageTransform, device: torch.device
    ) -> PromptTensors:
        """Some of the objects for the network, from pixels of the image to those of its input."""
        points, labels = stack_tokens(self.tokens[part])
        masks = None if self.masks is None else torch.from_numpy(self.masks[part])[:, None]
        return PromptTensors.padded(
            torch.from_numpy(transform.points_to_input(points)),
            torch.from_numpy(labels),
            pad_boxes=False,
            masks=masks,
        ).to(device)


def read_prompts(
    points: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    boxes: ArrayLike | None = None,
    masks: ArrayLike | None = None,
    *,
    count: int,
    mask_size: tuple[int, int],
) -> PromptBatch:
    """Check the prompts of `count` objects.

    Args:
        points: (N, M1, 2) pixels, or None.
        labels: (N, M1) of 1 foreground, 0 background, -1 padding (its point is ignored); without
            labels all points are foreground.
        boxes: (N, M2, 4) xyxy, or None; the corners are taken as they are given.
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
    if not np.isin(kinds, (1, 0, _PADDING)).all():
        wrong = kinds[~np.isin(kinds, (1, 0, _PADDING))][0]
        raise PromptError(
            f"labels: expected 1 (foreground), 0 (background) or -1 (padding), got {wrong}"
        )
    corners = array_of(np.zeros((count, 0, 4)) if boxes is None else boxes, "boxes")
    if corners.ndim != 3 or corners.shape[0] != count or corners.shape[2] != 4:
        raise PromptError(f"boxes: expected shape ({count}, M2, 4), got {corners.shape}")
    return PromptBatch(
        tokens=tuple(_tokens(*one) for one in zip(xy, kinds, corners, strict=True)),
        masks=_masks(masks, count, mask_size),
    )


def _tokens(xy: NDArray[Any], labels: NDArray[Any], boxes: NDArray[Any]) -> Tokens:
    """Tokens of one object with points (M1, 2), labels (M1,) and boxes (M2, 4)."""
    given = labels != _PADDING
    points = checks.coordinates(xy[given], "points")
    corners = checks.coordinates(boxes, "boxes")
    return tokens(points, labels[given].astype(np.int32), list(corners))


def _masks(
    masks: ArrayLike | None, count: int, mask_size: tuple[int, int]
) -> NDArray[np.float32] | None:
    if masks is None:
        return None
    logits = finite_numbers(masks, "masks")
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
