"""Predictors with tiny random networks."""

import pytest
from tiny import CONFIGS, make, tiny_sam2

from samkit.image_predictor import ImagePredictor


@pytest.fixture(params=list(CONFIGS))
def predictor(request: pytest.FixtureRequest) -> ImagePredictor:
    return ImagePredictor(make(CONFIGS[request.param]), device="cpu", dtype="float32")


@pytest.fixture
def sam2() -> ImagePredictor:
    return ImagePredictor(make(tiny_sam2()), device="cpu", dtype="float32")
