"""The original's README and notebooks, typed with pico, and docs/coming-from-sam2.md."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from samkit.compat import sam2
from samkit.compat.sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from samkit.compat.sam2.build_sam import build_sam2, build_sam2_video_predictor
from samkit.compat.sam2.sam2_image_predictor import SAM2ImagePredictor

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "coming-from-sam2.md").read_text()
CONFIG = "configs/sam2.1/sam2.1_hiera_l.yaml"


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.array(Image.open(ROOT / "examples" / "coffee.jpg").convert("RGB"))


def test_notebook_of_images(image: np.ndarray) -> None:
    predictor = SAM2ImagePredictor(build_sam2(CONFIG, "pico", device="cpu"))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        predictor.set_image(image)
        masks, scores, logits = predictor.predict(
            point_coords=np.array([[290, 150]]),
            point_labels=np.array([1]),
            multimask_output=True,
        )
    sorted_ind = np.argsort(scores)[::-1]
    masks, scores, logits = masks[sorted_ind], scores[sorted_ind], logits[sorted_ind]
    assert masks.shape == (3, 400, 600)
    assert masks[0, 150, 290] == 1

    mask_input = logits[np.argmax(scores), :, :]
    masks, scores, _ = predictor.predict(
        point_coords=np.array([[290, 150], [290, 60]]),
        point_labels=np.array([1, 1]),
        mask_input=mask_input[None, :, :],
        multimask_output=False,
    )
    assert masks.shape == (1, 400, 600)

    input_boxes = np.array([[172, 18, 424, 285], [300, 240, 420, 330]])
    masks, scores, _ = predictor.predict(
        point_coords=None, point_labels=None, box=input_boxes, multimask_output=False
    )
    assert masks.shape == (2, 1, 400, 600)
    assert masks[0, 0, 18:285, 172:424].sum() > 0.9 * masks[0].sum() > 10_000

    pts = np.array([[[290, 150]], [[100, 300]]])
    predictor.set_image_batch([image, image[:, ::-1].copy()])
    masks_batch, scores_batch, _ = predictor.predict_batch(
        [pts, pts], [np.array([[1], [1]])] * 2, box_batch=None, multimask_output=True
    )
    best = [
        masks[range(len(masks)), np.argmax(scores, axis=-1)]
        for masks, scores in zip(masks_batch, scores_batch, strict=True)
    ]
    assert [one.shape for one in best] == [(2, 400, 600)] * 2


def test_notebook_of_everything(image: np.ndarray) -> None:
    model = build_sam2("pico", device="cpu", apply_postprocessing=False)
    mask_generator = SAM2AutomaticMaskGenerator(
        model=model, points_per_side=6, pred_iou_thresh=0.4, stability_score_thresh=0.6
    )
    masks = mask_generator.generate(image)
    assert len(masks) > 2
    assert masks[0]["segmentation"].shape == (400, 600)


def test_notebook_of_videos() -> None:
    predictor = build_sam2_video_predictor(CONFIG, "pico", device="cpu")
    state = predictor.init_state(video_path=str(ROOT / "examples" / "coffee.mp4"))
    predictor.reset_state(state)
    points, labels = np.array([[202, 86]], dtype=np.float32), np.array([1], np.int32)
    box = np.array([114, 0, 303, 188], dtype=np.float32)
    _, out_obj_ids, out_mask_logits = predictor.add_new_points_or_box(
        inference_state=state, frame_idx=0, obj_id=1, points=points, labels=labels, box=box
    )
    assert out_obj_ids == [1]
    assert (out_mask_logits[0] > 0.0).cpu().numpy()[0, 86, 202]
    video_segments = {}
    for out_frame_idx, out_obj_ids, out_mask_logits in predictor.propagate_in_video(
        state, max_frame_num_to_track=5
    ):
        video_segments[out_frame_idx] = {
            out_obj_id: (out_mask_logits[i] > 0.0).cpu().numpy()
            for i, out_obj_id in enumerate(out_obj_ids)
        }
    assert sorted(video_segments) == list(range(6))
    assert all(segments[1].sum() > 5000 for segments in video_segments.values())


def test_every_name_is_in_the_guide() -> None:
    for name in sam2.__all__:
        assert f"`{name}`" in GUIDE
