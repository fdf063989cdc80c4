"""Tiny networks whose weights every test of this folder may write about."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from samkit.nn import Sam, Sam2, build
from samkit.sizes import (
    HieraConfig,
    MaskDecoderConfig,
    Sam2Config,
    SamConfig,
    TinyViTConfig,
    ViTConfig,
    sam2,
)

HEAD = MaskDecoderConfig(mlp_dim=24, iou_head_dim=24)


def tiny_sam() -> Sam:
    vit = ViTConfig(dim=24, depth=3, heads=2, window_size=3, global_blocks=(1,))
    return _random(SamConfig(image_encoder=vit, mask_decoder=HEAD, dim=16, image_size=(64, 64)))


def tiny_mobile_sam() -> Sam:
    encoder = TinyViTConfig(dims=(8, 12, 16, 20), depths=(1, 1, 2, 1), heads=(1, 2, 2, 2))
    return _random(SamConfig(image_encoder=encoder, mask_decoder=HEAD, dim=16))


def tiny_sam2(*, version: str = "2.1") -> Sam2:
    released = sam2("tiny", version=version)
    encoder = HieraConfig(dim=8, stages=(1, 1, 2, 1), global_blocks=(3,), position_size=(3, 3))
    return _random(
        replace(
            released,
            image_encoder=encoder,
            mask_decoder=replace(released.mask_decoder, mlp_dim=24, iou_head_dim=24),
            memory=replace(released.memory, layers=1, mlp_dim=24, fuser_layers=1),
            dim=32,
            image_size=(64, 64),
        )
    )


def _random(config: SamConfig | Sam2Config) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return build(config).eval()


@pytest.fixture
def sam() -> Sam:
    return tiny_sam()


@pytest.fixture
def mobile_sam() -> Sam:
    return tiny_mobile_sam()


@pytest.fixture
def sam2_network() -> Sam2:
    return tiny_sam2()


@pytest.fixture(params=["sam", "mobile-sam", "sam2", "sam2.1"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    return {
        "sam": tiny_sam,
        "mobile-sam": tiny_mobile_sam,
        "sam2": lambda: tiny_sam2(version="2"),
        "sam2.1": tiny_sam2,
    }[request.param]()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; no test sees what the user has downloaded."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SAMKIT_CACHE", str(folder))
    monkeypatch.delenv("SAMKIT_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return folder


@pytest.fixture
def contents() -> bytes:
    """300 kB that do not repeat."""
    return b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(9600))
