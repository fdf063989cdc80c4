"""Prompts as one batch of tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.nn import PromptTensors, TokenLabel
from samkit.prompts import Prompt
from samkit.transforms import ImageTransform

__all__ = ["prompt_tensors", "tokens_of"]


def prompt_tensors(
    prompts: Sequence[Prompt],
    priors: Tensor | None,
    transform: ImageTransform,
    pad_boxes: bool,
    device: torch.device,
) -> PromptTensors:
    """Prompts as one batch; shorter ones are filled with tokens that nothing attends to."""
    tokens = [tokens_of(prompt, pad_boxes) for prompt in prompts]
    length = max(len(labels) for _, labels in tokens)
    points = np.zeros((len(prompts), length, 2), np.float32)
    labels = np.full((len(prompts), length), TokenLabel.ABSENT, np.int64)
    for i, (xy, kinds) in enumerate(tokens):
        points[i, : len(xy)] = transform.points_to_input(xy)
        labels[i, : len(kinds)] = kinds

    masks, has_mask = priors, None
    given = [prompt.mask_input is not None for prompt in prompts]
    if any(given):
        height, width = transform.input_size
        empty = torch.zeros(height // 4, width // 4)
        masks = torch.stack(
            [
                empty if prompt.mask_input is None else transform.mask_to_input(prompt.mask_input)
                for prompt in prompts
            ]
        )
        has_mask = None if all(given) else torch.tensor(given, device=device)
    return PromptTensors(
        points=torch.from_numpy(points).to(device),
        labels=torch.from_numpy(labels).to(device),
        masks=None if masks is None else masks[:, None].to(device),
        has_mask=has_mask,
    )


def tokens_of(prompt: Prompt, pad_boxes: bool) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Coordinates (T, 2) and labels (T,) of one prompt, with the reference's padding point."""
    points, labels = [prompt.point_coords], [prompt.point_labels.astype(np.int64)]
    if prompt.box_xyxy is not None:
        points.append(prompt.box_xyxy.reshape(2, 2))
        labels.append(np.array([TokenLabel.BOX_TOP_LEFT, TokenLabel.BOX_BOTTOM_RIGHT]))
    alone = prompt.box_xyxy is None and not len(prompt.point_coords)
    if not alone and (prompt.box_xyxy is None or pad_boxes):
        points.append(np.zeros((1, 2), np.float32))
        labels.append(np.array([TokenLabel.NOT_A_POINT]))
    return np.concatenate(points), np.concatenate(labels)
