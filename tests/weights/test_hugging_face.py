"""Sizes in config.json, both ways."""

import json
from dataclasses import replace

import pytest
from transformers import (
    Sam2Config,
    Sam2VideoConfig,
    Sam3TrackerConfig,
    Sam3TrackerVideoConfig,
    Sam3VideoConfig,
    SamConfig,
    SamHQConfig,
)

from samkit.errors import CheckpointError
from samkit.sizes import (
    EfficientNetLiteConfig,
    EfficientViTConfig,
    PlainViTConfig,
    RepViTSamConfig,
    TinyViTConfig,
    edge_tam,
    hq_sam,
    hq_sam2,
    sam2,
    sam3,
    sam_vit,
)
from samkit.weights import MODELS, hugging_face
from samkit.weights.hugging_face import config_from_json, config_to_json

SIZES = {m.config: name for name, m in reversed(MODELS.items())}
# What transformers has no network for.
OTHERS = (
    EfficientNetLiteConfig,
    EfficientViTConfig,
    PlainViTConfig,
    RepViTSamConfig,
    TinyViTConfig,
)
WRITABLE = [
    name
    for config, name in SIZES.items()
    if not isinstance(config.image_encoder, OTHERS) and config not in (hq_sam2(), sam3("3.1"))
]


# The image encoder of EdgeTAM is timm's, without which its configuration cannot be made.
CLASSES = {
    "sam": SamConfig,
    "sam_hq": SamHQConfig,
    "sam2": Sam2Config,
    "sam2_video": Sam2VideoConfig,
    "sam3_tracker": Sam3TrackerConfig,
    "sam3_tracker_video": Sam3TrackerVideoConfig,
}
# transformers has another epsilon than the authors.
SAM3 = replace(sam3(), image_encoder=replace(sam3().image_encoder, norm_eps=1e-6))


def test_defaults_are_the_released_sizes():
    assert config_from_json({"model_type": "sam"}) == sam_vit("b")
    assert config_from_json({"model_type": "sam2"}) == sam2("tiny")
    assert config_from_json({"model_type": "sam2_video"}) == sam2("tiny")
    assert config_from_json({"model_type": "edgetam"}) == edge_tam()
    assert config_from_json({"model_type": "sam_hq"}) == hq_sam("b")
    assert config_from_json({"model_type": "sam3_tracker_video"}) == SAM3


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (SamConfig, sam_vit("b")),
        (SamHQConfig, hq_sam("b")),
        (Sam2Config, sam2("tiny")),
        (Sam2VideoConfig, sam2("tiny")),
        (Sam3TrackerConfig, SAM3),
        (Sam3TrackerVideoConfig, SAM3),
        (Sam3VideoConfig, SAM3),
    ],
)
def test_what_transformers_writes(theirs, ours):
    assert config_from_json(json.loads(theirs().to_json_string(use_diff=False))) == ours
    assert config_from_json(json.loads(theirs().to_json_string())) == ours


def find(values, path):
    for name in path.split("."):
        values = values[name]
    return values


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        ("sam", SamConfig),
        ("sam_hq", SamHQConfig),
        ("sam2", Sam2Config),
        ("sam2_video", Sam2VideoConfig),
        ("sam3_tracker", Sam3TrackerConfig),
        ("sam3_tracker_video", Sam3TrackerVideoConfig),
    ],
)
def test_defaults_in_the_tables_are_those_of_transformers(kind, theirs):
    values = json.loads(theirs().to_json_string(use_diff=False))
    table = hugging_face.TABLES[kind]
    defaults = {row.theirs: row.default for row in table.rows if row.default is not None}
    stated = {**defaults, **table.fixed}
    assert {path: find(values, path) for path in stated} == stated


@pytest.mark.parametrize(
    ("stated", "theta"),
    [
        ({"memory_attention_rope_theta": 500}, 500.0),
        ({"rope_parameters": {"rope_theta": 500}}, 500.0),
        ({"memory_attention_rope_theta": 300, "rope_parameters": {"rope_theta": 500}}, 500.0),
        ({"memory_attention_rope_theta": 300, "rope_parameters": None}, 300.0),
        ({"rope_parameters": {"rope_theta": None}}, 10000.0),
    ],
)
def test_older_files_name_the_frequencies_of_positions_otherwise(stated, theta):
    assert config_from_json({"model_type": "sam2_video", **stated}).memory.rope_theta == theta


