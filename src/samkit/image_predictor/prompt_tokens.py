"""Prompts as one batch of tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.nn import PromptTensors, TokenLabel
from samkit.prompts import Prompt
from samkit.transforms import ImageTransform

__all__ = ["prompt_tensors", "stack_tokens", "tokens", "tokens_of"]


def prompt_tensors(
    prompts: Sequence[Prompt],
    priors: Tensor | None,
    transform: ImageTransform,
    pad_boxes: bool,
    device: torch.device,
) -> PromptTensors:
    """Prompts as one batch; shorter ones are filled with tokens that nothing attends to."""
    points, labels = stack_tokens([tokens_of(prompt, pad_boxes) for prompt in prompts])
    masks, has_mask = priors, None
    given = [prompt.mask_input is not None for prompt in prompts]
    if any(given):
        empty = torch.zeros(transform.mask_size)
        masks = torch.stack(
            [
                empty if prompt.mask_input is None else transform.mask_to_input(prompt.mask_input)
                for prompt in prompts
            ]
        )
        has_mask = None if all(given) else torch.tensor(given, device=device)
    return PromptTensors(
        points=torch.from_numpy(transform.points_to_input(points)).to(device),
        labels=torch.from_numpy(labels).to(device),
        masks=None if masks is None else masks[:, None].to(device),
        has_mask=has_mask,
    )


def tokens_of(prompt: Prompt, pad_boxes: bool) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Coordinates (T, 2) and labels (T,) of one prompt, with the reference's padding point."""
    boxes = [] if prompt.box_xyxy is None else [prompt.box_xyxy]
    return tokens(prompt.point_coords, prompt.point_labels, boxes, pad_boxes)


def tokens(
    points: NDArray[np.float32],
    labels: NDArray[np.int32],
    boxes: Sequence[NDArray[np.float32]],
    pad_boxes: bool,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Coordinates (T, 2) and labels (T,) of points (P, 2) and boxes (4,) about one object.

    The networks take any number of boxes: their corners follow the points.
    """
    corners = [TokenLabel.BOX_TOP_LEFT, TokenLabel.BOX_BOTTOM_RIGHT]
    places = [points, *(box.reshape(2, 2) for box in boxes)]
    kinds = [labels.astype(np.int64), np.array(corners * len(boxes), np.int64)]
    if (len(points) and not boxes) or (boxes and pad_boxes):
        places.append(np.zeros((1, 2), np.float32))
        kinds.append(np.array([TokenLabel.NOT_A_POINT]))
    return np.concatenate(places), np.concatenate(kinds)


def stack_tokens(
    prompts: Sequence[tuple[NDArray[np.float32], NDArray[np.int64]]],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Tokens of N prompts as (N, T, 2) and (N, T), filled with tokens that nothing attends to."""
    length = max((len(kinds) for _, kinds in prompts), default=0)
    points = np.zeros((len(prompts), length, 2), np.float32)
    labels = np.full((len(prompts), length), TokenLabel.ABSENT, np.int64)
    for i, (places, kinds) in enumerate(prompts):
        points[i, : len(kinds)] = places
        labels[i, : len(kinds)] = kinds
    return points, labels
