"""A tiny random tracker, and a video for it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import make, tiny_pico, tiny_sam2

from samkit import ImagePredictor


def a_predictor(config, presence):
    """Of a network that says of every object that it is there, or (negative) that it is not.

    A small presence leaves it to the frame.
    """
    network = make(replace(config, image_size=(64, 64)))
    with torch.no_grad():
        head = network.mask_decoder.pred_obj_score_head.layers[-1]
        head.bias.fill_(presence)
        if abs(presence) > 4:
            head.weight.zero_()
    return ImagePredictor(network, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def predictor():
    return a_predictor(tiny_sam2(), 3.0)


@pytest.fixture(scope="session")
def absent_predictor():
    """Finds no object anywhere."""
    return a_predictor(tiny_sam2(), -5.0)


@pytest.fixture(scope="session")
def pico_predictor():
    """Of a network with all of samkit's own additions; every object is there."""
    return a_predictor(tiny_pico(), 5.0)


@pytest.fixture(scope="session")
def video():
    """40 frames 48 x 64 in which a bright square moves over noise."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 90, (40, 48, 64, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[10:30, 5 + t : 20 + t] += 120
    frames.flags.writeable = False
    return frames
