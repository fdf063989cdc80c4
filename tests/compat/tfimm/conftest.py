"""Tiny models with random weights."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from samkit.compat.tfimm import SAMPredictor, SegmentAnythingModel, SegmentAnythingModelConfig

TINY = SegmentAnythingModelConfig(
    input_size=(64, 64),
    embed_dim=16,
    encoder_embed_dim=24,
    encoder_nb_blocks=3,
    encoder_nb_heads=2,
    encoder_global_attn_indices=(1,),
    encoder_window_size=3,
    decoder_nb_heads=2,
    decoder_mlp_channels=24,
    decoder_iou_hidden_dim=16,
)


@pytest.fixture
def config() -> SegmentAnythingModelConfig:
    return TINY


@pytest.fixture
def make() -> Callable[..., SegmentAnythingModel]:
    """A model with these fields of its config, and weights that all matter."""

    def make(**changes: Any) -> SegmentAnythingModel:
        model = SegmentAnythingModel(replace(TINY, **changes))
        _randomise(model.network)
        return model

    return make


@pytest.fixture
def model(make: Callable[..., SegmentAnythingModel]) -> SegmentAnythingModel:
    return make()


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 83, 3), np.uint8)


@pytest.fixture
def predictor(model: SegmentAnythingModel, photo: np.ndarray) -> SAMPredictor:
    predictor = SAMPredictor(model)
    predictor.set_image(photo)
    return predictor


@pytest.fixture
def images() -> np.ndarray:
    """Three normalised images."""
    return np.random.default_rng(1).normal(size=(3, 64, 64, 3)).astype(np.float32)


def _randomise(network: torch.nn.Module) -> None:
    """Weights with which every prompt makes a difference that no rounding explains."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if "running" in name or not value.ndim:  # what a batch norm has learned
                continue
            embedding = "embed" in name and value.ndim == 2
            spread = 1.0 if embedding or value.ndim == 1 else 1.5 * value[0].numel() ** -0.5
            value.normal_(0, spread, generator=generator)
            if "norm" in name and name.endswith("weight"):
                value.mul_(0.2).add_(1)
            elif value.ndim == 1:
                value.mul_(0.1)
