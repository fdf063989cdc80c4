"""Predictions of objects: from prompts, from memory, or from both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from samkit.image_predictor import ImageEmbedding
from samkit.image_predictor.device import own_dtypes
from samkit.image_predictor.prompt_tokens import prompt_tensors
from samkit.nn import PRIOR_LIMIT, ImageFeatures, MemoryNetwork
from samkit.nn.memory import Memory, ObjectPrediction, ReachableMemory
from samkit.prompts import Prompt

__all__ = [
    "PromptedObject",
    "mask_pixels",
    "predict_from_memory",
    "predict_prompted",
    "remember",
    "starts_anew",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class PromptedObject:
    """An object in a frame or image in which it was prompted.

    Attributes:
        prompt: all its prompts there, joined.
        prediction: a batch of one.
        memory: of the object there.
        corrects: whether the prompt corrects a prediction from memory.
    """

    prompt: Prompt
    prediction: ObjectPrediction
    memory: Memory
    corrects: bool


def starts_anew(prompt: Prompt) -> bool:
    """Whether a prompt replaces earlier ones: a box or a mask does, points are added to them."""
    return prompt.box_xyxy is not None or prompt.mask_input is not None


def predict_prompted(
    network: MemoryNetwork,
    embedding: ImageEmbedding,
    prompt: Prompt,
    *,
    before: PromptedObject | None = None,
    current: ObjectPrediction | None = None,
    reachable: ReachableMemory | None = None,
    previous: Tensor | None = None,
) -> PromptedObject:
    """Predict an object from a prompt, and remember it.

    Points refine `current`. A box or a mask starts anew; a mask alone is the prediction itself.

    Args:
        network: with memory.
        embedding: of the frame, on the network's device.
        prompt: the new prompt.
        before: the object as it was prompted in this frame before; the prompts are joined.
        current: the prediction of the object in this frame so far; None if there is none.
        reachable: memories that the prompt corrects, from which a missing `current` is predicted;
            None to predict from the prompts alone.
        previous: mask logits (h, w) in the frame before, for predicting a missing `current`.
    """
    if starts_anew(prompt):
        before = current = None
    whole = prompt if before is None else before.prompt + prompt
    features = embedding.features
    mask = None if _clicks(whole) else whole.mask_input
    with torch.inference_mode(), own_dtypes(network):
        if mask is not None:
            pixels = mask_pixels(mask, embedding.transform.mask_size)
            prediction = network.from_masks(features, pixels.to(features.embedding.device))
        else:
            recalled = None if reachable is None else network.recall(features, [reachable])
            if recalled is not None and current is None and not starts_anew(prompt):
                current = _propagated(network, features, recalled, [previous])
            prediction = _from_prompt(network, embedding, whole, current, recalled)
    (memory,) = remember(network, features, prediction, prompted=True)
    return PromptedObject(
        prompt=whole, prediction=prediction, memory=memory, corrects=reachable is not None
    )


def predict_from_memory(
    network: MemoryNetwork,
    features: ImageFeatures,
    reachable: Sequence[ReachableMemory],
    previous: Sequence[Tensor | None] | None = None,
) -> ObjectPrediction:
    """Predict N objects in a frame in which nothing is prompted.

    Args:
        network: with memory.
        features: of the frame, without memory.
        reachable: memories of each object.
        previous: mask logits (h, w) of each in the frame before; None where there are none.
    """
    with torch.inference_mode(), own_dtypes(network):
        recalled = network.recall(features, reachable)
        return _propagated(network, features, recalled, previous or [None] * len(reachable))


def remember(
    network: MemoryNetwork,
    features: ImageFeatures,
    prediction: ObjectPrediction,
    *,
    prompted: bool,
    shown: ObjectPrediction | None = None,
) -> list[Memory]:
    """The memory of each of N objects in a frame, with tokens in bfloat16 as in the reference.

    Args:
        network: with memory.
        features: of the frame, without memory.
        prediction: of the objects.
        prompted: as of `MemoryNetwork.remember`.
        shown: what is remembered instead; confidences are still those of `prediction`.
    """
    with torch.inference_mode(), own_dtypes(network):
        what = prediction if shown is None else shown
        memories = network.remember(features, what, prompted=prompted)
        # As SAM 3 rates frames; 0 where the object is more likely absent.
        presence = 2 * prediction.object_score[:, 0].sigmoid() - 1
        confidences = (presence.clamp(min=0) * prediction.iou).clamp(0, 1).tolist()
        # Copies: a view would keep the whole batch.
        return [
            replace(
                memory,
                tokens=memory.tokens.to(torch.bfloat16, copy=True),
                pointer=memory.pointer.clone(),
                confidence=confidence,
            )
            for memory, confidence in zip(memories, confidences, strict=True)
            if memory.tokens is not None
        ]


def mask_pixels(
    mask: NDArray[np.bool_] | NDArray[np.float32], mask_size: tuple[int, int]
) -> Tensor:
    """A mask (h, w), bool or logits, for `MemoryNetwork.from_masks`.

    Args:
        mask: of any size.
        mask_size: of the network's mask logits.

    Returns:
        (1, 1, 4 H, 4 W) float 0 or 1, four times finer than `mask_size` (H, W).
    """
    binary = mask if mask.dtype == np.bool_ else mask > 0
    pixels = torch.from_numpy(binary.astype(np.float32))[None, None]
    size = (mask_size[0] * 4, mask_size[1] * 4)
    scaled = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    return (scaled >= 0.5).float()


def _clicks(prompt: Prompt) -> int:
    """Number of points, where a box counts as two; 0 for a mask alone."""
    return len(prompt.point_coords) + 2 * (prompt.box_xyxy is not None)


def _propagated(
    network: MemoryNetwork,
    features: ImageFeatures,
    recalled: Tensor,
    previous: Sequence[Tensor | None],
) -> ObjectPrediction:
    prompts = network.propagation_prompts(previous)
    conditioned = network.condition(features, recalled)
    return network.segment(conditioned, prompts, ambiguous=True)


def _from_prompt(
    network: MemoryNetwork,
    embedding: ImageEmbedding,
    prompt: Prompt,
    current: ObjectPrediction | None,
    recalled: Tensor | None,
) -> ObjectPrediction:
    features = embedding.features
    prior = None
    if current is not None:  # it includes an earlier mask prompt
        prompt = Prompt(prompt.point_coords, prompt.point_labels, prompt.box_xyxy)
        prior = current.logits.clamp(-PRIOR_LIMIT, PRIOR_LIMIT)
    pad_boxes = network.config.prompt_encoder.pad_boxes
    device = features.embedding.device
    prompts = prompt_tensors([prompt], prior, embedding.transform, pad_boxes, device)
    if recalled is None:
        conditioned = network.without_memory(features)
    else:
        conditioned = network.condition(features, recalled)
    return network.segment(conditioned, prompts, ambiguous=_clicks(prompt) <= 1)
