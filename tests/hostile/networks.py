"""Tiny networks, and small pictures for them."""

from functools import cache

import numpy as np
import torch
from tiny import make, tiny_sam2

from samkit import ImagePredictor, Prompt

__all__ = ["CLICK", "PICTURES", "predictor"]

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), np.uint8)
CLICK = Prompt.point(10, 10)


@cache
def predictor() -> ImagePredictor:
    """A predictor that finds objects nearly everywhere."""
    network = make(tiny_sam2())
    with torch.no_grad():
        network.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)
    return ImagePredictor(network, device="cpu", dtype="float32")
