"""Everything that the interface documents: names, arguments, defaults, attributes, shapes."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch

from samkit.compat import ultralytics
from samkit.compat.ultralytics import (
    DEFAULT_CFG,
    Predictor,
    SAM2DynamicInteractivePredictor,
    SAM2Predictor,
    SAM2VideoPredictor,
)

NEEDED = inspect.Parameter.empty
PROMPTS = {"bboxes": None, "points": None, "labels": None, "masks": None}

CALLS: list[tuple[Any, dict[str, Any]]] = [
    (Predictor.__init__, {"cfg": DEFAULT_CFG, "overrides": None, "_callbacks": None}),
    (SAM2Predictor.__init__, {"cfg": DEFAULT_CFG, "overrides": None, "_callbacks": None}),
    (SAM2VideoPredictor.__init__, {"cfg": DEFAULT_CFG, "overrides": None, "_callbacks": None}),
    (
        SAM2DynamicInteractivePredictor.__init__,
        {"cfg": DEFAULT_CFG, "overrides": None, "max_obj_num": 3, "_callbacks": None},
    ),
    (
        Predictor.__call__,
        {"source": None, **PROMPTS, "multimask_output": False, "stream": False},
    ),
    (Predictor.setup_model, {"model": None, "model_path": None, "verbose": True}),
    (Predictor.setup_source, {"source": NEEDED}),
    (Predictor.set_image, {"image": NEEDED}),
    (Predictor.reset_image, {}),
    (Predictor.set_prompts, {"prompts": NEEDED}),
    (Predictor.pre_transform, {"im": NEEDED}),
    (Predictor.preprocess, {"im": NEEDED}),
    (Predictor.inference, {"im": NEEDED, **PROMPTS, "multimask_output": False}),
    (Predictor.prompt_inference, {"im": NEEDED, **PROMPTS, "multimask_output": False}),
    (Predictor.get_im_features, {"im": NEEDED}),
    (
        Predictor.inference_features,
        {
            "features": NEEDED,
            "src_shape": NEEDED,
            "dst_shape": None,
            **PROMPTS,
            "multimask_output": False,
        },
    ),
    (
        Predictor.generate,
        {
            "im": NEEDED,
            "crop_n_layers": 0,
            "crop_overlap_ratio": 512 / 1500,
            "crop_downscale_factor": 1,
            "point_grids": None,
            "points_stride": 32,
            "points_batch_size": 64,
            "conf_thres": 0.88,
            "stability_score_thresh": 0.95,
            "stability_score_offset": 0.95,
            "crop_nms_thresh": 0.7,
        },
    ),
    (Predictor.remove_small_regions, {"masks": NEEDED, "min_area": 0, "nms_thresh": 0.7}),
    (Predictor.postprocess, {"preds": NEEDED, "img": NEEDED, "orig_imgs": NEEDED}),
    (SAM2VideoPredictor.__call__, {"source": None, **PROMPTS, "stream": False}),
    (SAM2VideoPredictor.init_state, {"predictor": NEEDED}),
    (
        SAM2VideoPredictor.add_new_prompts,
        {"obj_id": NEEDED, "points": None, "labels": None, "masks": None, "frame_idx": 0},
    ),
    (SAM2VideoPredictor.propagate_in_video_preflight, {}),
    (SAM2VideoPredictor.get_im_features, {"im": NEEDED, "batch": 1}),
    (
        SAM2DynamicInteractivePredictor.__call__,
        {"source": None, **PROMPTS, "obj_ids": None, "update_memory": False, "stream": False},
    ),
    (
        SAM2DynamicInteractivePredictor.inference,
        {"im": NEEDED, **PROMPTS, "obj_ids": None, "update_memory": False},
    ),
    (
        SAM2DynamicInteractivePredictor.update_memory,
        {"obj_ids": None, "points": None, "labels": None, "masks": None},
    ),
    (
        SAM2DynamicInteractivePredictor.track_step,
        {"obj_idx": None, "point": None, "label": None, "mask": None},
    ),
    (SAM2DynamicInteractivePredictor.get_maskmem_enc, {}),
    (SAM2DynamicInteractivePredictor.get_im_features, {"img": NEEDED}),
]


@pytest.mark.parametrize(("call", "expected"), CALLS, ids=lambda x: getattr(x, "__qualname__", ""))
def test_arguments(call: Any, expected: dict[str, Any]) -> None:
    """Of additions beyond the document, all are keyword-only."""
    documented = {
        p.name: p.default
        for p in inspect.signature(call).parameters.values()
        if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and p.name != "self"
    }
    assert list(documented.items()) == list(expected.items())


@pytest.mark.parametrize("name", ["setup_model", "setup_source", "set_prompts", "preprocess"])
def test_every_predictor_has_what_is_shared(name: str) -> None:
    for cls in (SAM2Predictor, SAM2VideoPredictor, SAM2DynamicInteractivePredictor):
        assert callable(getattr(cls, name))


def test_everything_public_is_there() -> None:
    assert {
        "Predictor",
        "SAM2Predictor",
        "SAM2VideoPredictor",
        "SAM2DynamicInteractivePredictor",
        "DEFAULT_CFG",
    } <= set(ultralytics.__all__)
    assert all(hasattr(ultralytics, name) for name in ultralytics.__all__)


def test_static_methods() -> None:
    for cls, name in ((Predictor, "remove_small_regions"), (SAM2VideoPredictor, "init_state")):
        assert isinstance(inspect.getattr_static(cls, name), staticmethod)


def test_settings_that_matter_and_those_that_are_fixed() -> None:
    asked = {
        "model": "sam_b.pt",
        "imgsz": (32, 64),
        "device": "cpu",
        "half": True,
        "conf": 0.3,
        "iou": 0.6,
        "retina_masks": False,
        "save": True,
        "project": "p",
        "name": "n",
        "verbose": False,
    }
    args = Predictor(overrides=asked).args
    for name, value in asked.items():
        assert getattr(args, name) == (True if name == "retina_masks" else value), name
    assert (args.task, args.mode, args.batch) == ("segment", "predict", 1)
    other = Predictor(overrides={"task": "detect", "mode": "train", "batch": 8}).args
    assert (other.task, other.mode, other.batch) == ("segment", "predict", 1)


def test_attributes(predictor: Predictor, photo: np.ndarray) -> None:
    for mean in (predictor.mean, (predictor.setup_model(), predictor.mean)[1]):
        assert mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert predictor.std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375], abs=0.01)
    assert predictor.im is None
    assert predictor.features is None
    assert predictor.prompts == {}
    assert predictor.segment_all is False
    assert isinstance(predictor.model, torch.nn.Module)
    assert predictor.device == torch.device("cpu")
    predictor.set_image(photo)
    assert predictor.im is not None
    assert predictor.im.shape == (1, 3, 128, 128)
    assert predictor.features is not None
    predictor.reset_image()
    assert predictor.im is predictor.features is None


def test_attributes_of_video_and_memory() -> None:
    video = SAM2VideoPredictor()
    assert not video.inference_state
    assert video.non_overlap_masks is True
    assert video.clear_non_cond_mem_around_input is False
    assert video.clear_non_cond_mem_for_multi_obj is False
    dynamic = SAM2DynamicInteractivePredictor()
    assert dynamic.memory_bank == []
    assert dynamic.obj_idx_set == set()
    assert dynamic.obj_id_to_idx == dynamic.obj_idx_to_id == {}
    assert dynamic.max_obj_num == 3


@pytest.mark.parametrize("multimask_output", [False, True])
def test_what_inference_returns(
    predictor: Predictor, photo: np.ndarray, multimask_output: bool
) -> None:
    K = 3 if multimask_output else 1
    im = predictor.preprocess([photo])
    assert im.shape == (1, 3, 128, 128)
    prompts: dict[str, Any] = {"points": [[5, 6], [7, 8]], "multimask_output": multimask_output}
    for call in (predictor.inference, predictor.prompt_inference):
        masks, scores = call(im, **prompts)
        assert masks.shape == (2 * K, 32, 32)
        assert masks.dtype == scores.dtype == torch.float32
        assert scores.shape == (2 * K,)
    features = predictor.get_im_features(im)
    masks, boxes = predictor.inference_features(features, (50, 83), (128, 128), **prompts)
    assert masks.shape == (2 * K, 50, 83)
    assert masks.dtype == torch.bool
    assert boxes.shape == (2 * K, 6)
    assert boxes[:, 5].tolist() == list(range(2 * K))


def test_what_generate_returns(predictor: Predictor, photo: np.ndarray) -> None:
    im = predictor.preprocess([photo])
    options = {"points_stride": 3, "conf_thres": 0.0, "stability_score_thresh": 0.0}
    masks, scores, boxes = predictor.generate(im, **options)  # type: ignore[arg-type]
    N = len(masks)
    assert N > 0
    assert masks.shape == (N, 50, 83)
    assert masks.dtype == torch.bool
    assert scores.shape == (N,)
    assert boxes.shape == (N, 4)
    again, same = predictor.inference(im, **options)
    assert torch.equal(again, masks)
    assert torch.equal(same, scores)
    (result,) = predictor.postprocess((masks, scores, boxes), im, [photo])
    assert torch.equal(result.masks.data, masks)
    assert torch.equal(result.boxes.xyxy, boxes)


def test_features_have_the_documented_form(sam: Predictor, sam2: SAM2Predictor, photo: Any) -> None:
    both = [photo, photo[::-1]]
    features = sam.get_im_features(sam.preprocess(both))
    assert isinstance(features, torch.Tensor)
    assert features.shape == (2, 16, 8, 8)
    features = sam2.get_im_features(sam2.preprocess(both))
    assert isinstance(features, dict)
    assert set(features) == {"image_embed", "high_res_feats"}
    assert features["image_embed"].shape == (2, 16, 8, 8)
    assert [level.shape[1:] for level in features["high_res_feats"]] == [(2, 32, 32), (4, 16, 16)]
