"""Models by name, from files, and from networks of samkit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import make as make_network
from tiny import tiny_mobile_sam, tiny_sam, tiny_sam2

from samkit.compat.tfimm import (
    SegmentAnythingModel,
    SegmentAnythingModelConfig,
    create_model,
    create_preprocessing,
    list_models,
)
from samkit.compat.tfimm import factory as factory_module
from samkit.compat.tfimm import model as model_module
from samkit.compat.tfimm.config import core_config
from samkit.errors import (
    CheckpointError,
    CheckpointKeysError,
    DownloadError,
    ImageError,
    InputError,
    UnknownModelError,
)
from samkit.nn import Sam
from samkit.sizes import sam_vit
from samkit.weights import MODELS, convert, save_network

Make = Callable[..., SegmentAnythingModel]


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SAMKIT_OFFLINE", "1")


@pytest.fixture
def checkpoint(model: SegmentAnythingModel, tmp_path: Path) -> Path:
    """The tiny model's weights in Meta's layout, which holds tensors only."""
    save_network(model.network, tmp_path / "tiny.safetensors")
    convert(tmp_path / "tiny.safetensors", tmp_path / "tiny.pth", layout="meta")
    return tmp_path / "tiny.pth"


def logits(model: SegmentAnythingModel, images: np.ndarray) -> np.ndarray:
    points = np.full((len(images), 1, 2), 20)
    return model({"images": images, "points": points}, multimask_output=True).logits


# Names


def test_names() -> None:
    assert list_models() == ["sam_vit_b", "sam_vit_h", "sam_vit_l"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"name_filter": "*_h"}, "h"),
        ({"name_filter": ["*_l", "sam_vit_b"]}, "bl"),
        ({"name_filter": "vit"}, ""),
        ({"name_filter": "sam_vit_[bl]", "exclude_filters": "*_b"}, "l"),
        ({"exclude_filters": ("*_b", "*_l")}, "h"),
        ({"exclude_filters": "*"}, ""),
        ({"pretrained": True}, "bhl"),
        ({"pretrained": "timm"}, ""),
        ({"module": "sam"}, "bhl"),
        ({"module": "resnet"}, ""),
        ({"name_filter": [], "exclude_filters": [""]}, "bhl"),
    ],
)
def test_names_that_match(arguments: dict[str, Any], expected: str) -> None:
    assert list_models(**arguments) == [f"sam_vit_{size}" for size in expected]


@pytest.mark.parametrize("wrong", [5, None, [5], {"*": 1}])
def test_patterns_that_are_none(wrong: Any) -> None:
    for name in ("name_filter", "exclude_filters"):
        with pytest.raises(InputError, match=f"{name}: expected a pattern"):
            list_models(**{name: wrong})


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder_drop_rate": 0.25, "mask_threshold": 0.5, "name": "mine"},
        {"encoder_act_layer": "relu", "encoder_norm_layer": "affine", "mean": (0.5, 0.5, 0.5)},
        {"encoder_nb_blocks": 2, "encoder_embed_dim": 48, "encoder_qkv_bias": False},
        {"in_channels": 5, "fixed_input_size": False, "nb_multimask_outputs": 7},
    ],
)
def test_all_fields_of_the_config(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory_module, "SegmentAnythingModel", lambda cfg: cfg)
    plain, changed = create_model("sam_vit_b"), create_model("sam_vit_b", **changes)
    assert {name: getattr(changed, name) for name in changes} == changes
    assert changed == replace(plain, **changes)
    nothing = dict.fromkeys(changes)
    assert create_model("sam_vit_b", nb_classes=10, **nothing) == plain


def test_fields_with_weights(
    checkpoint: Path, model: SegmentAnythingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory_module, "_config", lambda name: model.cfg)
    got = create_model("sam_vit_b", model_path=checkpoint, mask_threshold=0.5)
    assert got.mask_threshold == 0.5
    images = np.ones((1, 64, 64, 3), np.float32)
    np.testing.assert_array_equal(logits(got, images), logits(model, images))


def test_fields_that_are_none() -> None:
    with pytest.raises(
        InputError, match=r"expected fields .*mask_threshold.*; got \['threshold'\]"
    ):
        create_model("sam_vit_b", threshold=0.5)
    with pytest.raises(InputError, match="encoder_nb_heads: expected an integer"):
        create_model("sam_vit_b", encoder_nb_heads="many")


@pytest.mark.parametrize("size", ["b", "l", "h"])
def test_released_configs(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `create_model` builds, without the time to build it."""
    monkeypatch.setattr(factory_module, "SegmentAnythingModel", lambda cfg: cfg)
    cfg = create_model(f"sam_vit_{size}")
    released = sam_vit(size)  # type: ignore[arg-type]
    assert replace(core_config(cfg), mean=released.mean, std=released.std) == released
    for own, theirs in ((cfg.mean, released.mean), (cfg.std, released.std)):
        assert torch.equal(torch.tensor(own), torch.tensor(theirs))  # in float32
    default = SegmentAnythingModelConfig(name=cfg.name, url=cfg.url)
    assert (cfg == default) == (size == "b")
    assert cfg.name == f"sam_vit_{size}"
    assert cfg.url == MODELS[f"sam-vit-{size}"].url
    changed = create_model(
        f"sam_vit_{size}", in_channels=1, input_size=(512, 768), fixed_input_size=False
    )
    assert changed == replace(cfg, in_channels=1, input_size=(512, 768), fixed_input_size=False)


