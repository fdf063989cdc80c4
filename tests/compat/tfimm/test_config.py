"""Every field has its effect."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import CONFIGS, tiny_mobile_sam, tiny_sam

from samkit.compat.tfimm import SegmentAnythingModel, SegmentAnythingModelConfig
from samkit.compat.tfimm.config import core_config, described_by
from samkit.errors import CheckpointError, InputError
from samkit.sizes import SamConfig
from samkit.weights import convert, save_network

Make = Callable[..., SegmentAnythingModel]


def shape(model: SegmentAnythingModel, name: str) -> tuple[int, ...]:
    return tuple(model.network.state_dict()[name].shape)


SIZES = [
    ({"in_channels": 5}, "image_encoder.patch_embed.proj.weight", (24, 5, 16, 16)),
    ({"encoder_patch_size": 8}, "image_encoder.patch_embed.proj.weight", (24, 3, 8, 8)),
    ({"encoder_patch_size": 8}, "image_encoder.pos_embed", (1, 8, 8, 24)),
    ({"encoder_patch_size": 32}, "image_encoder.pos_embed", (1, 2, 2, 24)),
    ({"input_size": (96, 48)}, "image_encoder.pos_embed", (1, 6, 3, 24)),
    ({"encoder_embed_dim": 12}, "image_encoder.blocks.0.attn.qkv.weight", (36, 12)),
    ({"encoder_nb_heads": 4}, "image_encoder.blocks.0.attn.rel_pos_h", (5, 6)),
    ({"encoder_mlp_ratio": 1.5}, "image_encoder.blocks.0.mlp.layers.0.weight", (36, 24)),
    ({"encoder_window_size": 2}, "image_encoder.blocks.0.attn.rel_pos_h", (3, 12)),
    ({"encoder_global_attn_indices": [0]}, "image_encoder.blocks.0.attn.rel_pos_h", (7, 12)),
    ({"encoder_global_attn_indices": ()}, "image_encoder.blocks.1.attn.rel_pos_h", (5, 12)),
    ({"embed_dim": 32}, "image_encoder.neck.0.weight", (32, 24, 1, 1)),
    ({"embed_dim": 32}, "prompt_encoder.no_mask_embed.weight", (1, 32)),
    ({"nb_multimask_outputs": 5}, "mask_decoder.mask_tokens.weight", (6, 16)),
    ({"prompt_mask_hidden_dim": 8}, "prompt_encoder.mask_downscaling.3.weight", (8, 2, 2, 2)),
    (
        {"decoder_mlp_channels": 40},
        "mask_decoder.transformer.layers.0.mlp.layers.0.weight",
        (40, 16),
    ),
    (
        {"decoder_iou_hidden_dim": 20},
        "mask_decoder.iou_prediction_head.layers.0.weight",
        (20, 16),
    ),
    (
        {"decoder_iou_head_depth": 1},
        "mask_decoder.iou_prediction_head.layers.0.weight",
        (4, 16),
    ),
]


@pytest.mark.parametrize(("change", "name", "expected"), SIZES)
def test_sizes(make: Make, change: dict[str, Any], name: str, expected: tuple[int, ...]) -> None:
    model = make(**change)
    assert shape(model, name) == expected
    masks, scores, logits = model(model.dummy_inputs, multimask_output=True)
    (H, W), K = model.cfg.input_size, model.cfg.nb_multimask_outputs
    patch = model.cfg.encoder_patch_size
    assert masks.shape == (1, K, H, W)
    assert scores.shape == (1, K)
    assert logits.shape == (1, K, H // patch * 4, W // patch * 4)
    assert np.isfinite(logits).all()
    inputs = model.dummy_inputs
    alone = model({"images": inputs["images"], "points": inputs["points"]})
    assert alone.logits.shape == (1, 1, H // patch * 4, W // patch * 4)


@pytest.mark.parametrize(
    ("field", "module"),
    [
        ("encoder_nb_blocks", "image_encoder.blocks"),
        ("decoder_nb_blocks", "mask_decoder.transformer.layers"),
        ("decoder_iou_head_depth", "mask_decoder.iou_prediction_head.layers"),
    ],
)
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_depths(make: Make, field: str, module: str, depth: int) -> None:
    assert len(make(**{field: depth}).network.get_submodule(module)) == depth


def test_no_bias(make: Make) -> None:
    names = make(encoder_qkv_bias=False).network.state_dict()
    assert "image_encoder.blocks.0.attn.qkv.bias" not in names
    assert "image_encoder.blocks.0.attn.qkv.bias" in make().network.state_dict()


def test_decoder_heads_change_the_result(make: Make, images: np.ndarray) -> None:
    a, b = (make(decoder_nb_heads=n)({"images": images}).logits for n in (2, 4))
    assert np.abs(a - b).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("gelu", F.gelu),
        ("linear", lambda x: x),
        ("relu", F.relu),
        ("relu6", lambda x: x.clamp(0, 6)),
        ("sigmoid", lambda x: 1 / (1 + torch.exp(-x))),
        ("silu", F.silu),
        ("swish", F.silu),
        ("mish", F.mish),
    ],
)
def test_activations(make: Make, name: str, function: Callable[..., torch.Tensor]) -> None:
    mlp = make(encoder_act_layer=name).network.get_submodule("image_encoder.blocks.2.mlp")
    x = torch.randn(2, 24, generator=torch.Generator().manual_seed(1)) * 9
    first, second = mlp.layers
    torch.testing.assert_close(mlp(x), second(function(first(x))))


@pytest.mark.parametrize(
    ("name", "eps"),
    [("layer_norm", 1e-5), ("layer_norm_eps_1e-6", 1e-6), ("layer_norm_eps_0.5", 0.5)],
)
def test_norms(make: Make, name: str, eps: float) -> None:
    norm = make(encoder_norm_layer=name).network.get_submodule("image_encoder.blocks.0.norm1")
    x = torch.randn(4, 24, generator=torch.Generator().manual_seed(1))
    centred = x - x.mean(1, keepdim=True)
    expected = centred / (centred.square().mean(1, keepdim=True) + eps).sqrt()
    torch.testing.assert_close(norm(x), expected * norm.weight + norm.bias)


@pytest.mark.parametrize(
    ("name", "groups", "over", "eps"),
    [
        ("group_norm_1grp", 1, (1, 2, 4), 1e-5),
        ("group_norm", 32, (1, 2, 4), 1e-5),
        ("affine", 1, (), 0),
    ],
)
def test_norms_of_a_whole_image(
    make: Make, name: str, groups: int, over: tuple[int, ...], eps: float
) -> None:
    """Statistics are of all places of one image, and of the channels of one group."""
    model = make(encoder_norm_layer=name, encoder_embed_dim=64, encoder_nb_blocks=2)
    for norm in ("norm1", "norm2"):
        layer = model.network.get_submodule(f"image_encoder.blocks.1.{norm}")
        x = torch.randn(2, 3, 5, 64, generator=torch.Generator().manual_seed(1))
        x[1] *= 4
        expected = x.view(2, 3, 5, groups, 64 // groups)
        if over:
            expected = expected - expected.mean(over, keepdim=True)
            expected = expected / (expected.square().mean(over, keepdim=True) + eps).sqrt()
        expected = expected.reshape(x.shape) * layer.weight + layer.bias
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "eps"), [("batch_norm", 1e-5), ("batch_norm_tf", 1e-3)])
def test_batch_norms(make: Make, name: str, eps: float) -> None:
    """They use what was learned, and learn only in training."""
    model = make(encoder_norm_layer=name)
    norm = model.network.get_submodule("image_encoder.blocks.1.norm2")
    norm.running_mean[:], norm.running_var[:] = torch.arange(24.0), 0.01
    x = torch.randn(2, 3, 5, 24, generator=torch.Generator().manual_seed(1))
    expected = (x - torch.arange(24.0)) / (0.01 + eps) ** 0.5
    torch.testing.assert_close(norm(x), expected * norm.weight + norm.bias)
    model(model.dummy_inputs)
    assert torch.equal(norm.running_mean, torch.arange(24.0))
    model(model.dummy_inputs, training=True)
    assert not torch.equal(norm.running_mean, torch.arange(24.0))


def test_no_norm(make: Make) -> None:
    norm = make(encoder_norm_layer="").network.get_submodule("image_encoder.blocks.0.norm1")
    x = torch.randn(2, 3, 5, 24, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(norm(x), x)


NORMS = ["", "affine", "batch_norm", "batch_norm_tf", "group_norm", "group_norm_1grp"]


@pytest.mark.parametrize("name", NORMS)
def test_models_of_all_norms(make: Make, name: str, tmp_path: Path) -> None:
    model = make(encoder_norm_layer=name, encoder_embed_dim=64)
    expected = model(model.dummy_inputs).logits
    assert np.isfinite(expected).all()
    save_network(model.network, tmp_path / "own.safetensors")
    again = SegmentAnythingModel.from_pretrained(tmp_path / "own.safetensors")
    assert again.cfg == model.cfg
    np.testing.assert_array_equal(again(model.dummy_inputs).logits, expected)
    for layout in ("meta", "hugging-face"):
        with pytest.raises(CheckpointError, match="norms"):
            convert(tmp_path / "own.safetensors", tmp_path / "other", layout=layout)  # type: ignore[arg-type]


def test_mask_threshold(make: Make, images: np.ndarray) -> None:
    model = make(mask_threshold=0.05)
    assert model.mask_threshold == 0.05
    inputs = {"images": images, "points": np.full((3, 1, 2), 20)}
    masks, logits = model(inputs).masks, model(inputs, return_logits=True).masks
    np.testing.assert_array_equal(masks, logits > 0.05)
    assert (masks != (logits > 0)).any()
    model.mask_threshold = 0.0
    np.testing.assert_array_equal(model(inputs).masks, logits > 0)


@pytest.mark.parametrize(
    ("channels", "mean", "std"),
    [
        (1, (0.2,), (0.1,)),
        (3, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        (5, (0.1, 0.2, 0.3, 0.1, 0.2), (0.4, 0.5, 0.6, 0.4, 0.5)),
    ],
)
def test_means_of_any_number_of_channels(
    config: SegmentAnythingModelConfig, channels: int, mean: tuple[float], std: tuple[float]
) -> None:
    own = replace(config, in_channels=channels, mean=mean, std=std)
    assert (core_config(own).mean, core_config(own).std) == (mean, std)
    if channels > 1:
        three = replace(config, in_channels=channels, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
        assert (core_config(three).mean, core_config(three).std) == (mean, std)


def test_one_channel_has_the_first_mean(config: SegmentAnythingModelConfig) -> None:
    grey = core_config(replace(config, in_channels=1, mean=(0.1, 0.2, 0.6), std=(0.4, 0.5, 0.7)))
    assert (grey.mean, grey.std) == ((0.1,), (0.4,))


def test_any_number_of_means(config: SegmentAnythingModelConfig) -> None:
    two = core_config(replace(config, in_channels=3, mean=(0.1, 0.2), std=(0.4, 0.5, 0.6, 0.7)))
    assert (two.mean, two.std) == ((0.1, 0.2, 0.1), (0.4, 0.5, 0.6))


WRONG = [
    ({"encoder_act_layer": "tanhh"}, "encoder_act_layer: expected gelu, linear, .* got 'tanhh'"),
    ({"encoder_act_layer": None}, "encoder_act_layer"),
    ({"encoder_norm_layer": "instance_norm"}, "encoder_norm_layer: expected .*, layer_norm, "),
    ({"encoder_norm_layer": "group_norm"}, "24 and 32"),
    ({"encoder_norm_layer": "layer_norm_eps_x"}, "encoder_norm_layer"),
    ({"encoder_norm_layer": "layer_norm_eps_-1"}, "encoder_norm_layer"),
    ({"encoder_norm_layer": 3}, "encoder_norm_layer"),
    ({"encoder_drop_rate": 1.0}, "encoder_drop_rate: expected 0 <= rate < 1"),
    ({"encoder_attn_drop_rate": -0.1}, "encoder_attn_drop_rate"),
    ({"encoder_drop_path_rate": float("nan")}, "encoder_drop_path_rate"),
    ({"input_size": (60, 64)}, "multiples of 16"),
    ({"input_size": (0, 64)}, "multiples of 16"),
    ({"input_size": (64,)}, "multiples of 16"),
    ({"input_size": 64}, "input_size: expected two integers, got 64"),
    ({"encoder_patch_size": 0}, "patch_size"),
    ({"encoder_nb_heads": 5}, "24 and 5"),
    ({"decoder_nb_heads": 3}, "8 and 3"),
    ({"embed_dim": 12}, "multiple of 8"),
    ({"nb_multimask_outputs": 0}, "candidates: expected 1 to 64, got 0"),
    ({"in_channels": 0}, "channels"),
    ({"in_channels": -1}, "in_channels: expected at least 1, got -1"),
    ({"mean": ()}, "as many means"),
    ({"std": (0.1, 0.0, 0.1)}, "not 0"),
    ({"mean": "abc"}, "mean: expected finite numbers, got 'abc'"),
    ({"encoder_embed_dim": "wide"}, "encoder_embed_dim: expected an integer, got 'wide'"),
    ({"encoder_nb_blocks": 2.5}, "encoder_nb_blocks: expected an integer, got 2.5"),
    ({"encoder_global_attn_indices": [1.5]}, "encoder_global_attn_indices"),
    ({"mask_threshold": None}, "mask_threshold: expected a finite number, got None"),
    ({"mask_threshold": float("nan")}, "mask_threshold: expected a finite number, got nan"),
    ({"mean": (0.5, float("inf"), 0.5)}, "mean: expected finite numbers"),
    ({"encoder_global_attn_indices": (-1,)}, "global_blocks"),
    ({"encoder_mlp_ratio": 10**400}, "encoder_mlp_ratio: expected a finite number"),
    ({"fixed_input_size": "no"}, "fixed_input_size: expected True or False, got 'no'"),
    ({"encoder_qkv_bias": None}, "encoder_qkv_bias: expected True or False, got None"),
    ({"first_conv": None}, "first_conv: expected a text, got None"),
    ({"name": 3}, "name: expected a text, got 3"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_impossible_values(
    config: SegmentAnythingModelConfig, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        replace(config, **change)


def test_global_blocks_beyond_the_last_are_ignored(make: Make) -> None:
    """As before, so that fewer blocks do not need other indices than the default's."""
    few = make(encoder_nb_blocks=2, encoder_global_attn_indices=(1, 2, 5, 8, 11))
    assert shape(few, "image_encoder.blocks.1.attn.rel_pos_h") == (7, 12)


