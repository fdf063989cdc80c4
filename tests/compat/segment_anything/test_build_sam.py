"""The registry of models, and checkpoints."""

from pathlib import Path

import pytest
import torch
from tiny import make, tiny_sam

import samkit
from samkit.compat import segment_anything
from samkit.compat.segment_anything import build_sam, build_sam_vit_h, sam_model_registry
from samkit.errors import InputError, UnknownModelError
from samkit.nn import Network
from samkit.weights import MODELS, RegisteredModel, save_network


def test_names() -> None:
    assert {"default", "vit_h", "vit_l", "vit_b", "pico", "mobile-sam"} <= set(sam_model_registry)
    assert sam_model_registry["default"] is sam_model_registry["vit_h"] is build_sam_vit_h
    assert build_sam is build_sam_vit_h
    for letter in "hlb":
        function = getattr(segment_anything, f"build_sam_vit_{letter}")
        assert sam_model_registry[f"vit_{letter}"] is function
    with pytest.raises(UnknownModelError, match="vit_l, vit_b, pico"):
        sam_model_registry["vit_x"]


def same(first: Network, second: Network) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_pico_and_checkpoints_of_it(tmp_path: Path) -> None:
    """Its weights come with it; a checkpoint has those of fine-tuning."""
    network = sam_model_registry["pico"]()
    pico = samkit.load("pico", device="cpu").network
    assert same(network, pico)
    assert not network.training
    assert same(sam_model_registry["vit_b"](checkpoint="pico"), pico)
    with torch.no_grad():
        network.mask_decoder.iou_token.weight.add_(1)
    save_network(network, tmp_path / "mine.safetensors")
    assert same(sam_model_registry["pico"](checkpoint=tmp_path / "mine.safetensors"), network)


def test_a_checkpoint_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_network(make(tiny_sam()), path)
    with pytest.raises(InputError, match="expected weights of sam-vit-b"):
        sam_model_registry["vit_b"](checkpoint=str(path))
    with pytest.raises(InputError, match="checkpoint: expected a file"):
        sam_model_registry["vit_b"](checkpoint=3)
    with pytest.raises(UnknownModelError):
        sam_model_registry["vit_b"](checkpoint="no such model")


def test_without_a_checkpoint_weights_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    small = RegisteredModel(name="sam-vit-b", config=tiny_sam(), parameters=1, year=2023)
    monkeypatch.setitem(MODELS, "sam-vit-b", small)
    first, second = (sam_model_registry["vit_b"]() for _ in range(2))
    assert first.config == tiny_sam()
    assert not first.training
    assert not same(first, second)