ODD_SAM = replace(
    sam_vit("b"),
    image_encoder=replace(
        sam_vit("b").image_encoder,
        dim=168,
        depth=3,
        heads=6,
        mlp_ratio=2.5,
        patch_size=8,
        window_size=7,
        global_blocks=(1,),
        in_channels=4,
        qkv_bias=False,
        activation="relu",
        norm_eps=1e-5,
        attention_dropout=0.25,
    ),
    prompt_encoder=replace(sam_vit("b").prompt_encoder, mask_channels=32),
    mask_decoder=replace(
        sam_vit("b").mask_decoder, depth=3, heads=4, mlp_dim=96, candidates=4, iou_head_dim=48
    ),
    dim=64,
    image_size=(512, 512),
)
ODD_SAM2 = replace(
    sam2("tiny"),
    image_encoder=replace(
        sam2("tiny").image_encoder,
        dim=48,
        heads=3,
        stages=(1, 1, 3, 1),
        global_blocks=(3, 4),
        window_sizes=(4, 2, 6, 3),
        position_size=(5, 5),
        mlp_ratio=3.0,
        in_channels=4,
    ),
    prompt_encoder=replace(sam2("tiny").prompt_encoder, mask_channels=32),
    mask_decoder=replace(
        sam2("tiny").mask_decoder,
        heads=4,
        mlp_dim=96,
        candidates=4,
        iou_head_dim=48,
        dynamic_multimask=False,
        stability_delta=0.1,
        stability_threshold=0.9,
    ),
    memory=replace(
        sam2("tiny").memory,
        slots=5,
        pointers=9,
        layers=2,
        heads=2,
        mlp_dim=96,
        dropout=0.25,
        rope_theta=500.0,
        fuser_layers=1,
        sigmoid_scale=15.0,
        sigmoid_bias=-5.0,
        occlusion_embedding=False,
        pointer_time=False,
        nearest_prompts=3,
    ),
    dim=64,
    fpn_top_down_levels=(1, 2, 3),
    image_size=(512, 512),
)


ODD_SAM3 = replace(
    sam3(),
    image_encoder=replace(
        sam3().image_encoder,
        dim=64,
        depth=5,
        heads=4,
        mlp_ratio=2.5,
        patch_size=16,
        window_size=9,
        global_blocks=(1, 4),
        position_size=(11, 11),
        norm_eps=1e-4,
        rope_theta=500.0,
        in_channels=4,
    ),
    prompt_encoder=ODD_SAM2.prompt_encoder,
    mask_decoder=ODD_SAM2.mask_decoder,
    memory=ODD_SAM2.memory,
    dim=64,
    image_size=(512, 512),
)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(ODD_SAM, SamConfig), (ODD_SAM2, Sam2VideoConfig), (ODD_SAM3, Sam3TrackerVideoConfig)],
)
def test_every_size_is_written_and_read(ours, theirs):
    values = config_to_json(ours, memory=True, dtype="float32")
    assert config_from_json(values) == ours
    assert config_from_json(json.loads(theirs(**values).to_json_string(use_diff=False))) == ours


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("memory", [True, False])
def test_there_and_back(name, memory):
    config = MODELS[name].config
    values = json.loads(json.dumps(config_to_json(config, memory=memory, dtype="float32")))
    if config.has_memory and not memory:
        start = hugging_face.TABLES[values["model_type"]].start
        config = replace(config, memory=start.memory)
    assert config_from_json(values) == config
    theirs = CLASSES.get(values["model_type"])
    if theirs is not None:
        assert config_from_json(json.loads(theirs(**values).to_json_string())) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "of type None"),
        (
            {"model_type": "bert"},
            "of type 'bert'; expected 'sam' or 'sam_hq' or 'sam2' or 'sam2_video' or 'edge",
        ),
        ({"model_type": ["sam"]}, "cannot understand here"),
        ([], "cannot understand here"),
        ({"model_type": "sam", "vision_config": {"hidden_size": 0}}, "cannot understand here"),
        ({"model_type": "sam", "vision_config": {"use_rel_pos": False}}, "use_rel_pos=False"),
        ({"model_type": "sam", "vision_config": {"output_channels": 128}}, "hidden_size"),
        ({"model_type": "sam", "vision_config": []}, None),
        ({"model_type": "sam", "vision_config": "x"}, "cannot understand"),
        ({"model_type": "sam", "vision_config": {"mlp_dim": ""}}, "cannot understand"),
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
    sam = sam_vit("b")
    for other, message in (
        (replace(sam, prompt_encoder=replace(sam.prompt_encoder, pad_boxes=True)), "pad boxes"),
        (replace(sam, mask_decoder=replace(sam.mask_decoder, iou_head_depth=4)), "three"),
        (replace(config, mask_decoder=replace(config.mask_decoder, iou_sigmoid=False)), "sigmoid"),
        (MODELS["mobile-sam"].config, "MobileSAM"),
        (MODELS["pico"].config, "drawn prompts"),
        (replace(config, memory=replace(config.memory, dim=32)), "64 channels"),
        (replace(config, mask_decoder=replace(config.mask_decoder, depth=3)), "two layers"),
        (replace(config, mask_decoder=replace(config.mask_decoder, iou_head_depth=2)), "three"),
        (replace(config, image_size=(512, 1024)), "square"),
        (replace(config, mask_decoder=replace(config.mask_decoder, object_score=False)), "scores"),
    ):
        with pytest.raises(CheckpointError, match=message):
            config_to_json(other, memory=True, dtype="float32")
