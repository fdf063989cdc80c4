"""Everything that the interface documents: names, arguments, defaults, shapes."""

import inspect
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from samkit.compat import tfimm
from samkit.compat.tfimm import (
    ImageResizer,
    SAMPredictor,
    SegmentAnythingModel,
    SegmentAnythingModelConfig,
    list_models,
)

CONFIG = {
    "name": "",
    "url": "",
    "in_channels": 3,
    "input_size": (1024, 1024),
    "fixed_input_size": True,
    "embed_dim": 256,
    "nb_multimask_outputs": 3,
    "mask_threshold": 0.0,
    "encoder_patch_size": 16,
    "encoder_embed_dim": 768,
    "encoder_nb_blocks": 12,
    "encoder_nb_heads": 12,
    "encoder_mlp_ratio": 4.0,
    "encoder_drop_rate": 0.0,
    "encoder_attn_drop_rate": 0.0,
    "encoder_drop_path_rate": 0.0,
    "encoder_norm_layer": "layer_norm_eps_1e-6",
    "encoder_act_layer": "gelu",
    "encoder_qkv_bias": True,
    "encoder_global_attn_indices": (2, 5, 8, 11),
    "encoder_window_size": 14,
    "prompt_mask_hidden_dim": 16,
    "decoder_nb_blocks": 2,
    "decoder_nb_heads": 8,
    "decoder_mlp_channels": 2048,
    "decoder_iou_head_depth": 3,
    "decoder_iou_hidden_dim": 256,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "first_conv": "image_encoder/patch_embed/proj",
}

REQUIRED = inspect.Parameter.empty

CALLS: list[tuple[Any, dict[str, Any]]] = [
    (SegmentAnythingModel.__init__, {"cfg": REQUIRED}),
    (
        SegmentAnythingModel.__call__,
        {
            "inputs": REQUIRED,
            "training": False,
            "multimask_output": False,
            "return_logits": False,
        },
    ),
    (SegmentAnythingModel.grid_size, {"input_size": None}),
    (SegmentAnythingModel.mask_size, {"input_size": None}),
    (SAMPredictor.__init__, {"model": REQUIRED, "preprocessing": None}),
    (SAMPredictor.set_image, {"image": REQUIRED}),
    (SAMPredictor.clear_image, {}),
    (
        SAMPredictor.__call__,
        {
            "points": None,
            "labels": None,
            "boxes": None,
            "masks": None,
            "multimask_output": True,
            "return_logits": False,
        },
    ),
    (SAMPredictor.preprocess_masks, {"mask": REQUIRED}),
    (SAMPredictor.input_size, {}),
    (SAMPredictor.mask_size, {}),
    (
        list_models,
        {"name_filter": "", "module": "", "pretrained": False, "exclude_filters": ""},
    ),
    (ImageResizer.__init__, {"src_size": REQUIRED, "dst_size": REQUIRED, "pad_only": False}),
    (ImageResizer.scale_image, {"image": REQUIRED, "channels_last": True}),
    (ImageResizer.pad_image, {"image": REQUIRED, "channels_last": True}),
    (ImageResizer.scale_points, {"points": REQUIRED}),
    (ImageResizer.scale_boxes, {"boxes": REQUIRED}),
    (ImageResizer.postprocess_mask, {"mask": REQUIRED, "threshold": None}),
    (ImageResizer.unscale_image, {"image": REQUIRED, "channels_last": True}),
    (
        ImageResizer.scale_to_size,
        {"image": REQUIRED, "size": REQUIRED, "channels_last": True},
    ),
]


def test_config_fields_in_order() -> None:
    assert [field.name for field in fields(SegmentAnythingModelConfig)] == list(CONFIG)


@pytest.mark.parametrize("name", CONFIG)
def test_config_defaults(name: str) -> None:
    value = getattr(SegmentAnythingModelConfig(), name)
    assert value == CONFIG[name]
    assert type(value) is type(CONFIG[name])


@pytest.mark.parametrize(("call", "expected"), CALLS, ids=lambda x: getattr(x, "__qualname__", ""))
def test_arguments(call: Any, expected: dict[str, Any]) -> None:
    parameters = inspect.signature(call).parameters.values()
    assert {p.name: p.default for p in parameters if p.name != "self"} == expected
    assert all(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters)


def test_scale_to_size_is_static() -> None:
    assert isinstance(inspect.getattr_static(ImageResizer, "scale_to_size"), staticmethod)


def test_everything_public_is_there() -> None:
    for name in ("SegmentAnythingModelConfig", "SegmentAnythingModel", "SAMPredictor"):
        assert name in tfimm.__all__
    assert "ImageResizer" in tfimm.__all__
    assert all(hasattr(tfimm, name) for name in tfimm.__all__)


