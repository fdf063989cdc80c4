"""Names, arguments and defaults of the original."""

import inspect
from typing import Any

import pytest

from samkit.compat import segment_anything
from samkit.compat.segment_anything import SamAutomaticMaskGenerator, SamPredictor

NEEDED = inspect.Parameter.empty

CALLS: list[tuple[Any, dict[str, Any]]] = [
    (SamPredictor.__init__, {"sam_model": NEEDED}),
    (SamPredictor.set_image, {"image": NEEDED, "image_format": "RGB"}),
    (
        SamPredictor.set_torch_image,
        {"transformed_image": NEEDED, "original_image_size": NEEDED},
    ),
    (
        SamPredictor.predict,
        {
            "point_coords": None,
            "point_labels": None,
            "box": None,
            "mask_input": None,
            "multimask_output": True,
            "return_logits": False,
        },
    ),
    (
        SamPredictor.predict_torch,
        {
            "point_coords": NEEDED,
            "point_labels": NEEDED,
            "boxes": None,
            "mask_input": None,
            "multimask_output": True,
            "return_logits": False,
        },
    ),
    (SamPredictor.get_image_embedding, {}),
    (SamPredictor.reset_image, {}),
    (
        SamAutomaticMaskGenerator.__init__,
        {
            "model": NEEDED,
            "points_per_side": 32,
            "points_per_batch": 64,
            "pred_iou_thresh": 0.88,
            "stability_score_thresh": 0.95,
            "stability_score_offset": 1.0,
            "box_nms_thresh": 0.7,
            "crop_n_layers": 0,
            "crop_nms_thresh": 0.7,
            "crop_overlap_ratio": 512 / 1500,
            "crop_n_points_downscale_factor": 1,
            "point_grids": None,
            "min_mask_region_area": 0,
            "output_mode": "binary_mask",
        },
    ),
    (SamAutomaticMaskGenerator.generate, {"image": NEEDED}),
    *(
        (getattr(segment_anything, name), {"checkpoint": None})
        for name in ("build_sam", "build_sam_vit_h", "build_sam_vit_l", "build_sam_vit_b")
    ),
]


@pytest.mark.parametrize(("call", "expected"), CALLS, ids=lambda x: getattr(x, "__qualname__", ""))
def test_arguments(call: Any, expected: dict[str, Any]) -> None:
    arguments = {
        p.name: p.default for p in inspect.signature(call).parameters.values() if p.name != "self"
    }
    assert list(arguments.items()) == list(expected.items())


def test_everything_public_is_there() -> None:
    assert set(segment_anything.__all__) == {
        "SamAutomaticMaskGenerator",
        "SamPredictor",
        "build_sam",
        "build_sam_vit_b",
        "build_sam_vit_h",
        "build_sam_vit_l",
        "sam_model_registry",
    }
    assert all(hasattr(segment_anything, name) for name in segment_anything.__all__)
    for path in ("predictor", "automatic_mask_generator"):
        assert hasattr(segment_anything, path)
