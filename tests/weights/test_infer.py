"""Sizes told from tensors alone."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from tiny import make, tiny_pico

from samkit.errors import CheckpointError
from samkit.nn import build
from samkit.sizes import ViTConfig
from samkit.weights import MODELS, RegisteredModel, load_network
from samkit.weights.infer import infer_config, ratio
from samkit.weights.layouts import is_memory


def meta_state(config):
    with torch.device("meta"):
        return build(config).state_dict()


# SlimSAM is published as a folder, whose config.json has its sizes.
FILES = [name for name in MODELS if name != "pico" and not name.startswith("slim-sam")]


@pytest.mark.parametrize("name", FILES)
def test_released_sizes(name):
    config = MODELS[name].config
    expected = config
    if name.startswith("medsam2"):  # its tensors do not tell the size of the input
        expected = replace(config, image_size=(1024, 1024))
    if name.startswith("efficient-tam"):  # nor whether its memories are pooled
        memory = replace(config.memory, pooling="none")
        expected = replace(config, image_size=(1024, 1024), memory=memory)
    assert infer_config(meta_state(config), config.family) == expected


def test_memory_may_be_missing():
    config = MODELS["sam2.1-small"].config
    state = {k: v for k, v in meta_state(config).items() if not is_memory(k)}
    assert infer_config(state, "sam2") == config


def test_unreleased_vit():
    vit = ViTConfig(
        dim=96,
        depth=4,
        heads=6,
        mlp_ratio=ratio(96, 250),
        patch_size=8,
        window_size=5,
        global_blocks=(1, 3),
        in_channels=4,
        qkv_bias=False,
    )
    config = replace(MODELS["sam-vit-b"].config, image_encoder=vit, dim=64, image_size=(128, 192))
    assert infer_config(meta_state(config), "sam") == config


def test_pico_has_its_sizes_in_its_file_only():
    with pytest.raises(CheckpointError, match="save_network"):
        infer_config(meta_state(MODELS["pico"].config), "sam2")


def test_unreleased_hiera_is_refused():
    config = MODELS["sam2.1-tiny"].config
    other = replace(config.image_encoder, stages=(1, 2, 3, 2), global_blocks=(4,))
    state = meta_state(replace(config, image_encoder=other))
    with pytest.raises(CheckpointError, match=r"stages \(1, 2, 3, 2\).*no released size"):
        infer_config(state, "sam2")


@pytest.mark.parametrize(
    "removed",
    [
        "image_encoder.pos_embed",
        "image_encoder.blocks.4.attn.rel_pos_h",
        "mask_decoder.mask_tokens.weight",
        "prompt_encoder.no_mask_embed.weight",
    ],
)
def test_tensor_that_is_missing(removed):
    state = meta_state(MODELS["sam-vit-b"].config)
    del state[removed]
    with pytest.raises(CheckpointError, match="cannot tell the sizes"):
        infer_config(state, "sam")


@pytest.mark.parametrize(
    ("name", "misshapen"),
    [
        ("sam-vit-b", "image_encoder.pos_embed"),
        ("mobile-sam", "image_encoder.layers.1.blocks.0.attn.attention_biases"),
        ("sam2.1-tiny", "maskmem_tpos_enc"),
    ],
)
def test_tensor_of_too_few_dimensions(name, misshapen):
    config = MODELS[name].config
    state = meta_state(config)
    state[misshapen] = torch.zeros(4)
    with pytest.raises(CheckpointError, match="missing or misshapen"):
        infer_config(state, config.family)


def test_mobile_sam_has_four_stages():
    state = meta_state(MODELS["mobile-sam"].config)
    state = {k: v for k, v in state.items() if not k.startswith("image_encoder.layers.3.")}
    with pytest.raises(CheckpointError, match="expected 4 stages in here, got 3"):
        infer_config(state, "sam", "here")


def test_gap_in_the_blocks():
    state = meta_state(MODELS["sam-vit-b"].config)
    state = {k: v for k, v in state.items() if ".blocks.3." not in k}
    with pytest.raises(CheckpointError, match="cannot tell the sizes"):
        infer_config(state, "sam")


def test_two_window_sizes():
    state = meta_state(MODELS["sam-vit-b"].config)
    state["image_encoder.blocks.0.attn.rel_pos_h"] = torch.zeros(13, 64)
    with pytest.raises(CheckpointError, match="one window size"):
        infer_config(state, "sam")


@pytest.mark.parametrize(("dim", "hidden"), [(168, 696), (49, 100), (7, 22), (96, 384)])
def test_ratio_survives_rounding_down(dim, hidden):
    assert int(dim * ratio(dim, hidden)) == hidden


def test_shapes_of_a_registered_model(monkeypatch, tmp_path):
    """Where no rule tells the sizes, a registered model of the same shapes does."""
    network = make(tiny_pico())
    path = tmp_path / "bare.safetensors"
    save_file(network.state_dict(), path)
    with pytest.raises(CheckpointError, match="are not those of pico, and the header"):
        load_network(path)
    row = RegisteredModel(name="tiny", config=tiny_pico(), parameters=1, year=2026)
    monkeypatch.setitem(MODELS, "tiny", row)
    assert load_network(path).config == tiny_pico()
