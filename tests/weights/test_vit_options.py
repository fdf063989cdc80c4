"""Options of the ViT that shapes of tensors do not tell."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from samkit.errors import CheckpointError
from samkit.nn import Sam, build
from samkit.sizes import SamConfig
from samkit.weights import convert, load_network, save_network


@pytest.fixture(params=[{"activation": "relu"}, {"norm_eps": 1e-5}])
def special(request: pytest.FixtureRequest, sam: Sam) -> Sam:
    vit = replace(sam.config.image_encoder, **request.param)
    network = build(replace(sam.config, image_encoder=vit))
    assert isinstance(network, Sam)
    return network


def test_own_files_and_transformers_keep_them(special: Sam, tmp_path: Path) -> None:
    save_network(special, tmp_path / "own.safetensors")
    assert load_network(tmp_path / "own.safetensors").config == special.config
    convert(tmp_path / "own.safetensors", tmp_path / "folder", layout="hugging-face")
    assert load_network(tmp_path / "folder").config.image_encoder == special.config.image_encoder


@pytest.mark.parametrize("norm", ["affine", "batch_norm", "group_norm_1grp", "none"])
def test_other_norms_are_in_own_files_only(norm: str, sam: Sam, tmp_path: Path) -> None:
    vit = replace(sam.config.image_encoder, norm=norm)
    network = build(replace(sam.config, image_encoder=vit))
    save_network(network, tmp_path / "own.safetensors")
    again = load_network(tmp_path / "own.safetensors")
    assert again.config == network.config
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    for layout in ("meta", "hugging-face"):
        with pytest.raises(CheckpointError, match="norms"):
            convert(tmp_path / "own.safetensors", tmp_path / "other", layout=layout)  # type: ignore[arg-type]


def test_resampling_of_positions_is_kept(sam: Sam, tmp_path: Path) -> None:
    vit = replace(sam.config.image_encoder, position_resampling="bilinear")
    network = build(replace(sam.config, image_encoder=vit))
    save_network(network, tmp_path / "own.safetensors")
    assert load_network(tmp_path / "own.safetensors").config == network.config


@pytest.mark.parametrize("layout", ["meta", "ultralytics"])
def test_files_of_tensors_alone_cannot(special: Sam, tmp_path: Path, layout: str) -> None:
    save_network(special, tmp_path / "own.safetensors")
    with pytest.raises(CheckpointError, match="its activation, or the kind or epsilon"):
        convert(tmp_path / "own.safetensors", tmp_path / "meta.pt", layout=layout)  # type: ignore[arg-type]
    assert not (tmp_path / "meta.pt").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "tanh"}, "activation: expected gelu, linear, mish, relu, .*, got 'tanh'"),
        ({"norm": "instance"}, "norm: expected affine, .*, none, got 'instance'"),
        ({"norm": "group_norm", "dim": 72}, "72 and 32"),
        ({"position_resampling": "area"}, "position_resampling: expected bicubic, bilinear"),
        ({"patch_size": 0}, "patch_size: expected at least 1"),
        ({"patch_size": 24}, "image_size: expected multiples of 24"),
    ],
)
def test_impossible_ones(changes: dict[str, object], message: str) -> None:
    config = SamConfig()
    with pytest.raises(ValueError, match=message):
        replace(config, image_encoder=replace(config.image_encoder, **changes)).validate()


@pytest.mark.parametrize(("patch", "size"), [(16, (48, 80)), (8, (24, 64)), (14, (1008, 56))])
def test_multiples_of_the_patch_are_enough(patch: int, size: tuple[int, int]) -> None:
    config = SamConfig(image_size=size)
    replace(config, image_encoder=replace(config.image_encoder, patch_size=patch)).validate()
