"""What tracking and memory across images share: from prompts to objects, memories and masks."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from samkit.errors import SamkitError
from samkit.image_predictor import ImageEmbedding
from samkit.image_predictor.prompt_tokens import prompt_tensors
from samkit.masks import Masks
from samkit.memory.bank import Memory
from samkit.nn import PRIOR_LIMIT, ImageFeatures, Sam2
from samkit.nn.memory import ObjectPrediction
from samkit.prompts import Prompt
from samkit.transforms import ImageTransform

__all__ = [
    "answer",
    "mask_input",
    "masks_of",
    "memories_of",
    "part",
    "starts_anew",
]


def starts_anew(prompt: Prompt) -> bool:
    """Whether a prompt says by itself what the object is: a box or a mask does, clicks add up."""
    return prompt.box_xyxy is not None or prompt.mask_input is not None


def part(tracked: ObjectPrediction, i: int) -> ObjectPrediction:
    """One of N objects, still as a batch."""
    return ObjectPrediction(
        logits=tracked.logits[i : i + 1],
        iou=tracked.iou[i : i + 1],
        pointer=tracked.pointer[i : i + 1],
        object_score=tracked.object_score[i : i + 1],
    )


def answer(
    network: Sam2,
    embedding: ImageEmbedding,
    prompt: Prompt,
    *,
    earlier: ObjectPrediction | None = None,
    recalled: ImageFeatures | None = None,
) -> ObjectPrediction:
    """What the network says to a prompt. A mask on its own is taken as it is.

    Args:
        network: the network.
        embedding: of the image, on the network's device.
        prompt: all that is said of one object.
        earlier: what the object looked like before this was said, to refine; not with a mask.
        recalled: the features as the object sees them that remembers something; None for an
            object that speaks for itself.
    """
    features, device = embedding.features, embedding.features.embedding.device
    clicks = len(prompt.point_coords) + 2 * (prompt.box_xyxy is not None)
    if prompt.mask_input is not None and not clicks:
        mask = mask_input(prompt.mask_input, embedding.transform.input_size)
        return network.from_masks(features, mask.to(device))
    prior = None
    if earlier is not None:
        prior = earlier.logits.clamp(-PRIOR_LIMIT, PRIOR_LIMIT)
    pad_boxes = network.config.prompt_encoder.pad_boxes
    tensors = prompt_tensors([prompt], prior, embedding.transform, pad_boxes, device)
    seen = network.without_memory(features) if recalled is None else recalled
    return network.segment(seen, tensors, ambiguous=clicks <= 1)


def mask_input(
    mask: NDArray[np.bool_] | NDArray[np.float32], input_size: tuple[int, int]
) -> Tensor:
    """A given mask (h, w), bool or logits, as (1, 1, H, W) float 0 or 1 of the input's size."""
    binary = mask if mask.dtype == np.bool_ else mask > 0
    pixels = torch.from_numpy(binary.astype(np.float32))[None, None]
    scaled = F.interpolate(pixels, input_size, mode="bilinear", antialias=True)
    return (scaled >= 0.5).float()


def memories_of(
    network: Sam2, features: ImageFeatures, found: ObjectPrediction, *, prompted: bool
) -> list[Memory]:
    """What is kept of each of N objects in a frame.

    Maps are kept in bfloat16, as in the reference, which takes half of the room.
    """
    maps = network.remember(features, found, prompted=prompted).to(torch.bfloat16)
    # Copies: a part of a batch would keep the whole of it.
    return [
        Memory(map=one.clone(), pointer=pointer.clone())
        for one, pointer in zip(maps, found.pointer, strict=True)
    ]


def masks_of(
    found: Mapping[int, ObjectPrediction],
    transform: ImageTransform,
    *,
    non_overlapping: bool = False,
) -> Masks:
    """Masks of tracked objects, in their order; above 256 MB held as run lengths.

    Args:
        found: object id -> the object, each a batch of one.
        transform: of the image that they were found in.
        non_overlapping: give each pixel to the object that is surest of it.

    Raises:
        SamkitError: what the network found is not a number.
    """
    if not found:
        return Masks.empty(transform.image_size)
    low = torch.cat([one.logits for one in found.values()])
    scores = torch.cat([one.iou for one in found.values()]).float().cpu().numpy()
    presence = torch.cat([one.object_score for one in found.values()])[:, 0].float().sigmoid()
    if not (np.isfinite(scores).all() and presence.isfinite().all()):
        raise SamkitError("the network's answer is not a number: its weights are damaged")

    inside = _owner(low, transform) if non_overlapping else _above_zero
    # One at a time: at the image's size, logits take far more memory than a mask.
    pixels = (
        inside(transform.masks_to_image(one[None])[0], i).cpu().numpy() for i, one in enumerate(low)
    )
    return Masks.from_pixels(
        pixels,
        transform.image_size,
        scores,
        object_ids=list(found),
        presence=presence.cpu().numpy(),
        logits=low.float().cpu().numpy(),
    )


def _above_zero(logits: Tensor, _: int) -> Tensor:
    return logits > 0


def _owner(low: Tensor, transform: ImageTransform) -> Callable[[Tensor, int], Tensor]:
    """Test of logits (H, W) that only the surest object of a pixel passes, of equals the first."""
    height, width = transform.image_size
    best = low.new_full((height, width), -torch.inf)
    owner = torch.zeros_like(best, dtype=torch.long)
    for i, one in enumerate(low):
        logits = transform.masks_to_image(one[None])[0]
        owner = torch.where(logits > best, i, owner)
        best = torch.maximum(best, logits)
    return lambda logits, i: (logits > 0) & (owner == i)
