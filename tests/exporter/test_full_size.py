"""Exports of all released sizes, with random weights. `pytest -m full_size`."""

from pathlib import Path

import pytest
import torch

import samkit
from samkit import ImagePredictor
from samkit.nn import build
from samkit.weights import MODELS

pytestmark = pytest.mark.full_size


@pytest.mark.parametrize("name", [name for name in MODELS if name != "pico"])
def test_released_sizes(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    predictor = ImagePredictor(build(MODELS[name].config), device="cpu", dtype="float32")
    parts = "video" if predictor.network.has_memory else "image"
    samkit.export(predictor, tmp_path / name, parts=parts)  # which compares
    assert samkit.load(tmp_path / name).network.has_memory == predictor.network.has_memory
