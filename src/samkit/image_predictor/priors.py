"""Masks of an earlier call, to be refined."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from samkit.errors import InputError, PromptError
from samkit.masks import Masks
from samkit.prompts import Prompt
from samkit.transforms import ImageTransform

__all__ = ["prior_logits"]


def prior_logits(prior: Masks, prompts: Sequence[Prompt], transform: ImageTransform) -> Tensor:
    """The logits (N, h, w) float32 of masks, one for each prompt.

    Args:
        prior: of an earlier call on the same image.
        prompts: that go to the network with them.
        transform: of the image.

    Raises:
        InputError: not as many masks as prompts, masks of another image or network, or without
            logits; PromptError: a prompt has a mask of its own.
    """
    if not isinstance(prior, Masks):
        raise InputError(
            f"prior: expected Masks of an earlier call, got {type(prior).__name__}; "
            "give pixels as a prompt: Prompt.mask(array)"
        )
    if len(prior) != len(prompts):
        hint = "; keep one per prompt with prior.best()" if len(prior) > len(prompts) else ""
        raise InputError(
            f"prior: expected one mask for each of {len(prompts)} prompts, got {len(prior)}{hint}"
        )
    if any(prompt.mask_input is not None for prompt in prompts):
        raise PromptError("a prompt has a mask already: give either it or prior=")
    if prior.image_size != transform.image_size:
        raise InputError(
            f"prior: expected masks of this image of size {transform.image_size}, "
            f"got masks of size {prior.image_size}"
        )
    if prior.logits is None:
        raise InputError(
            "prior: expected masks with low-resolution logits, which these do not have; "
            "give their pixels as a prompt instead: Prompt.mask(masks.masks[i])"
        )
    if not np.isfinite(prior.logits).all():
        raise InputError("prior: expected finite logits, got NaN or infinity")
    if prior.logits.shape[1:] != transform.mask_size:
        raise InputError(
            f"prior: expected logits of size {transform.mask_size}, "
            f"got {prior.logits.shape[1:]}: they are another network's"
        )
    return torch.from_numpy(np.array(prior.logits, np.float32))
