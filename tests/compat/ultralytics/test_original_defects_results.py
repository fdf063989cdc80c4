"""What the original gets wrong, numbered as in the description, and right here: 4 and 7."""

from typing import Any

import numpy as np
import pytest
import torch

from samkit import Prompt
from samkit.compat.ultralytics import (
    Predictor,
    SAM2DynamicInteractivePredictor,
    SAM2VideoPredictor,
)
from samkit.errors import SamkitError
from samkit.nn import MaskPrediction

LOOSE: dict[str, Any] = {"conf_thres": 0.0, "stability_score_thresh": 0.0, "points_stride": 4}
BOX = [5, 10, 20, 30]


# 4. Every prompt yields its result


def _blank_for_some(monkeypatch: pytest.MonkeyPatch, predictor: Any) -> None:
    """The network finds nothing for the second of three prompts, and is unsure of the third."""
    decoder = predictor.core.network.mask_decoder
    single_masks = decoder.single_masks

    def decoded(attended: Any) -> MaskPrediction:
        found = single_masks(attended)
        logits, iou = torch.full_like(found.logits, 5.0), torch.full_like(found.iou, 0.9)
        logits[1], iou[1], iou[2] = -5.0, 0.05, 0.1
        return MaskPrediction(
            logits=logits, iou=iou, tokens=found.tokens, object_score=found.object_score
        )

    monkeypatch.setattr(decoder, "single_masks", decoded)


def test_4_blank_and_unsure_masks_stay_at_their_place(
    predictor: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    _blank_for_some(monkeypatch, predictor)
    (result,) = predictor(photo, points=[[9, 9], [20, 20], [40, 30]])
    assert result.boxes.cls.tolist() == [0, 1, 2]
    assert result.masks.data.any(2).any(1).tolist() == [True, False, True]
    assert result.boxes.conf.tolist() == pytest.approx([0.9, 0.05, 0.1])
    assert result.confident.tolist() == [True, False, False]
    assert predictor.args.conf == 0.25
    im = predictor.preprocess([photo])
    preds = predictor.inference(im, points=[[9, 9], [20, 20], [40, 30]])
    assert len(predictor.postprocess(preds, im, [photo])[0]) == 3
    features = predictor.get_im_features(im)
    masks, boxes = predictor.inference_features(
        features, (50, 83), points=[[9, 9], [20, 20], [40, 30]]
    )
    assert boxes[:, 4].tolist() == pytest.approx([0.9, 0.05, 0.1])
    assert len(masks) == 3


def test_4_scores_are_predicted(predictor: Predictor, photo: np.ndarray) -> None:
    points = [[9, 9], [20, 20], [40, 30]]
    (result,) = predictor(photo, points=points)
    core = predictor.core.predict(photo[..., ::-1].copy(), [Prompt.point(*xy) for xy in points])
    assert result.boxes.conf.tolist() == core.scores.tolist()
    assert len(set(core.scores.tolist())) == 3


def test_4_in_video_ids_are_classes_and_scores_know_of_presence(
    tracker: SAM2VideoPredictor, frames: np.ndarray
) -> None:
    tracker.setup_source(frames[:5])
    for number in (40, -2):
        tracker.add_new_prompts(number, points=[12 if number > 0 else 40, 20])
    for result in tracker():
        assert result.boxes.cls.tolist() == [40, -2]
        assert result.names == {40: "40", -2: "-2"}
        presence, iou = result.core.presence, result.core.scores
        assert ((presence > 0) & (presence < 1)).all()
        assert result.boxes.conf.tolist() == (presence * iou).tolist()


# 7. Input checks (more in test_sources and test_prompts)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((9, 8, 4), np.uint8),
        np.zeros((9, 8), np.uint8),
        np.zeros((9, 8, 3), np.uint16),
        np.zeros((3, 9, 8), np.uint8),
        np.full((9, 8, 3), np.nan),
        [],
    ],
)
def test_7_images_that_are_none(sam: Predictor, image: Any) -> None:
    for call in (sam, sam.set_image):
        with pytest.raises(ValueError, match=r"expected .*got") as caught:
            call(image)  # type: ignore[operator]
        assert isinstance(caught.value, SamkitError)


@pytest.mark.parametrize(
    "prompts",
    [
        {"bboxes": []},
        {"bboxes": [[1, 2, 3]]},
        {"bboxes": [[1, 2, np.nan, 4]]},
        {"points": [[[[1, 2]]]]},
        {"points": []},
        {"points": [[1, 2]], "labels": [1, 1, 1]},
        {"masks": np.zeros((0, 4, 4))},
    ],
)
def test_7_prompts_that_are_none(sam: Predictor, photo: np.ndarray, prompts: Any) -> None:
    with pytest.raises(ValueError, match=r"expected .*got"):
        sam(photo, **prompts)


def test_7_rectangular_inputs(overrides: Any, frames: np.ndarray) -> None:
    """Also with memory."""
    settings = overrides("tracker", imgsz=(64, 96))
    tracker = SAM2VideoPredictor(overrides=settings)
    assert len(tracker(frames[:3], bboxes=BOX)) == 3  # type: ignore[arg-type]
    memory = SAM2DynamicInteractivePredictor(overrides=settings)
    memory(frames[0], bboxes=[BOX], obj_ids=[1], update_memory=True)
    (result,) = memory(frames[9])
    assert result.core.logits.shape == (1, 16, 24)
