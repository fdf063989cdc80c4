"""The usual examples with networks of released sizes and random weights. `pytest -m full_size`."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from videos import make_video

from samkit import sizes as networks
from samkit.compat.ultralytics import (
    Predictor,
    SAM2DynamicInteractivePredictor,
    SAM2Predictor,
    SAM2VideoPredictor,
)
from samkit.nn import Sam, Sam2, build

pytestmark = pytest.mark.full_size

COFFEE = Path(__file__).parents[3] / "examples" / "coffee.jpg"
CUP = [172, 18, 424, 285]


def overrides(model: Sam | Sam2, **changes: Any) -> dict[str, Any]:
    return {"model": model, "imgsz": 1024, "device": "cpu", "verbose": False, **changes}


@pytest.fixture(scope="module")
def sam2() -> Sam2:
    torch.manual_seed(0)
    network = build(networks.sam2("tiny"))
    assert isinstance(network, Sam2)
    with torch.no_grad():  # objects are always there
        network.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(9.0)
    return network.eval()


@pytest.fixture(params=["sam", "sam2"])
def predictor(request: pytest.FixtureRequest, sam2: Sam2) -> Predictor:
    if request.param == "sam2":
        return SAM2Predictor(overrides=overrides(sam2))
    torch.manual_seed(0)
    return Predictor(overrides=overrides(build(networks.sam_vit("b")).eval()))


def test_images(predictor: Predictor, tmp_path: Path) -> None:
    predictor.setup_model()
    image = cv2.imread(str(COFFEE))
    predictor.set_image(image)
    for prompts in (
        {"bboxes": CUP},
        {"points": [[290, 150], [100, 300]], "labels": [1, 0]},
        {"bboxes": [CUP], "points": [[[290, 150], [300, 160]]], "labels": [[1, 1]]},
        {"bboxes": CUP, "masks": np.ones((1, 256, 256), bool)},
    ):
        (result,) = predictor(**prompts)
        assert result.orig_shape == (400, 600)
        count = len(np.atleast_2d(prompts["points"])) if "bboxes" not in prompts else 1
        assert result.masks.data.shape == (count, 400, 600)
        assert torch.isfinite(result.boxes.conf).all()
    features = predictor.features
    masks, boxes = predictor.inference_features(features, (200, 300), bboxes=[[86, 9, 212, 142]])
    assert masks.shape == (1, 200, 300)
    assert boxes.shape == (1, 6)

    predictor.reset_image()
    every = {"points_stride": 3, "conf_thres": 0.0, "stability_score_thresh": 0.0}
    (found,) = predictor(COFFEE, crop_n_layers=1, **every)
    assert found.masks is None or found.masks.data.shape[1:] == (400, 600)

    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    predictor.set_prompts({"bboxes": [CUP]})
    assert [len(result) for result in predictor(tmp_path, stream=True)] == [1, 1]


def test_a_video(sam2: Sam2, tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4", 4)
    tracker = SAM2VideoPredictor(overrides=overrides(sam2))
    for result in tracker(source=str(clip), points=[20, 20], labels=[1], stream=True):
        if result.frame == 1:
            tracker.add_new_prompts(obj_id=1, points=[[50, 10]], labels=[1], frame_idx=1)
            tracker.add_new_prompts(obj_id=0, points=[[5, 5]], labels=[0], frame_idx=1)
    assert result.boxes.cls.tolist() == [0, 1]
    assert len(tracker(source=str(clip), bboxes=[[5, 5, 30, 30]])) == 4


def test_memory_across_images(sam2: Sam2) -> None:
    memory = SAM2DynamicInteractivePredictor(overrides=overrides(sam2), max_entries=2)
    image = cv2.imread(str(COFFEE))
    memory(source=image, bboxes=[CUP], obj_ids=[7], update_memory=True)
    turned = np.ascontiguousarray(image[:, ::-1])
    memory(source=turned, points=[[300, 280]], labels=[1], obj_ids=[-3], update_memory=True)
    (found,) = memory(source=image[50:])
    assert found.boxes.cls.tolist() == [7, -3]
    assert len(memory.memory_bank) == 2
