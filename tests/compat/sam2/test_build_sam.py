"""Networks and predictors by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import make, tiny_sam2

import samkit
from samkit.compat.sam2 import build_sam
from samkit.compat.sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from samkit.compat.sam2.build_sam import (
    build_sam2,
    build_sam2_hf,
    build_sam2_video_predictor,
    build_sam2_video_predictor_hf,
)
from samkit.compat.sam2.loading import _NAMES
from samkit.compat.sam2.sam2_image_predictor import SAM2ImagePredictor
from samkit.compat.sam2.sam2_video_predictor import SAM2VideoPredictor
from samkit.errors import InputError, UnknownModelError
from samkit.nn import Network
from samkit.weights import MODELS, RegisteredModel, save_network

LARGE = "configs/sam2.1/sam2.1_hiera_l.yaml"


@pytest.fixture(scope="module")
def pico() -> Network:
    return samkit.load("pico", device="cpu").network


def same(first: Network, second: Network) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_names_of_configurations() -> None:
    assert set(_NAMES.values()) == {name for name in MODELS if name.startswith("sam2")}
    assert _NAMES["sam2.1_hiera_b+"] == "sam2.1-base-plus"


@pytest.mark.parametrize(
    "given",
    [("pico",), ("pico", "pico"), (LARGE, "pico"), ("sam2_hiera_t", "pico", "cpu", "eval")],
)
def test_pico(given: tuple[Any, ...], pico: Network) -> None:
    network = build_sam2(*given, **({} if len(given) > 2 else {"device": "cpu"}))
    assert same(network, pico)
    assert not network.training


def test_pico_as_a_pretrained_model(pico: Network) -> None:
    assert same(build_sam2_hf("pico", device="cpu"), pico)
    found = [
        SAM2ImagePredictor.from_pretrained("pico", device="cpu", mask_threshold=0.5),
        SAM2VideoPredictor.from_pretrained("pico", device="cpu"),
        SAM2AutomaticMaskGenerator.from_pretrained("pico", device="cpu").predictor,
        build_sam2_video_predictor("pico", device="cpu"),
        build_sam2_video_predictor_hf("pico", device="cpu", apply_postprocessing=False),
    ]
    assert all(same(one.core.network, pico) for one in found)
    assert found[0].mask_threshold == 0.5
    holes = [one.fill_hole_area for one in found if isinstance(one, SAM2VideoPredictor)]
    assert holes == [8, 8, 0]


def test_checkpoints(tmp_path: Path, pico: Network) -> None:
    save_network(pico, tmp_path / "pico.safetensors")
    save_network(make(tiny_sam2()), tmp_path / "tiny.safetensors")
    assert same(build_sam2("pico", tmp_path / "pico.safetensors", device="cpu"), pico)
    with pytest.raises(InputError, match=r"expected weights of sam2\.1-large"):
        build_sam2(LARGE, str(tmp_path / "tiny.safetensors"), device="cpu")


def test_a_configuration_without_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    small = RegisteredModel(name="sam2.1-large", config=tiny_sam2(), parameters=1, year=2024)
    monkeypatch.setitem(MODELS, "sam2.1-large", small)
    first = build_sam2(LARGE, device="cpu", mode="train")
    assert first.config == tiny_sam2()
    assert first.training
    assert not same(first, build_sam2(LARGE, device="cpu"))


def test_without_postprocessing_the_single_mask_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    small = RegisteredModel(name="sam2.1-large", config=tiny_sam2(), parameters=1, year=2024)
    monkeypatch.setitem(MODELS, "sam2.1-large", small)
    plain = build_sam2(LARGE, device="cpu", apply_postprocessing=False)
    assert not plain.config.mask_decoder.dynamic_multimask
    assert not plain.mask_decoder.config.dynamic_multimask
    assert plain.has_memory
    assert not plain.training
    assert SAM2ImagePredictor(plain).core.network is plain


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"config_file": "mine.yaml"}, UnknownModelError, r"sam2_hiera_t\.yaml"),
        ({"config_file": None}, InputError, "config_file"),
        ({"mode": "test"}, InputError, "mode: expected eval or train"),
        ({"device": "abacus"}, InputError, "device"),
        ({"hydra_overrides_extra": ["++a=b"]}, InputError, "hydra_overrides_extra"),
        ({"ckpt_path": 3}, InputError, "checkpoint: expected a file"),
    ],
)
def test_wrong_arguments(given: dict[str, Any], error: type[Exception], message: str) -> None:
    for function in (build_sam.build_sam2, build_sam.build_sam2_video_predictor):
        with pytest.raises(error, match=message):
            function(**{"config_file": LARGE, "ckpt_path": "pico", "device": "cpu", **given})
