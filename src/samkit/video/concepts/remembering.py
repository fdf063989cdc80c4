"""Memory of objects that words found."""

from collections.abc import Sequence
from dataclasses import fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from samkit.image_predictor.concepts import Candidates
from samkit.image_predictor.device import own_dtypes
from samkit.memory.prediction import PromptedObject, remember
from samkit.nn import ImageFeatures, MemoryNetwork
from samkit.nn.memory import Memory, ObjectPrediction
from samkit.prompts import Prompt
from samkit.video.concepts.overlaps import filled
from samkit.video.concepts.settings import ConceptTracking

__all__ = ["given_objects", "joined", "remember_masks"]

# Logits of being there; masks alone decide what is remembered.
_THERE = 10.0
# Objects at a time: each takes some 20 MB in between.
_AT_ONCE = 8


def remember_masks(
    network: MemoryNetwork,
    features: ImageFeatures,
    predictions: Sequence[ObjectPrediction],
    masks: Sequence[Tensor],
    *,
    prompted: bool,
) -> list[Memory]:
    """The memory of objects in a frame, from other masks than were predicted.

    Masks are brought to the size that the memory encoder takes at once, and say whether an object
    is there, as in the code of the authors.

    Args:
        network: with memory.
        features: of the frame, without memory.
        predictions: of each object, a batch of one.
        masks: of each object, logits (1, h, w) four times finer than the embedding.
        prompted: masks of prompted frames are remembered as 0 or 1, others as probabilities.
    """
    memories = []
    for start in range(0, len(predictions), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        prediction, logits = joined(predictions[some]), torch.cat(list(masks[some]))
        is_there = (logits > 0).flatten(1).any(1, keepdim=True)
        shown = replace(
            prediction,
            logits=_large(logits),
            object_score=torch.where(is_there, _THERE, -_THERE).to(logits),
        )
        memories += remember(network, features, prediction, prompted=prompted, shown=shown)
    return memories


def given_objects(
    network: MemoryNetwork,
    features: ImageFeatures,
    found: Sequence[Candidates],
    settings: ConceptTracking,
) -> list[PromptedObject]:
    """What was detected in a frame, as if each were prompted with its mask there.

    Args:
        network: with memory.
        features: of the frame, without memory.
        found: of each object, one candidate.
        settings: say what is filled in shown masks.
    """
    predictions = []
    for one in found:
        with torch.inference_mode(), own_dtypes(network):
            masks = (_large(one.logits) > 0).to(one.logits)
            given = network.from_masks(features, masks[:, None])
        predictions.append(
            replace(
                given,
                logits=filled(one.logits, settings.fill_hole_area),
                object_score=one.probabilities.logit(eps=1e-6)[:, None],
            )
        )
    detected = [one.logits for one in found]
    memories = remember_masks(network, features, predictions, detected, prompted=True)
    return [
        PromptedObject(
            prompt=Prompt(mask_input=(one.logits[0] > 0).cpu().numpy()),
            prediction=prediction,
            memory=memory,
            corrects=False,
        )
        for one, prediction, memory in zip(found, predictions, memories, strict=True)
    ]


def joined(predictions: Sequence[ObjectPrediction]) -> ObjectPrediction:
    """Several objects as one batch."""
    names = [field.name for field in fields(ObjectPrediction)]
    return ObjectPrediction(
        **{name: torch.cat([getattr(one, name) for one in predictions]) for name in names}
    )


def _large(logits: Tensor) -> Tensor:
    """Logits (N, h, w) four times larger, as the memory encoder takes them."""
    height, width = logits.shape[-2:]
    return F.interpolate(logits[:, None], (4 * height, 4 * width), mode="bilinear")[:, 0]
