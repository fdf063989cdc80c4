"""SAM: a model that is called with images."""

import inspect
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from samkit.compat.ultralytics import SAM, Predictor
from samkit.errors import InputError, UnknownModelError

ROOT = Path(__file__).parents[3]
COFFEE = ROOT / "examples" / "coffee.jpg"


@pytest.fixture
def model(models: dict[str, Path]) -> SAM:
    return SAM(str(models["sam"]))


def test_documented_arguments() -> None:
    assert inspect.signature(SAM).parameters["model"].default == "sam_b.pt"
    for call in (SAM.__call__, SAM.predict):
        parameters = list(inspect.signature(call).parameters.values())[1:-1]
        assert [(p.name, p.default) for p in parameters] == [
            ("source", None),
            ("stream", False),
            ("bboxes", None),
            ("points", None),
            ("labels", None),
        ]


def test_prompts_are_those_of_the_predictor(
    model: SAM, models: dict[str, Path], photo: np.ndarray
) -> None:
    settings: dict[str, Any] = {"device": "cpu", "verbose": False}
    predictor = Predictor(overrides={"model": str(models["sam"]), **settings})
    given: dict[str, Any] = {"points": [[[30, 20], [70, 45]]], "labels": [[1, 0]]}
    for more in ({}, {"bboxes": [[5, 5, 60, 40]]}, {"multimask_output": True}):
        (found,) = model(photo, **given, **more, **settings)
        (expected,) = predictor(photo, **given, **more)
        assert torch.equal(found.masks.data, expected.masks.data)
        assert torch.equal(found.boxes.data, expected.boxes.data)


def test_everything_and_streams(model: SAM, photo: np.ndarray) -> None:
    options: dict[str, Any] = {"conf_thres": 0.0, "stability_score_thresh": 0.0}
    (found,) = model.predict(photo, points_stride=2, **options, verbose=False)
    assert len(found) > 0
    stream = model([photo, photo], stream=True, bboxes=[5, 5, 60, 40], verbose=False)
    assert [len(one) for one in stream] == [1, 1]


def test_settings_hold_for_one_call(model: SAM, photo: np.ndarray) -> None:
    assert len(model(photo, points=[30, 20], imgsz=64, conf=0.9, verbose=False)) == 1
    assert model.predictor.args.conf == 0.9
    assert model.predictor.core.network.config.image_size == (64, 64)
    model(photo, points=[30, 20], verbose=False)
    assert model.predictor.args.conf == 0.25
    assert model.predictor.core.network is model.model
    before = model.predictor
    model(photo, points=[40, 20], verbose=False)
    assert model.predictor is before  # nothing is prepared again


def test_attributes(model: SAM, models: dict[str, Path], capsys: Any) -> None:
    assert model.task == "segment"
    assert isinstance(model.model, torch.nn.Module)
    assert isinstance(model.device, torch.device)
    assert not model.is_sam2
    assert SAM(models["sam2"]).is_sam2
    assert SAM(models["sam3.1"]).is_sam2
    model.info()
    short = capsys.readouterr().err
    assert "parameters" in short
    model.info(detailed=True)
    assert len(capsys.readouterr().err) > len(short)
    model.info(verbose=False)
    assert capsys.readouterr().err == ""


def test_the_documented_example() -> None:
    model = SAM("pico")
    (result,) = model(str(COFFEE), points=[290, 150], labels=[1], verbose=False)
    assert result.masks.data[0, 150, 290]
    (boxed,) = model(cv2.imread(str(COFFEE)), bboxes=[172, 18, 424, 285], verbose=False)
    assert boxed.masks.data.sum() > 10_000


def test_wrong_values(model: SAM, photo: np.ndarray) -> None:
    with pytest.raises(InputError, match="model"):
        SAM(None)
    with pytest.raises(UnknownModelError):
        SAM("no such model")
    with pytest.raises(InputError, match="options of generate"):
        model(photo, points_strides=2)
    with pytest.raises(InputError, match="conf"):
        model(photo, points=[1, 2], conf=7)
