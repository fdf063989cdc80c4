"""Devices and dtypes, and networks that are brought there."""

import numpy as np
import pytest
import torch
from image_predictor.helpers import ALL, CLICK, photo
from tiny import make, tiny_sam, tiny_sam2

from samkit.errors import InputError
from samkit.image_predictor import ImagePredictor, loading


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_half_precision_keeps_coordinates(dtype: object) -> None:
    config = tiny_sam2()
    full = ImagePredictor(make(config), device="cpu").predict(photo(), ALL)
    half = ImagePredictor(make(config), device="cpu", dtype=dtype).predict(photo(), ALL)  # type: ignore[arg-type]
    assert half.scores.dtype == np.float32
    assert half.logits is not None
    assert half.logits.dtype == np.float32
    assert full.logits is not None
    assert (half.masks == full.masks).mean() > 0.9


@pytest.mark.parametrize("device", ["cuda:99", "tpu9", "", "meta!", "meta", "hpu", None, []])
def test_devices_that_are_not_there(device: str) -> None:
    with pytest.raises(InputError, match="is not available here"):
        ImagePredictor(make(tiny_sam2()), device=device)
    with pytest.raises(InputError, match="is not available here"):
        ImagePredictor(make(tiny_sam2()), device="cpu").embed(photo()).to(device)


def test_a_network_is_not_changed_by_a_second_predictor() -> None:
    network = make(tiny_sam2())
    first = ImagePredictor(network, device="cpu", dtype="float32")
    ImagePredictor(network, device="cpu", dtype="bfloat16")
    assert len(first.predict(photo(), CLICK)) == 1
    assert first.network is network
    assert {p.dtype for p in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", ["int8", "double", torch.float64, ""])
def test_unknown_dtypes(dtype: object) -> None:
    with pytest.raises(InputError, match="dtype: expected auto, float32"):
        ImagePredictor(make(tiny_sam2()), device="cpu", dtype=dtype)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["amx_bf16", "avx512_bf16"])
def test_auto_dtype_follows_the_hardware(monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    for fast, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda fast=fast: {unit: fast})
        assert ImagePredictor(make(tiny_sam2()), device="cpu").dtype == expected


def test_a_loaded_network_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take twice the memory; a network that the caller has is left as it is."""
    network = make(tiny_sam2())
    monkeypatch.setattr(loading.weights, "load_network", lambda model: network)
    loaded = loading.load("any", device="cpu", dtype="bfloat16")
    assert loaded.network is network
    assert {tensor.dtype for tensor in network.image_encoder.parameters()} == {torch.bfloat16}
    own = make(tiny_sam2())
    given = ImagePredictor(own, device="cpu", dtype="bfloat16")
    assert given.network is not own
    assert {tensor.dtype for tensor in own.parameters()} == {torch.float32}


def test_devices_and_dtypes_of_other_types() -> None:
    network = make(tiny_sam())
    for device in (2**63, -(10**5000), object()):
        with pytest.raises(InputError, match="is not available here"):
            ImagePredictor(network, device=device)  # type: ignore[arg-type]
    for dtype in (np.ones(2), 10**5000, [], {}):
        with pytest.raises(InputError, match="dtype: expected auto, float32"):
            ImagePredictor(network, device="cpu", dtype=dtype)  # type: ignore[arg-type]
