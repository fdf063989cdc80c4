"""What training tools put around the names of tensors."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from weights.helpers import same_weights, write_hugging_face

from samkit.errors import CheckpointError, CheckpointKeysError
from samkit.sizes import to_dict
from samkit.weights import load_network
from samkit.weights.layouts import detect_layout, table_of


def in_layout_of_meta(network, prefix):
    state = network.state_dict()
    state = table_of(detect_layout(state), "meta").from_samkit(state)
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("prefix", ["module.", "model._orig_mod."])
def test_prefix_is_taken_off(network, prefix, tmp_path):
    header = {"samkit.config": json.dumps(to_dict(network.config))}
    save_file(in_layout_of_meta(network, prefix), tmp_path / "x.safetensors", header)
    with pytest.warns(UserWarning, match=r"x\.safetensors .* taken off") as said:
        loaded = load_network(tmp_path / "x.safetensors")
    assert [one.filename for one in said] == [__file__]
    assert same_weights(loaded, network)


@pytest.mark.parametrize(
    "prefix",
    ["model.", "sam.", "_orig_mod.", "base_model.model.", "module.model.sam.", "model.module."],
)
def test_each_prefix(sam, prefix, tmp_path):
    content = {"state_dict": in_layout_of_meta(sam, prefix), "best": np.float64(0.5)}
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.warns(UserWarning, match=f"'{re.escape(prefix)}' was taken off"):
        assert same_weights(load_network(tmp_path / "x.ckpt"), sam)


@pytest.mark.parametrize("outside", ["", "model.", "_fsdp_wrapped_module."])
@pytest.mark.parametrize("inside", ["_orig_mod", "module", "_checkpoint_wrapped_module"])
def test_parts_of_the_network_that_were_wrapped(sam, outside, inside, tmp_path):
    """As by torch.compile(model.image_encoder)."""
    plain = in_layout_of_meta(sam, outside)
    wrapped = {
        re.sub(r"(image_encoder|mask_decoder)\.", rf"\1.{inside}.", name): tensor
        for name, tensor in plain.items()
    }
    header = {"samkit.config": json.dumps(to_dict(sam.config))}
    save_file(wrapped, tmp_path / "x.safetensors", header)
    with pytest.warns(UserWarning, match="was taken off the names"):
        assert same_weights(load_network(tmp_path / "x.safetensors"), sam)
    copies = {name: tensor.clone() for name, tensor in plain.items()}
    save_file(wrapped | copies, tmp_path / "x.safetensors", header)
    with pytest.raises(CheckpointError, match="twice"):
        load_network(tmp_path / "x.safetensors")


def test_adapter_in_a_folder(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="LoRA alone"):
        load_network(tmp_path)


def test_prefix_in_the_layout_of_hugging_face(sam, tmp_path):
    write_hugging_face(sam, tmp_path / "folder")
    path = tmp_path / "folder" / "model.safetensors"
    save_file({f"model.{name}": tensor for name, tensor in load_file(path).items()}, path)
    with pytest.warns(UserWarning, match=r"'model\.' was taken off"):
        assert same_weights(load_network(tmp_path / "folder"), sam)


def test_moving_average_of_torch(sam, tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(sam)
    torch.save({"ema": averaged.state_dict()}, tmp_path / "x.pt")
    with pytest.warns(UserWarning, match=r"'module\.' was taken off"):
        assert same_weights(load_network(tmp_path / "x.pt"), sam)


def test_tensors_beside_a_prefix_are_unexpected(sam, tmp_path):
    state = {**in_layout_of_meta(sam, "model."), "loss.weight": torch.ones(1)}
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(CheckpointKeysError, match=r"1 unexpected: loss\.weight"):
        load_network(tmp_path / "x.pt")


def test_names_with_and_without_a_prefix(sam, tmp_path):
    state = {**in_layout_of_meta(sam, "model."), "pixel_mean": torch.ones(1)}
    torch.save({**state, "model.pixel_mean": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"same name with and without 'model\.'"):
        load_network(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.image_encoder.blocks.0.attn.qkv.lora_A.default.weight",
        "image_encoder.blocks.0.attn.qkv.lora_B.weight",
        "image_encoder.blocks.0.attn.qkv.lora_A",
        "image_encoder.blocks.0.attn.qkv.lora.down.weight",
        "image_encoder.blocks.0.attn.qkv.LoRA_A.weight",
        "image_encoder.blocks.0.attn.qkv.linear_a_q.weight",
        "image_encoder.blocks.0.attn.qkv.hada_w1_a",
        "image_encoder.blocks.0.attn.qkv.lokr_w1",
        "mask_decoder.modules_to_save.default.iou_token.weight",
        "image_encoder.blocks.0.attn.qkv.base_layer.weight",
    ],
)
def test_lora_that_is_not_merged(sam, name, tmp_path):
    torch.save({**sam.state_dict(), name: torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=re.escape(name) + r".*merge_and_unload\(\)"):
        load_network(tmp_path / "x.pt")
