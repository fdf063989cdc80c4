"""The original's README and notebooks, typed with pico; and the page in docs."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from samkit.compat import segment_anything
from samkit.compat.segment_anything import (
    SamAutomaticMaskGenerator,
    SamPredictor,
    sam_model_registry,
)

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "coming-from-segment-anything.md").read_text()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    pixels = cv2.imread(str(ROOT / "examples" / "coffee.jpg"))
    assert pixels is not None
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def test_notebook_of_prompts(image: np.ndarray) -> None:
    sam = sam_model_registry["pico"]()
    sam.to(device="cpu")
    predictor = SamPredictor(sam)
    predictor.set_image(image)

    input_point, input_label = np.array([[290, 150]]), np.array([1])
    masks, scores, logits = predictor.predict(
        point_coords=input_point, point_labels=input_label, multimask_output=True
    )
    assert masks.shape == (3, 400, 600)
    assert masks[np.argmax(scores), 150, 290]

    mask_input = logits[np.argmax(scores), :, :]
    masks, _, _ = predictor.predict(
        point_coords=np.array([[290, 150], [290, 60]]),
        point_labels=np.array([1, 1]),
        mask_input=mask_input[None, :, :],
        multimask_output=False,
    )
    assert masks.shape == (1, 400, 600)

    input_box = np.array([172, 18, 424, 285])
    masks, _, _ = predictor.predict(
        point_coords=None, point_labels=None, box=input_box[None, :], multimask_output=False
    )
    inside = np.zeros((400, 600), bool)
    inside[18:285, 172:424] = True
    assert (masks[0] & inside).sum() > 0.9 * masks[0].sum() > 10_000

    input_boxes = torch.tensor([[172, 18, 424, 285], [300, 240, 420, 330]], device=predictor.device)
    transformed_boxes = predictor.transform.apply_boxes_torch(input_boxes, image.shape[:2])
    batch, _, _ = predictor.predict_torch(
        point_coords=None, point_labels=None, boxes=transformed_boxes, multimask_output=False
    )
    assert batch.shape == (2, 1, 400, 600)
    assert (batch[0, 0].cpu().numpy() == masks[0]).mean() > 0.999


def test_notebook_of_everything(image: np.ndarray) -> None:
    sam = sam_model_registry["pico"]()
    mask_generator = SamAutomaticMaskGenerator(
        model=sam, points_per_side=6, pred_iou_thresh=0.4, stability_score_thresh=0.6
    )
    masks = mask_generator.generate(image)
    assert len(masks) > 2
    assert set(masks[0]) == {
        "segmentation",
        "area",
        "bbox",
        "predicted_iou",
        "point_coords",
        "stability_score",
        "crop_box",
    }
    largest = sorted(masks, key=lambda record: record["area"], reverse=True)[0]
    assert largest["segmentation"].sum() == largest["area"]


def test_every_name_is_in_the_guide() -> None:
    for name in segment_anything.__all__:
        assert f"`{name}`" in GUIDE
