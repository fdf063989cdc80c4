"""Prompts of samkit from the pieces that other interfaces take."""

from functools import reduce
from operator import add
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from samkit.errors import PromptError
from samkit.prompts import Prompt
from samkit.transforms import BINARY_LOGIT, ImageTransform

__all__ = ["input_mask", "object_prompt"]


def object_prompt(
    *,
    points: NDArray[np.float32] | None = None,
    labels: NDArray[Any] | None = None,
    box: NDArray[np.float32] | None = None,
    mask: Prompt | None = None,
) -> Prompt:
    """All that is said about one object, as one prompt.

    Args:
        points: (P, 2) xy in pixels of the image.
        labels: (P,) of 1 and 0; None where all points are foreground.
        box: (4,) xyxy.
        mask: a prompt with a mask.

    Raises:
        PromptError: nothing was said, or a wrong value.
    """
    parts = []
    if box is not None:
        parts.append(Prompt.box(*box.tolist()))
    if points is not None and len(points):
        parts.append(Prompt.points(points, labels))
    if mask is not None:
        parts.append(mask)
    if not parts:
        raise PromptError("expected points, a box or a mask of each object, got none")
    return reduce(add, parts)


def input_mask(mask: NDArray[np.bool_] | NDArray[np.float32], transform: ImageTransform) -> Prompt:
    """The prompt of a mask that covers the network's input, its padding included.

    Args:
        mask: bool or logits, of `ImageTransform.mask_size`.
        transform: of the image.
    """
    if not transform.keep_aspect:  # then the image covers the input
        return Prompt(mask_input=mask)
    if mask.dtype == np.bool_:
        mask = np.where(mask, np.float32(BINARY_LOGIT), np.float32(-BINARY_LOGIT))
    whole = transform.masks_to_image(torch.tensor(mask, device="cpu")[None])[0]
    return Prompt(mask_input=whole.numpy())