def test_sizes_of_released_models() -> None:
    """N = 1, (H, W) = (1024, 1024), (H'', W'') = (64, 64), (H', W') = (256, 256)."""
    with_released_sizes = SegmentAnythingModel.__new__(SegmentAnythingModel)
    with_released_sizes.cfg = SegmentAnythingModelConfig()
    assert with_released_sizes.grid_size() == (64, 64)
    assert with_released_sizes.mask_size() == (256, 256)
    assert with_released_sizes.grid_size((512, 768)) == (32, 48)
    assert with_released_sizes.mask_size((512, 768)) == (128, 192)


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize("return_logits", [True, False])
def test_dummy_inputs_and_what_the_model_returns(
    model: SegmentAnythingModel, multimask_output: bool, return_logits: bool
) -> None:
    inputs = model.dummy_inputs
    assert {name: value.shape for name, value in inputs.items()} == {
        "images": (1, 64, 64, 3),
        "points": (1, 1, 2),
        "labels": (1, 1),
        "boxes": (1, 1, 4),
        "masks": (1, 1, 16, 16),
    }
    assert all(value.dtype == np.float32 and not value.any() for value in inputs.values())
    masks, scores, logits = model(
        inputs, multimask_output=multimask_output, return_logits=return_logits
    )
    K = 3 if multimask_output else 1
    assert (masks.shape, scores.shape, logits.shape) == ((1, K, 64, 64), (1, K), (1, K, 16, 16))
    assert masks.dtype == (np.float32 if return_logits else np.bool_)
    assert scores.dtype == logits.dtype == np.float32
    assert all(isinstance(value, np.ndarray) for value in (masks, scores, logits))
    assert model.mask_threshold == 0.0


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize("return_logits", [True, False])
def test_what_the_predictor_returns(
    predictor: SAMPredictor, multimask_output: bool, return_logits: bool
) -> None:
    K = 3 if multimask_output else 1
    options = {"multimask_output": multimask_output, "return_logits": return_logits}
    prompts = {
        "points": np.array([[30.0, 20.0], [5.0, 6.0]]),
        "labels": np.array([1, 0]),
        "boxes": np.array([[10.0, 5.0, 60.0, 40.0]]),
        "masks": np.zeros((1, 16, 16), np.float32),
    }
    for lead, given in (
        ((), prompts),
        ((2,), {name: np.stack([value, value]) for name, value in prompts.items()}),
    ):
        masks, scores, logits = predictor(**given, **options)
        assert masks.shape == (*lead, K, 50, 83)
        assert scores.shape == (*lead, K)
        assert logits.shape == (*lead, K, 16, 16)
        assert masks.dtype == (np.float32 if return_logits else np.bool_)


def test_preprocess_masks_shapes(predictor: SAMPredictor) -> None:
    assert predictor.preprocess_masks(np.zeros((2, 50, 83))).shape == (2, 16, 16)
    assert predictor.preprocess_masks(np.zeros((3, 1, 50, 83))).shape == (3, 1, 16, 16)


def test_resizer_shapes() -> None:
    resizer = ImageResizer((50, 100), (64, 64))
    assert resizer.rescaled_size == (32, 64)
    assert resizer.scale == 0.64
    assert (resizer.src_size, resizer.dst_size, resizer.pad_only) == ((50, 100), (64, 64), False)
    for lead in ((), (2,)):
        last, first = np.zeros((*lead, 50, 100, 3)), np.zeros((*lead, 3, 50, 100))
        scaled = resizer.scale_image(last)
        assert scaled.shape == (*lead, 32, 64, 3)
        assert resizer.scale_image(first, channels_last=False).shape == (*lead, 3, 32, 64)
        assert resizer.pad_image(scaled).shape == (*lead, 64, 64, 3)
        padded = resizer.pad_image(np.zeros((*lead, 3, 32, 64)), channels_last=False)
        assert padded.shape == (*lead, 3, 64, 64)
        assert resizer.unscale_image(scaled).shape == (*lead, 50, 100, 3)
        assert resizer.unscale_image(padded, False).shape == (*lead, 3, 50, 100)
        assert resizer.scale_points(np.zeros((*lead, 4, 2))).shape == (*lead, 4, 2)
        assert resizer.scale_boxes(np.zeros((*lead, 4, 4))).shape == (*lead, 4, 4)
        assert resizer.postprocess_mask(np.zeros((*lead, 64, 64))).shape == (*lead, 50, 100)
        assert resizer.postprocess_mask(np.zeros((*lead, 64, 64))).dtype == np.float32
        assert resizer.postprocess_mask(np.zeros((*lead, 16, 16)), 0.5).dtype == np.bool_
    assert ImageResizer.scale_to_size(np.zeros((5, 6, 1)), (7, 8)).shape == (7, 8, 1)
    assert ImageResizer.scale_to_size(np.zeros((1, 5, 6)), (7, 8), False).shape == (1, 7, 8)
