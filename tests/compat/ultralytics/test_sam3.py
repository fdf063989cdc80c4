"""SAM 3 for one object at a time: images and tracking, as with SAM 2."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from samkit import Prompt, VideoPredictor
from samkit.compat.ultralytics import (
    SAM,
    SAM2DynamicInteractivePredictor,
    SAM2Predictor,
    SAM2VideoPredictor,
    SAM3Predictor,
    SAM3VideoPredictor,
)
from samkit.errors import InputError

BOX = [5, 10, 20, 30]


@pytest.mark.parametrize("name", ["sam3", "sam3.1"])
def test_prompts_on_an_image(overrides: Any, photo: np.ndarray, name: str) -> None:
    predictor = SAM3Predictor(overrides=overrides(name))
    predictor.set_image(photo)
    (result,) = predictor(bboxes=[BOX, [30, 5, 70, 40]], multimask_output=True)
    rgb = np.ascontiguousarray(photo[..., ::-1])
    prompts = [Prompt.box(*BOX), Prompt.box(30, 5, 70, 40)]
    expected = predictor.core.predict(rgb, prompts, candidates=3)
    assert np.array_equal(result.masks.data.numpy(), expected.masks)
    assert np.array_equal(result.boxes.conf.numpy(), expected.scores)
    (clicked,) = predictor(points=[[[30, 20], [70, 45]]], labels=[[1, 0]])
    assert len(clicked) == 1


def test_everything(overrides: Any, photo: np.ndarray) -> None:
    options: dict[str, Any] = {"conf_thres": 0.0, "stability_score_thresh": 0.0}
    (found,) = SAM3Predictor(overrides=overrides("sam3"))(photo, points_stride=2, **options)
    assert len(found) > 0


def test_features_serve_another_predictor(overrides: Any, photo: np.ndarray) -> None:
    first, second = (SAM3Predictor(overrides=overrides("sam3")) for _ in range(2))
    first.set_image(photo)
    second.setup_model()
    masks, boxes = second.inference_features(first.features, photo.shape[:2], bboxes=BOX)
    (want,) = first(bboxes=BOX)
    assert torch.equal(masks, want.masks.data)
    assert torch.allclose(boxes, want.boxes.data)


def test_tracking(overrides: Any, frames: np.ndarray) -> None:
    tracker = SAM3VideoPredictor(overrides=overrides("sam3"))
    core = VideoPredictor(tracker.core, frames[..., ::-1], non_overlapping=True)
    core.prompt(0, 0, Prompt.box(*BOX))
    core.prompt(0, 1, Prompt.box(30, 5, 50, 25))
    results = tracker(frames, bboxes=[BOX, [30, 5, 50, 25]], stream=True)
    for result, (number, masks) in zip(results, core.track(), strict=True):
        assert result.frame == number
        assert result.boxes.cls.tolist() == [0, 1]
        assert np.array_equal(result.masks.data.numpy(), masks.masks)


def test_the_shortest_interface(models: dict[str, Path], photo: np.ndarray) -> None:
    model = SAM(models["sam3"])
    assert model.is_sam2
    (result,) = model(photo, points=[30, 20], device="cpu", verbose=False)
    assert len(result) == 1


@pytest.mark.parametrize("make", [SAM3Predictor, SAM3VideoPredictor])
def test_models_that_do_not_fit(make: Any, overrides: Any) -> None:
    assert make.default_model == "sam3.pt"
    with pytest.raises(InputError, match="expected SAM 3, got SAM 2; SAM2Predictor runs it"):
        make(overrides=overrides("sam2")).setup_model()
    with pytest.raises(InputError, match="expected SAM 3, got SAM; Predictor runs it"):
        make(overrides=overrides("sam")).setup_model()


@pytest.mark.parametrize(
    "make", [SAM3VideoPredictor, SAM2VideoPredictor, SAM2DynamicInteractivePredictor]
)
def test_what_needs_the_memory_that_sam_3_1_lacks(
    make: Any, overrides: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"of SAM 3\.1 samkit has the part for images.*take sam3"):
        make(overrides=overrides("sam3.1")).setup_model()
    loaded: list[Any] = []
    monkeypatch.setattr("samkit.compat.ultralytics.loading.load_network", loaded.append)
    for name in ("sam3.1", "sam3.1_multiplex.pt"):
        with pytest.raises(InputError, match=r"of SAM 3\.1 samkit has"):
            make(overrides={"model": name, "verbose": False}).setup_model()
    assert loaded == []


def test_images_of_sam_3_with_the_predictor_of_sam_2(overrides: Any, photo: np.ndarray) -> None:
    found = [
        make(overrides=overrides("sam3"))(photo, bboxes=BOX)[0].masks.data
        for make in (SAM2Predictor, SAM3Predictor)
    ]
    assert torch.equal(*found)
