"""Prompts as one batch of tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.nn import PromptTensors, TokenLabel
from samkit.nn.prompt_encoder import is_padded
from samkit.prompts import Prompt
from samkit.transforms import ImageTransform

__all__ = ["prompt_tensors", "stack_tokens", "token_count", "tokens"]


def prompt_tensors(
    prompts: Sequence[Prompt],
    priors: Tensor | None,
    transform: ImageTransform,
    pad_boxes: bool,
    device: torch.device,
) -> PromptTensors:
    """N prompts as one batch.

    Args:
        prompts: of one image.
        priors: (N, h, w) logits of earlier masks, or None; then no prompt has a mask of its own.
        transform: of the image.
        pad_boxes: as in `PromptEncoderConfig`.
        device: of the network.
    """
    points, labels = stack_tokens(
        [
            tokens(
                prompt.point_coords,
                prompt.point_labels,
                [] if prompt.box_xyxy is None else [prompt.box_xyxy],
            )
            for prompt in prompts
        ]
    )
    masks, has_mask = priors, None
    given = [prompt.mask_input is not None for prompt in prompts]
    if any(given):
        empty = torch.zeros(transform.mask_size, dtype=torch.float32, device="cpu")
        masks = torch.stack(
            [
                empty if prompt.mask_input is None else transform.mask_to_input(prompt.mask_input)
                for prompt in prompts
            ]
        )
        has_mask = None if all(given) else torch.tensor(given, device="cpu")
    return PromptTensors.padded(
        torch.from_numpy(transform.points_to_input(points)),
        torch.from_numpy(labels),
        pad_boxes=pad_boxes,
        masks=None if masks is None else masks[:, None],
        has_mask=has_mask,
    ).to(device)


def token_count(prompt: Prompt, pad_boxes: bool) -> int:
    """How many tokens a prompt becomes, with its padding."""
    points, has_box = len(prompt.point_coords), prompt.box_xyxy is not None
    return points + 2 * has_box + is_padded(points > 0 or has_box, has_box, pad_boxes)


def tokens(
    points: NDArray[np.float32],
    labels: NDArray[np.int32],
    boxes: Sequence[NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Coordinates (T, 2) and labels (T,) of points (P, 2) and boxes (4,) of one object.

    The networks take any number of boxes: their corners follow the points.
    """
    corners = [TokenLabel.BOX_TOP_LEFT, TokenLabel.BOX_BOTTOM_RIGHT]
    xy = np.concatenate([points, *(box.reshape(2, 2) for box in boxes)])
    return xy, np.concatenate([labels, corners * len(boxes)]).astype(np.int64)


def stack_tokens(
    prompts: Sequence[tuple[NDArray[np.float32], NDArray[np.int64]]],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Tokens of N prompts as (N, T, 2) and (N, T), filled with tokens that nothing attends to."""
    length = max((len(labels) for _, labels in prompts), default=0)
    points = np.zeros((len(prompts), length, 2), np.float32)
    labels = np.full((len(prompts), length), TokenLabel.ABSENT, np.int64)
    for i, (xy, kinds) in enumerate(prompts):
        points[i, : len(kinds)] = xy
        labels[i, : len(kinds)] = kinds
    return points, labels
