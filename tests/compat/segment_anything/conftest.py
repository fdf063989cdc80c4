"""Tiny networks with random weights, and an image."""

import numpy as np
import pytest
from tiny import CONFIGS, make

from samkit import ImagePredictor
from samkit.compat.segment_anything import SamPredictor
from samkit.nn import Network


@pytest.fixture(scope="session")
def networks() -> dict[str, Network]:
    return {name: make(config) for name, config in CONFIGS.items()}


@pytest.fixture(params=["sam", "mobile-sam", "pico"])
def network(request: pytest.FixtureRequest, networks: dict[str, Network]) -> Network:
    """SAM's own kinds, and one that stretches images."""
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
def predictor(network: Network, photo: np.ndarray) -> SamPredictor:
    predictor = SamPredictor(network)
    predictor.set_image(photo)
    return predictor
