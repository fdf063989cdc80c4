"""Tiny random checkpoints, a real photograph, and a clip."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tiny import make, tiny_mobile_sam, tiny_sam, tiny_sam2, tiny_sam3, tiny_sam31
from videos import make_video

import samkit
from samkit.compat.ultralytics import (
    Predictor,
    SAM2DynamicInteractivePredictor,
    SAM2Predictor,
    SAM2VideoPredictor,
)
from samkit.weights import save_network

ROOT = Path(__file__).parents[3]
COFFEE = ROOT / "examples" / "coffee.jpg"
SAMPLES = ROOT.parent / "shared" / "data" / "samples"

Settings = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of tiny networks, by family. Objects are nearly always there."""
    folder = tmp_path_factory.mktemp("models")
    configs = {"sam": tiny_sam(), "mobile-sam": tiny_mobile_sam(), "sam2": tiny_sam2()}
    configs["tracker"] = replace(tiny_sam2(), image_size=(64, 64))
    configs["sam3"] = replace(tiny_sam3(), image_size=(64, 64))
    configs["sam3.1"] = tiny_sam31()
    for name, config in configs.items():
        network = make(config)
        if config.has_memory:
            with torch.no_grad():
                network.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)
        save_network(network, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in configs}


@pytest.fixture(scope="session")
def overrides(models: dict[str, Path]) -> Settings:
    """Settings as people write them, for a tiny model, loaded once, or any other."""
    loaded = {name: samkit.load(path, device="cpu").network for name, path in models.items()}

    def make_settings(model: Any, **changes: Any) -> dict[str, Any]:
        given = {"task": "segment", "mode": "predict", "conf": 0.25, "device": "cpu"}
        known = loaded.get(model, model) if isinstance(model, str) else model
        return {**given, "model": known, "verbose": False, **changes}

    return make_settings


@pytest.fixture(params=["sam", "mobile-sam", "sam2"])
def predictor(request: pytest.FixtureRequest, overrides: Settings) -> Predictor:
    return Predictor(overrides=overrides(request.param))


@pytest.fixture
def sam(overrides: Settings) -> Predictor:
    return Predictor(overrides=overrides("sam"))


@pytest.fixture
def sam2(overrides: Settings) -> SAM2Predictor:
    return SAM2Predictor(overrides=overrides("sam2"))


@pytest.fixture
def tracker(overrides: Settings) -> SAM2VideoPredictor:
    return SAM2VideoPredictor(overrides=overrides("tracker"))


@pytest.fixture
def memory(overrides: Settings) -> SAM2DynamicInteractivePredictor:
    return SAM2DynamicInteractivePredictor(overrides=overrides("tracker"))


@pytest.fixture(scope="session")
def coffee() -> np.ndarray:
    """(400, 600, 3) uint8 BGR, read-only: a cup on a table."""
    image = cv2.imread(str(COFFEE))
    assert image is not None
    image.flags.writeable = False
    return image


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """(50, 83, 3) uint8 BGR, read-only."""
    image = np.random.default_rng(0).integers(0, 256, (50, 83, 3), np.uint8)
    image.flags.writeable = False
    return image


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mp4 of 12 frames, 64 wide and 48 high."""
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    """(20, 48, 64, 3) uint8 BGR, read-only: a bright square moves over noise."""
    frames = np.random.default_rng(0).integers(0, 90, (20, 48, 64, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[10:30, 5 + t : 20 + t] += 120
    frames.flags.writeable = False
    return frames
