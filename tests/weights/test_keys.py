"""Rename tables: every name of every released size goes there and back."""

# One row per line, whatever its length.
# ruff: noqa: E501

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    Sam2Config,
    Sam2Model,
    Sam2VideoConfig,
    Sam2VideoModel,
    SamConfig,
    SamHQConfig,
    SamHQModel,
    SamModel,
)

from samkit.errors import CheckpointError
from samkit.nn import build
from samkit.sizes import TinyViTConfig
from samkit.weights import MODELS, keys_sam, keys_sam2
from samkit.weights.keys import RenameTable, Repeated, Stacked
from samkit.weights.layouts import detect_layout, is_memory, is_unused, table_of

# One of each size.
RELEASED = list({m.config: name for name, m in reversed(MODELS.items()) if name != "pico"}.values())

# Names of networks that transformers has not begin so.
ELSEWHERE_ONLY = ("hq-sam2", "efficient-tam", "rep-vit-sam", "efficient-vit-sam", "sam3.1")


def on_meta(make):
    with torch.device("meta"):
        return make().state_dict()


def in_transformers(name):
    tiny_vit = isinstance(MODELS[name].config.image_encoder, TinyViTConfig)
    return not tiny_vit and not name.startswith(ELSEWHERE_ONLY)


@pytest.mark.parametrize(
    ("name", "layout"),
    [(name, "meta") for name in RELEASED]
    + [(name, "hugging-face") for name in RELEASED if in_transformers(name)],
)
def test_there_and_back(name, layout):
    config = MODELS[name].config
    state = on_meta(lambda: build(config))
    table = table_of(detect_layout(state), layout)
    theirs = table.from_samkit(state)
    found = detect_layout(theirs)
    assert (found.family, found.names) == (config.family, layout)
    if layout == "hugging-face":
        # Copies of one tensor are compared by value, and meta tensors have none.
        theirs = {k: torch.zeros(()).expand(v.shape) for k, v in theirs.items()}
    back = table.to_samkit(theirs)
    back = {k: v for k, v in back.items() if not is_unused(config.family, k)}
    found, expected = ([(k, v.shape) for k, v in of.items()] for of in (back, state))
    if not table.class_positions:  # which come with a tensor that no network has
        assert found == expected
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("sam-vit-b", lambda: SamModel(SamConfig())),
        ("hq-sam-vit-b", lambda: SamHQModel(SamHQConfig())),
        ("sam2.1-tiny", lambda: Sam2VideoModel(Sam2VideoConfig())),
        (
            "sam2-tiny",
            lambda: Sam2VideoModel(
                Sam2VideoConfig(
                    enable_occlusion_spatial_embedding=False,
                    enable_temporal_pos_encoding_for_object_pointers=False,
                )
            ),
        ),
    ],
)
def test_names_of_transformers(name, model):
    config = MODELS[name].config
    state = on_meta(lambda: build(config))
    ours = table_of(detect_layout(state), "hugging-face").from_samkit(state)
    theirs = on_meta(model)
    if config.family == "sam":
        # Tied, so that it is not written.
        del theirs["prompt_encoder.shared_embedding.positional_embedding"]
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_names_of_the_image_model_of_transformers():
    state = on_meta(lambda: build(MODELS["sam2.1-tiny"].config))
    image_part = {name: tensor for name, tensor in state.items() if not is_memory(name)}
    ours = table_of(detect_layout(state), "hugging-face").from_samkit(image_part)
    theirs = on_meta(lambda: Sam2Model(Sam2Config()))
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


# Spot checks against names as they stand in the released files.
@pytest.mark.parametrize(
    ("family", "layout", "ours", "theirs"),
    [
        ("sam", "meta", "image_encoder.blocks.7.mlp.layers.1.bias", "image_encoder.blocks.7.mlp.lin2.bias"),
        ("sam", "meta", "image_encoder.neck.3.weight", "image_encoder.neck.3.weight"),
        ("sam", "meta", "mask_decoder.output_hypernetworks_mlps.3.layers.2.bias", "mask_decoder.output_hypernetworks_mlps.3.layers.2.bias"),
        ("sam", "meta", "image_encoder.layers.2.blocks.5.attn.attention_biases", "image_encoder.layers.2.blocks.5.attn.attention_biases"),
        ("sam2", "meta", "mask_decoder.conv_s1.weight", "sam_mask_decoder.conv_s1.weight"),
        ("sam2", "meta", "mask_decoder.transformer.layers.1.mlp.layers.0.weight", "sam_mask_decoder.transformer.layers.1.mlp.layers.0.weight"),
        ("sam2", "meta", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
        ("sam2", "meta", "memory_encoder.fuser.layers.1.gamma", "memory_encoder.fuser.layers.1.gamma"),
        ("sam2", "meta", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.weight"),
        ("sam2", "hugging-face", "image_encoder.trunk.blocks.11.norm2.bias", "vision_encoder.backbone.blocks.11.layer_norm2.bias"),
        ("sam2", "hugging-face", "memory_encoder.mask_downsampler.encoder.10.weight", "memory_encoder.mask_downsampler.layers.3.layer_norm.weight"),
    ],
)  # fmt: skip
def test_released_names(family, layout, ours, theirs):
    layouts = keys_sam.LAYOUTS if family == "sam" else keys_sam2.LAYOUTS
    table, tensor = table_of(layouts[0], layout), torch.zeros(1)
    assert list(table.from_samkit({ours: tensor})) == [theirs]
    assert list(table.to_samkit({theirs: tensor})) == [ours]


@pytest.mark.parametrize(
    "name",
    [
        "image_encoder.head.weight",
        "image_encoder.norm_head.bias",
        "image_encoder.layers.2.blocks.5.attn.attention_bias_idxs",
        "pixel_mean",
    ],
)
def test_unused_tensors_are_named(name):
    assert is_unused("sam", name)
    assert not is_unused("sam2", name)
    assert not is_unused("sam", f"x.{name}")


TABLE = RenameTable(
    rows=(("a.{i}.norm.{rest}", "b.{i}.layer_norm.{rest}"), ("c.{i}.{j}", "d.{j}.of.{i}")),
    stacked=(Stacked(ours=("p.0", "p.1"), theirs="points"),),
    repeated=(Repeated(ours="pe", theirs=("pe1", "pe2"), written=("pe1", "pe2")),),
)


@given(
    st.integers(0, 99),
    st.integers(0, 99),
    st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5})?", fullmatch=True),
)
def test_rows_work_in_both_directions(i, j, rest):
    state = {f"a.{i}.norm.{rest}": torch.zeros(1), f"c.{i}.{j}": torch.zeros(2)}
    theirs = TABLE.from_samkit(state)
    assert list(theirs) == [f"b.{i}.layer_norm.{rest}", f"d.{j}.of.{i}"]
    assert list(TABLE.to_samkit(theirs)) == list(state)


