"""Prompts on images, and their corrections: what a network answers, and the losses of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import Generator
from torch import Tensor

from samkit.nn import PRIOR_LIMIT, ImageFeatures, MaskPrediction, Network, PromptTensors
from samkit.training.config import TrainingConfig
from samkit.training.losses import Outcome, prediction_loss
from samkit.training.sampling import Batch, correction_clicks
from samkit.transforms import BINARY_LOGIT

__all__ = ["interact"]


def interact(
    network: Network,
    pixels: Tensor,
    batch: Batch,
    config: TrainingConfig,
    rounds: int,
    rng: Generator,
) -> tuple[list[Tensor], Outcome]:
    """Answer the prompts of a batch, and correct some of the masks by clicks, as a user does.

    Args:
        network: to be trained.
        pixels: (B, 3, H, W) normalised images of the batch.
        batch: the prompts and targets.
        rounds: of corrections.

    Returns:
        The losses of the first prompts and of each round, and what the first ones came to.
    """

    def tensor(array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(pixels.device)

    images, prompts = batch.points.shape[:2]
    features = network.encode_image(pixels)
    owners = torch.arange(images, device=pixels.device).repeat_interleave(prompts)
    features = features.select(owners)
    target = tensor(batch.targets).flatten(0, 1).float() / 255
    points = tensor(batch.points).flatten(0, 1)
    labels = tensor(batch.labels).flatten(0, 1)

    has_mask = tensor(batch.has_mask).flatten()
    rough = tensor(batch.masks).flatten(0, 1)[:, None].float() / 255
    masks = (rough * 2 - 1) * BINARY_LOGIT if bool(has_mask.any()) else None
    prediction = _decode(network, features, points, labels, masks, has_mask)
    first = prediction_loss(prediction, target, config.loss)
    losses = [first.loss]
    if rounds:  # some of each image's prompts go on
        some = tensor(_corrected(images, prompts, config.prompts.corrected, rng))
        features, prediction = features.select(some), prediction.select(some)
        points, labels, target = points[some], labels[some], target[some]
    for _ in range(rounds):
        previous = _previous_masks(prediction, rng)
        clicks, kinds = correction_clicks(
            (previous[:, 0] > 0).cpu().numpy(), (target > 0.5).cpu().numpy(), rng
        )
        points = torch.cat([points, tensor(clicks)[:, None]], 1)
        labels = torch.cat([labels, tensor(kinds)[:, None]], 1)
        prediction = _decode(network, features, points, labels, previous)
        outcome = prediction_loss(prediction, target, config.loss)
        losses.append(outcome.loss / rounds)
    return losses, first


def _corrected(images: int, prompts: int, most: int, rng: Generator) -> npt.NDArray[np.int64]:
    """Indices of the prompts to correct, of (images, prompts) in rows; at most so many an image."""
    count = min(prompts, most)
    return np.concatenate(
        [rng.choice(prompts, count, replace=False) + i * prompts for i in range(images)]
    )


def _decode(
    network: Network,
    features: ImageFeatures,
    points: Tensor,
    labels: Tensor,
    masks: Tensor | None,
    has_mask: Tensor | None = None,
) -> MaskPrediction:
    prompts = PromptTensors.padded(
        points,
        labels,
        pad_boxes=network.config.prompt_encoder.pad_boxes,
        masks=masks,
        has_mask=None if masks is None else has_mask,
    )
    prediction = network.decode_masks(features, prompts)
    # Losses are computed in float32, also where the network runs in bfloat16.
    score = prediction.object_score
    return replace(
        prediction,
        logits=prediction.logits.float(),
        iou=prediction.iou.float(),
        object_score=None if score is None else score.float(),
    )


def _previous_masks(prediction: MaskPrediction, rng: Generator) -> Tensor:
    """Logits (N, 1, h, w) to correct: the single masks, or the candidates of the best scores."""
    if rng.random() < 0.5:
        logits = prediction.logits.detach()[:, 0]
    else:
        chosen = prediction.iou[:, 1:].argmax(1) + 1
        rows = torch.arange(len(chosen), device=chosen.device)
        logits = prediction.logits.detach()[rows, chosen]
    return logits.clamp(-PRIOR_LIMIT, PRIOR_LIMIT)[:, None]
