"""Tiny networks with random weights, an image and a clip."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import make, tiny_pico, tiny_sam2

from samkit import ImagePredictor
from samkit.compat.sam2 import SAM2ImagePredictor, SAM2VideoPredictor
from samkit.nn import Network


@pytest.fixture(scope="session")
def networks() -> dict[str, Network]:
    """By family. Objects are nearly always there."""
    made = {}
    for name, config in {"sam2": tiny_sam2(), "pico": tiny_pico()}.items():
        made[name] = make(replace(config, image_size=(64, 64)))
        with torch.no_grad():
            made[name].mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)
    return made


@pytest.fixture(params=["sam2", "pico"])
def network(request: pytest.FixtureRequest, networks: dict[str, Network]) -> Network:
    return networks[request.param]


@pytest.fixture
def core(network: Network) -> ImagePredictor:
    return ImagePredictor(network, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """(50, 83, 3) uint8 RGB, read-only."""
    image = np.random.default_rng(0).integers(0, 256, (50, 83, 3), np.uint8)
    image.flags.writeable = False
    return image


@pytest.fixture
def predictor(network: Network, photo: np.ndarray) -> SAM2ImagePredictor:
    predictor = SAM2ImagePredictor(network)
    predictor.set_image(photo)
    return predictor


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    """(12, 48, 64, 3) uint8 RGB, read-only: a bright square moves over noise."""
    frames = np.random.default_rng(0).integers(0, 90, (12, 48, 64, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[10:30, 5 + t : 20 + t] += 120
    frames.flags.writeable = False
    return frames


@pytest.fixture
def tracker(networks: dict[str, Network]) -> SAM2VideoPredictor:
    return SAM2VideoPredictor(networks["sam2"])