@pytest.mark.parametrize("name", ["sam_vit_x", "sam-vit-b", "", "pico"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(UnknownModelError, match="names: sam_vit_b, sam_vit_h, sam_vit_l"):
        create_model(name)
    with pytest.raises(UnknownModelError):
        create_preprocessing(name)


# Weights


def test_pretrained_weights_without_network_or_cache() -> None:
    with pytest.raises(DownloadError):
        create_model("sam_vit_b", pretrained=True)


def test_pretrained_weights_are_samkits(
    model: SegmentAnythingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address stands for the registered model, whose download is verified."""
    asked = []

    def load(source: str) -> Sam:
        asked.append(source)
        return model.network

    monkeypatch.setattr(model_module, "load_network", load)
    with pytest.raises(CheckpointKeysError):  # the tiny network does not fit
        create_model("sam_vit_b", pretrained=True)
    assert asked == ["sam-vit-b"]


def test_a_model_path(
    checkpoint: Path, model: SegmentAnythingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointKeysError, match="does not fit"):
        create_model("sam_vit_b", model_path=checkpoint)
    monkeypatch.setattr(factory_module, "_config", lambda name: model.cfg)
    images = np.ones((1, 64, 64, 3), np.float32)
    for pretrained in (True, False):
        got = create_model("sam_vit_b", pretrained, checkpoint)
        np.testing.assert_array_equal(logits(got, images), logits(model, images))


def test_a_url_that_is_a_file(
    checkpoint: Path, config: SegmentAnythingModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = replace(config, url=str(checkpoint))
    monkeypatch.setattr(factory_module, "_config", lambda name: cfg)
    assert create_model("sam_vit_b", pretrained=True).cfg == cfg


def test_without_weights_there_is_nothing_to_load() -> None:
    with pytest.raises((UnknownModelError, CheckpointError)):
        SegmentAnythingModel.from_pretrained("no/such/file.pth")


def test_a_checkpoint_tells_its_own_sizes(
    model: SegmentAnythingModel, tmp_path: Path, images: np.ndarray
) -> None:
    save_network(model.network, tmp_path / "own.safetensors")
    got = SegmentAnythingModel.from_pretrained(tmp_path / "own.safetensors")
    assert got.cfg == model.cfg
    np.testing.assert_array_equal(logits(got, images), logits(model, images))


def test_a_checkpoint_of_another_family(tmp_path: Path) -> None:
    save_network(make_network(tiny_sam2()), tmp_path / "sam2.safetensors")
    with pytest.raises(InputError, match="expected SAM with a ViT, got Sam2"):
        SegmentAnythingModel.from_pretrained(tmp_path / "sam2.safetensors")
    save_network(make_network(tiny_mobile_sam()), tmp_path / "mobile.safetensors")
    for cfg in (None, SegmentAnythingModelConfig()):
        with pytest.raises(InputError, match="TinyViT"):
            SegmentAnythingModel.from_pretrained(tmp_path / "mobile.safetensors", cfg)


@pytest.mark.parametrize(
    ("name", "got"), [("mobile-sam", "TinyViT"), ("sam2.1-tiny", "Sam2"), ("pico", "Sam2")]
)
def test_a_name_of_another_family_is_not_downloaded(
    name: str, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(model_module, "load_network", loaded.append)
    for source in filter(None, (name, MODELS[name].url)):
        with pytest.raises(InputError, match=f"expected SAM with a ViT, got .*{got}"):
            SegmentAnythingModel.from_pretrained(source)
    assert loaded == []


def test_sizes_that_do_not_fit(checkpoint: Path, config: SegmentAnythingModelConfig) -> None:
    with pytest.raises(CheckpointKeysError, match="wrongly shaped"):
        SegmentAnythingModel.from_pretrained(checkpoint, replace(config, embed_dim=32))
    with pytest.raises(CheckpointKeysError, match="missing"):
        SegmentAnythingModel.from_pretrained(checkpoint, replace(config, encoder_nb_blocks=4))
    with pytest.raises(CheckpointKeysError, match="unexpected"):
        SegmentAnythingModel.from_pretrained(checkpoint, replace(config, encoder_qkv_bias=False))


# Other channels


@pytest.mark.parametrize("channels", [1, 6])
def test_grey_images_look_the_same_in_any_number_of_channels(
    checkpoint: Path, model: SegmentAnythingModel, channels: int
) -> None:
    cfg = replace(model.cfg, in_channels=channels)
    adapted = SegmentAnythingModel.from_pretrained(checkpoint, cfg)
    grey = np.random.default_rng(0).normal(size=(2, 64, 64, 1)).astype(np.float32)
    np.testing.assert_allclose(
        logits(adapted, grey.repeat(channels, 3)),
        logits(model, grey.repeat(3, 3)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_five_channels_repeat_three(checkpoint: Path, model: SegmentAnythingModel) -> None:
    adapted = SegmentAnythingModel.from_pretrained(checkpoint, replace(model.cfg, in_channels=5))
    name = "image_encoder.patch_embed.proj.weight"
    three, five = (m.network.state_dict()[name] for m in (model, adapted))
    for target, source in enumerate((0, 1, 2, 0, 1)):
        torch.testing.assert_close(five[:, target], three[:, source] * 3 / 5)
    images = np.zeros((1, 64, 64, 5), np.float32)
    assert logits(adapted, images).shape == (1, 3, 16, 16)


def test_the_first_convolution_is_found_by_its_name(
    checkpoint: Path, config: SegmentAnythingModelConfig
) -> None:
    for wrong in ("stem/conv", "", "image_encoder/neck/1"):
        cfg = replace(config, in_channels=1, first_conv=wrong)
        with pytest.raises(InputError, match=r"first convolution, got"):
            SegmentAnythingModel.from_pretrained(checkpoint, cfg)
    # Another convolution is adapted in its place, and does not fit.
    cfg = replace(config, in_channels=1, first_conv="image_encoder/neck/0")
    with pytest.raises(CheckpointKeysError, match=r"patch_embed\.proj\.weight"):
        SegmentAnythingModel.from_pretrained(checkpoint, cfg)


# Other input sizes


@pytest.mark.parametrize("size", [(96, 32), (128, 128), (48, 80)])
def test_other_input_sizes_interpolate_positions_once(
    checkpoint: Path, make: Make, size: tuple[int, int]
) -> None:
    flexible = make(fixed_input_size=False)
    cfg = replace(flexible.cfg, input_size=size, fixed_input_size=True)
    fixed = SegmentAnythingModel.from_pretrained(checkpoint, cfg)
    assert fixed.network.image_encoder.pos_embed.shape[1:3] == (size[0] // 16, size[1] // 16)
    images = np.random.default_rng(3).normal(size=(2, *size, 3)).astype(np.float32)
    np.testing.assert_allclose(
        logits(fixed, images), logits(flexible, images), rtol=1e-5, atol=1e-5
    )


def test_drop_rates_and_threshold_are_the_configs(
    checkpoint: Path, config: SegmentAnythingModelConfig, images: np.ndarray
) -> None:
    cfg = replace(config, encoder_drop_rate=0.5, mask_threshold=0.25)
    model = SegmentAnythingModel.from_pretrained(checkpoint, cfg)
    assert model.mask_threshold == 0.25
    torch.manual_seed(0)
    dropped = model({"images": images}, training=True).scores
    assert np.abs(dropped - model({"images": images}).scores).max() > 1e-3


# Networks


def test_from_a_network() -> None:
    network = make_network(tiny_sam())
    model = SegmentAnythingModel.from_network(network)
    assert model.network is network
    assert core_config(model.cfg) == network.config
    assert model({"images": np.zeros((1, 128, 128, 3), np.float32)}).masks.shape == (1, 1, 128, 128)
    for wrong in (make_network(tiny_sam2()), "sam_vit_b", None):
        with pytest.raises(InputError, match=r"expected (SAM with a ViT|a network of SAM)"):
            SegmentAnythingModel.from_network(wrong)  # type: ignore[arg-type]


# Preprocessing


def test_preprocessing() -> None:
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8)
    preprocess = create_preprocessing("sam_vit_b")
    assert preprocess(image).dtype == np.float32
    np.testing.assert_allclose(preprocess(image), (image / 255 - mean) / std, atol=1e-5)
    np.testing.assert_array_equal(preprocess(image.astype(np.float64)[0]), preprocess(image)[0])
    assert create_preprocessing("sam_vit_h", in_channels=5)(np.zeros((4, 4, 5))).shape == (4, 4, 5)
    for wrong in (np.zeros((4, 4, 1)), np.zeros((4, 4, 3), bool), 3):
        with pytest.raises(ImageError, match=r"image: expected numbers of shape \(..., 3\)"):
            preprocess(wrong)
    with pytest.raises(ImageError, match="image: expected an array"):
        preprocess([[1], [1, 2]])


@pytest.mark.parametrize("dtype", ["float16", np.float32, np.dtype("f8"), "TensorFlow's"])
def test_preprocessing_to_a_dtype(dtype: Any) -> None:
    if dtype == "TensorFlow's":
        dtype = SimpleNamespace(as_numpy_dtype=np.float64)
    wanted = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
    image = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    got = create_preprocessing("sam_vit_b", dtype=dtype)(image)
    assert got.dtype == wanted
    expected = (image / 255 - mean) / std
    np.testing.assert_allclose(got, expected, rtol=2 * float(np.finfo(wanted).eps), atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", int, "complex64", "none", object(), "bfloat16"])
def test_dtypes_that_are_no_floats(dtype: Any) -> None:
    with pytest.raises(InputError, match="dtype: expected one of floats"):
        create_preprocessing("sam_vit_b", dtype=dtype)


def test_preprocessing_of_one_channel_takes_the_first_mean() -> None:
    image = np.arange(12).reshape(3, 4, 1)
    got = create_preprocessing("sam_vit_b", in_channels=1)(image)
    np.testing.assert_allclose(got, (image / 255 - 0.485) / 0.229, atol=1e-6)


@pytest.mark.full_size
def test_a_released_size() -> None:
    model = create_model("sam_vit_b")
    masks, scores, low = model(model.dummy_inputs, multimask_output=True)
    assert masks.shape == (1, 3, 1024, 1024)
    assert scores.shape == (1, 3)
    assert low.shape == (1, 3, 256, 256)