def test_unknown_field() -> None:
    with pytest.raises(TypeError, match="encoder_depth"):
        SegmentAnythingModelConfig(encoder_depth=3)  # type: ignore[call-arg]


def test_no_config() -> None:
    with pytest.raises(InputError, match="expected a SegmentAnythingModelConfig, got str"):
        SegmentAnythingModel("sam_vit_b")  # type: ignore[arg-type]


@pytest.mark.parametrize("eps", [1e-6, 1e-5, 1e-12, 0.25])
@pytest.mark.parametrize("resampling", ["bicubic", "bilinear"])
def test_there_and_back(eps: float, resampling: str) -> None:
    vit = {"activation": "silu", "norm_eps": eps, "dropout": 0.1, "patch_size": 32}
    vit["position_resampling"] = resampling
    network = tiny_sam(**vit)
    assert core_config(described_by(network)) == network


def test_the_default_is_sam_vit_b() -> None:
    described = described_by(SamConfig())
    default = SegmentAnythingModelConfig()
    same = replace(described, mean=default.mean, std=default.std)
    assert same == default
    np.testing.assert_allclose([*described.mean, *described.std], [*default.mean, *default.std])


@pytest.mark.parametrize("config", [tiny_mobile_sam()], ids=["mobile-sam"])
def test_networks_without_a_vit(config: SamConfig) -> None:
    with pytest.raises(InputError, match="TinyViT"):
        described_by(config)


def test_networks_with_other_options() -> None:
    network = tiny_sam()
    own = replace(network, mask_decoder=replace(network.mask_decoder, iou_sigmoid=True))
    for other in (own, tiny_sam(norm="group_norm_1grp", norm_eps=0.1)):
        with pytest.raises(InputError, match="no names for"):
            described_by(other)
    assert described_by(CONFIGS["sam"]).encoder_embed_dim == 24