def test_stacked_and_repeated():
    state = {"p.0": torch.full((1, 3), 1.0), "pe": torch.ones(2), "p.1": torch.full((1, 3), 2.0)}
    theirs = TABLE.from_samkit(state)
    assert {k: v.tolist() for k, v in theirs.items()} == {
        "points": [[1, 1, 1], [2, 2, 2]],
        "pe1": [1, 1],
        "pe2": [1, 1],
    }
    back = TABLE.to_samkit(theirs)
    assert {k: v.tolist() for k, v in back.items()} == {k: v.tolist() for k, v in state.items()}


@pytest.mark.parametrize("name", ["pe1", "pe2"])
def test_one_copy_is_enough(name):
    assert list(TABLE.to_samkit({name: torch.ones(2)})) == ["pe"]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"pe1": torch.ones(2), "pe2": torch.zeros(2)}, "differ"),
        ({"points": torch.ones(3, 2)}, "hold 2 equal parts"),
        ({"points": torch.tensor(1.0)}, "hold 2 equal parts"),
        ({"points": torch.ones(2, 2), "p.0": torch.ones(1, 2)}, "both mean"),
        ({"a.1.norm.x": torch.ones(1), "b.1.layer_norm.x": torch.ones(1)}, "both mean"),
    ],
)
def test_contradictions(state, message):
    with pytest.raises(CheckpointError, match=message):
        TABLE.to_samkit(state)


FURTHER = RenameTable(
    rows=(("positions", "their.positions"), ("{rest}", "their.{rest}")),
    class_positions=(("first", "their.positions"),),
    transposed=("their.matrix",),
    beginnings=(("their.their.", "their."),),
    left_out=("their.other.{rest}",),
)


def test_rows_of_classes_and_matrices():
    theirs = {
        "their.positions": torch.arange(6.0).view(1, 3, 2),
        "their.matrix": torch.arange(6.0).view(2, 3),
    }
    state = FURTHER.to_samkit(theirs)
    assert {k: v.tolist() for k, v in state.items()} == {
        "first": [[[0, 1]]],
        "positions": [[[2, 3], [4, 5]]],
        "matrix": [[0, 3], [1, 4], [2, 5]],
    }
    back = FURTHER.from_samkit(state)
    assert {k: v.tolist() for k, v in back.items()} == {k: v.tolist() for k, v in theirs.items()}
    del state["first"]
    assert FURTHER.from_samkit(state)["their.positions"].tolist() == [[[0, 0], [2, 3], [4, 5]]]


def test_other_beginnings_are_read():
    assert list(FURTHER.to_samkit({"their.their.x": torch.ones(1)})) == ["x"]
    assert FURTHER.leaves_out("their.their.other.x")
    with pytest.raises(CheckpointError, match="both mean x"):
        FURTHER.to_samkit({"their.x": torch.ones(1), "their.their.x": torch.ones(1)})


@pytest.mark.parametrize(
    ("name", "message"), [("their.positions", "have 3 axes"), ("their.matrix", "have 2 axes")]
)
def test_wrong_axes(name, message):
    with pytest.raises(CheckpointError, match=message):
        FURTHER.to_samkit({name: torch.ones(4)})


def test_incomplete_stack():
    with pytest.raises(CheckpointError, match=r"without p\.1"):
        TABLE.from_samkit({"p.0": torch.ones(1, 2)})


def test_stack_of_mixed_dtypes():
    with pytest.raises(CheckpointError, match="differ in dtype"):
        TABLE.from_samkit({"p.0": torch.ones(1, 2), "p.1": torch.ones(1, 2).half()})
