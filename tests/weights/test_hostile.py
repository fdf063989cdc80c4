"""Weight files and names that are damaged or made to harm: each is a clear error."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny import make, tiny_pico, tiny_sam, tiny_sam2

from samkit import sizes as nn_config
from samkit.errors import CheckpointError, UnknownModelError
from samkit.weights import load_network, save_network


def with_sizes(
    tmp_path: Path,
    part: str | None,
    changes: dict[str, object],
    config: nn_config.Sam2Config | None = None,
) -> Path:
    """A file of a tiny SAM 2 whose header gives other sizes."""
    path = tmp_path / "sizes.safetensors"
    save_network(make(config or tiny_sam2()), path)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        sizes = json.loads(file.metadata()["samkit.config"])
    (sizes if part is None else sizes[part]).update(changes)
    save_file(tensors, path, {"samkit.config": json.dumps(sizes)})
    return path


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("mask_decoder", {"depth": 10**6}),
        ("mask_decoder", {"heads": 7}),
        ("mask_decoder", {"heads": 0}),
        ("mask_decoder", {"candidates": 0}),
        ("mask_decoder", {"iou_head_depth": 0}),
        ("image_encoder", {"heads": 0}),
        ("image_encoder", {"window_sizes": [1]}),
        ("image_encoder", {"kind": "vit"}),
        ("image_encoder", {"stages": "abc"}),
        ("memory", {"heads": 3}),
        (None, {"image_size": [0, 0]}),
        (None, {"image_size": [33, 47]}),
        (None, {"image_size": "abc"}),
        (None, {"mean": []}),
        (None, {"std": [0, 1, 1]}),
        (None, {"dim": -5}),
        (None, {"dim": "x"}),
        (None, {"dim": 10**9}),
        (None, {"dim": 24}),
        (None, {"fpn_top_down_levels": None}),
        (None, {"unknown": 1}),
    ],
)
def test_impossible_sizes(tmp_path: Path, part: str | None, changes: dict[str, object]) -> None:
    with pytest.raises(CheckpointError):
        load_network(with_sizes(tmp_path, part, changes))


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("image_encoder", {"groups": 3}),
        ("image_encoder", {"groups": 0}),
        ("image_encoder", {"depths": [1, 1]}),
        ("image_encoder", {"stage_dims": [8, 16, 24]}),
        ("image_encoder", {"depths": [1, 1, 10**5, 1]}),
        ("mask_decoder", {"fusion_blocks": 10**5}),
        (None, {"dim": 24}),
    ],
)
def test_impossible_sizes_of_pico(
    tmp_path: Path, part: str | None, changes: dict[str, object]
) -> None:
    with pytest.raises(CheckpointError):
        load_network(with_sizes(tmp_path, part, changes, tiny_pico()))


@pytest.mark.parametrize(
    "config",
    [
        tiny_sam(),
        nn_config.sam_vit("h"),
        nn_config.mobile_sam(),
        nn_config.sam2("large", version="2"),
        nn_config.pico(),
    ],
)
def test_real_sizes_are_possible(config: nn_config.SamConfig) -> None:
    config.validate()


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.to(torch.int32),
        lambda x: x.to(torch.complex64),
        lambda x: x.to("meta"),
        lambda x: x.to_sparse(),
    ],
    ids=["integers", "complex", "meta", "sparse"],
)
def test_tensors_of_other_kinds(tmp_path: Path, change: object) -> None:
    state = make(tiny_sam()).state_dict()
    name = "mask_decoder.iou_token.weight"
    state[name] = change(state[name])  # type: ignore[operator]
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(CheckpointError):
        load_network(tmp_path / "x.pt")


@pytest.mark.parametrize("name", ["", "~nouser/x", "x" * 5000, "a\0b", None, 5, b"pico"])
def test_names_that_cannot_be(name: object) -> None:
    with pytest.raises(UnknownModelError):
        load_network(name)  # type: ignore[arg-type]


def test_a_config_nested_without_end(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="in at most 64 levels"):
        load_network(tmp_path)
