"""Sizes in config.json, both ways."""

import json
from dataclasses import replace

import pytest
from transformers import Sam2Config, Sam2VideoConfig, SamConfig

from samkit.errors import CheckpointError
from samkit.sizes import MemoryConfig, sam2, sam_vit
from samkit.weights import MODELS
from samkit.weights.hugging_face import config_from_json, config_to_json

WRITABLE = [name for name in MODELS if name not in ("pico", "mobile-sam")]


def test_defaults_are_the_released_sizes():
    assert config_from_json({"model_type": "sam"}) == sam_vit("b")
    assert config_from_json({"model_type": "sam2"}) == sam2("tiny")
    assert config_from_json({"model_type": "sam2_video"}) == sam2("tiny")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(SamConfig, sam_vit("b")), (Sam2Config, sam2("tiny")), (Sam2VideoConfig, sam2("tiny"))],
)
def test_what_transformers_writes(theirs, ours):
    assert config_from_json(json.loads(theirs().to_json_string(use_diff=False))) == ours
    assert config_from_json(json.loads(theirs().to_json_string())) == ours


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("memory", [True, False])
def test_there_and_back(name, memory):
    config = MODELS[name].config
    values = json.loads(json.dumps(config_to_json(config, memory=memory, dtype="float32")))
    if config.family == "sam2" and not memory:
        config = replace(config, memory=MemoryConfig())
    assert config_from_json(values) == config
    kind = {"sam": SamConfig, "sam2": Sam2VideoConfig if memory else Sam2Config}[config.family]
    assert config_from_json(json.loads(kind(**values).to_json_string())) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "of type None"),
        ({"model_type": "bert"}, "of type 'bert'"),
        ({"model_type": "sam", "vision_config": {"use_rel_pos": False}}, "use_rel_pos=False"),
        ({"model_type": "sam", "vision_config": {"output_channels": 128}}, "hidden_size"),
        ({"model_type": "sam", "vision_config": []}, None),
        ({"model_type": "sam", "vision_config": "x"}, "cannot understand"),
        ({"model_type": "sam", "vision_config": {"image_size": [1, 2, 3]}}, "cannot understand"),
        ({"model_type": "sam", "mask_decoder_config": {"iou_head_depth": 4}}, "iou_head_depth=4"),
        ({"model_type": "sam2", "vision_config": {"fpn_hidden_size": 64}}, "hidden_size=64"),
        (
            {"model_type": "sam2", "vision_config": {"backbone_config": {"hidden_size": 100}}},
            "embed_dim_per_stage",
        ),
        (
            {
                "model_type": "sam2",
                "vision_config": {
                    "backbone_config": {"num_attention_heads_per_stage": [1, 1, 1, 1]}
                },
            },
            "num_attention_heads_per_stage",
        ),
        ({"model_type": "sam2_video", "memory_fuser_kernel_size": 3}, "memory_fuser_kernel_size"),
        ({"model_type": "sam2_video", "memory_encoder_hidden_size": 3}, "memory_encoder_hidden"),
    ],
)
def test_what_is_not_supported(values, message):
    if message is None:
        assert config_from_json(values) == sam_vit("b")
    else:
        with pytest.raises(CheckpointError, match=message):
            config_from_json(values, "here")


def test_what_transformers_cannot_hold():
    config = sam2("tiny")
    for other, message in (
        (replace(config, memory=replace(config.memory, dim=32)), "64 channels"),
        (replace(config, mask_decoder=replace(config.mask_decoder, depth=3)), "two layers"),
        (replace(config, mask_decoder=replace(config.mask_decoder, iou_head_depth=2)), "three"),
        (replace(config, image_size=(512, 1024)), "square"),
        (replace(config, mask_decoder=replace(config.mask_decoder, object_score=False)), "scores"),
    ):
        with pytest.raises(CheckpointError, match=message):
            config_to_json(other, memory=True, dtype="float32")
