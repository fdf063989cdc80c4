"""Names, arguments and defaults of the original."""

import inspect
from typing import Any

import pytest

from samkit.compat import sam2
from samkit.compat.sam2 import (
    SAM2AutomaticMaskGenerator,
    SAM2ImagePredictor,
    SAM2VideoPredictor,
    build_sam2,
    build_sam2_video_predictor,
)

NEEDED = inspect.Parameter.empty
PREDICT = {"multimask_output": True, "return_logits": False, "normalize_coords": True}
ANSWER = {"inference_state": NEEDED, "frame_idx": NEEDED, "obj_id": NEEDED}
POINTS = {
    **ANSWER,
    "points": None,
    "labels": None,
    "clear_old_points": True,
    "normalize_coords": True,
    "box": None,
}
# The original's device is "cuda".
BUILD = {
    "config_file": NEEDED,
    "ckpt_path": None,
    "device": "auto",
    "mode": "eval",
    "hydra_overrides_extra": (),
    "apply_postprocessing": True,
}

CALLS: list[tuple[Any, dict[str, Any]]] = [
    (build_sam2, BUILD),
    (build_sam2_video_predictor, {**BUILD, "vos_optimized": False}),
    (
        SAM2ImagePredictor.__init__,
        {
            "sam_model": NEEDED,
            "mask_threshold": 0.0,
            "max_hole_area": 0.0,
            "max_sprinkle_area": 0.0,
        },
    ),
    (SAM2ImagePredictor.set_image, {"image": NEEDED}),
    (SAM2ImagePredictor.set_image_batch, {"image_list": NEEDED}),
    (
        SAM2ImagePredictor.predict,
        {
            "point_coords": None,
            "point_labels": None,
            "box": None,
            "mask_input": None,
            **PREDICT,
        },
    ),
    (
        SAM2ImagePredictor.predict_batch,
        {
            "point_coords_batch": None,
            "point_labels_batch": None,
            "box_batch": None,
            "mask_input_batch": None,
            **PREDICT,
        },
    ),
    (SAM2ImagePredictor.get_image_embedding, {}),
    (SAM2ImagePredictor.reset_predictor, {}),
    (
        SAM2VideoPredictor.init_state,
        {
            "video_path": NEEDED,
            "offload_video_to_cpu": False,
            "offload_state_to_cpu": False,
            "async_loading_frames": False,
        },
    ),
    (SAM2VideoPredictor.add_new_points_or_box, POINTS),
    (SAM2VideoPredictor.add_new_points, POINTS),
    (SAM2VideoPredictor.add_new_mask, {**ANSWER, "mask": NEEDED}),
    (
        SAM2VideoPredictor.propagate_in_video,
        {
            "inference_state": NEEDED,
            "start_frame_idx": None,
            "max_frame_num_to_track": None,
            "reverse": False,
        },
    ),
    (SAM2VideoPredictor.clear_all_prompts_in_frame, {**ANSWER, "need_output": True}),
    (SAM2VideoPredictor.reset_state, {"inference_state": NEEDED}),
    (
        SAM2VideoPredictor.remove_object,
        {"inference_state": NEEDED, "obj_id": NEEDED, "strict": False, "need_output": True},
    ),
    (
        SAM2AutomaticMaskGenerator.__init__,
        {
            "model": NEEDED,
            "points_per_side": 32,
            "points_per_batch": 64,
            "pred_iou_thresh": 0.8,
            "stability_score_thresh": 0.95,
            "stability_score_offset": 1.0,
            "mask_threshold": 0.0,
            "box_nms_thresh": 0.7,
            "crop_n_layers": 0,
            "crop_nms_thresh": 0.7,
            "crop_overlap_ratio": 512 / 1500,
            "crop_n_points_downscale_factor": 1,
            "point_grids": None,
            "min_mask_region_area": 0,
            "output_mode": "binary_mask",
            "use_m2m": False,
            "multimask_output": True,
        },
    ),
    (SAM2AutomaticMaskGenerator.generate, {"image": NEEDED}),
]


@pytest.mark.parametrize(("call", "expected"), CALLS, ids=lambda x: getattr(x, "__qualname__", ""))
def test_arguments(call: Any, expected: dict[str, Any]) -> None:
    arguments = {
        p.name: p.default for p in inspect.signature(call).parameters.values() if p.name != "self"
    }
    assert list(arguments.items()) == list(expected.items())


def test_everything_public_is_there() -> None:
    assert all(hasattr(sam2, name) for name in sam2.__all__)
    for cls in (SAM2ImagePredictor, SAM2VideoPredictor, SAM2AutomaticMaskGenerator):
        assert next(iter(inspect.signature(cls.from_pretrained).parameters)) == "model_id"
