"""Telling what a checkpoint is."""

import pytest
import torch

from samkit.errors import CheckpointError
from samkit.weights.layouts import detect_layout, find_prefix, table_of


@pytest.mark.parametrize("layout", ["samkit", "meta", "hugging-face"])
def test_each_layout(network, layout):
    family = network.config.family
    if "layers" in dict(network.image_encoder.named_children()) and layout != "samkit":
        layout = "meta"  # MobileSAM is not part of transformers
    state = network.state_dict()
    state = table_of(detect_layout(state), layout).from_samkit(state)
    found = detect_layout(state)
    assert (found.family, found.names) == (family, layout)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["model.0.conv.weight", "model.22.cv1.conv.weight"], "YOLO"),
        (["visual.proj", "token_embedding.weight"], "CLIP"),
        (["text_model.embeddings.weight", "vision_model.x"], "CLIP"),
        (["cls_token", "blocks.0.attn.qkv.weight"], "plain vision transformer"),
        (["conv1.weight", "layer1.0.conv1.weight", "fc.weight"], "ResNet"),
        (["model.layers.0.self_attn.q_proj.weight"], "language model"),
        (["detector.backbone.x", "tracker.model.x"], "a part of SAM 3 without what clicks need"),
        (["vision_encoder.backbone.x", "detr_decoder.layers.0.x"], "a part of SAM 3"),
        (["image_encoder.fuse_stage2.op_list.0.conv.weight", "mask_decoder.x"], "EdgeSAM"),
        (["image_encoder.features.1.token_mixer.0.conv1.c.weight"], "EdgeSAM"),
        (["image_encoder.pos_embed"], "part of a SAM network"),
        (["foo", "bar", "baz"], "unknown kind.*foo, bar, baz"),
    ],
)
def test_something_else(names, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        detect_layout({name: torch.zeros(1) for name in names}, "file.pt")
    assert "file.pt" in str(caught.value)
    assert "expected SAM" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        ([], ""),
        (["sam_mask_decoder.iou_token.weight"], ""),
        (["model.sam_mask_decoder.iou_token.weight", "loss.weight"], "model."),
        (["sam_mask_decoder.iou_token.weight", "model.sam_mask_decoder.x"], ""),
        (["module.image_encoder.pos_embed"], "module."),  # to say that it is a part of SAM
        (["model.0.conv.weight", "model.22.cv1.conv.weight"], ""),
        (["model.foo"], ""),
    ],
)
def test_prefix(names, prefix):
    assert find_prefix(names) == prefix


def test_two_networks():
    names = ["sam.sam_mask_decoder.x", "model.sam_mask_decoder.x"]
    with pytest.raises(CheckpointError, match=r"file\.pt holds 2 networks.*'sam\.' and 'model\.'"):
        find_prefix(names, "file.pt")


def test_unknown_names_say_what_may_come_before():
    with pytest.raises(CheckpointError, match=r"module\. _orig_mod\. model\. sam\. base_model"):
        detect_layout({"net.image_encoder.pos_embed": torch.zeros(1)})
