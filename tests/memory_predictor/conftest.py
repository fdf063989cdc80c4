"""A tiny network that remembers, and small images of different sizes."""

import numpy as np
import pytest
import torch
from tiny import make, tiny_sam2

from samkit import ImagePredictor, MemoryPredictor


@pytest.fixture(scope="session")
def predictor():
    network = make(tiny_sam2())
    with torch.no_grad():  # objects are nearly always there
        network.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)
    return ImagePredictor(network, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def images():
    rng = np.random.default_rng(0)
    sizes = [(48, 64), (80, 40), (33, 97), (48, 64), (64, 64), (20, 30), (50, 50), (41, 60)]
    return [rng.integers(0, 255, (*size, 3), np.uint8) for size in sizes * 2]


@pytest.fixture
def memory(predictor):
    return MemoryPredictor(predictor)
