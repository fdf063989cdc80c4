"""Predictions of prompts as `Masks`."""

import numpy as np
from torch import Tensor

from samkit.errors import SamkitError
from samkit.masks import Masks
from samkit.nn import MaskPrediction
from samkit.transforms import ImageTransform

__all__ = ["check_finite", "masks_of"]


def masks_of(
    prediction: MaskPrediction,
    transform: ImageTransform,
    first_prompt: int,
    *,
    total: int,
    keep_logits: bool,
) -> Masks:
    """One decoder call's prediction, of `total` masks; prompts are counted from `first_prompt`."""
    check_finite(prediction.iou)
    N, K = prediction.iou.shape
    logits = prediction.logits.flatten(0, 1)  # (N * K, h, w)
    # One at a time: at the image's size, logits take far more memory than a mask.
    masks = (transform.mask_in_image(low) for low in logits)
    return Masks.from_pixels(
        masks,
        transform.image_size,
        prediction.iou.flatten().float().cpu().numpy(),
        total=total,
        # Each candidate is an object of its own, so that pictures tell them apart.
        object_ids=first_prompt * K + np.arange(N * K),
        prompt_index=first_prompt + np.repeat(np.arange(N), K),
        candidates=np.tile(np.arange(K), N) if K > 1 else None,
        logits=logits.float().cpu().numpy() if keep_logits else None,
    )


def check_finite(iou: Tensor) -> None:
    """Raise SamkitError if predicted IoUs are NaN or infinite."""
    if not bool(iou.isfinite().all()):
        raise SamkitError(
            "the network's answer is not a number: its weights are damaged, or its dtype is too "
            "narrow (try float32)"
        )
