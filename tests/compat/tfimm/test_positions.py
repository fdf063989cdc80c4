"""Position encodings on other grids are interpolated linearly, as tfimm does.

What is expected is computed here, cell by cell.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from samkit.compat.tfimm import SegmentAnythingModel, SegmentAnythingModelConfig
from samkit.errors import InputError
from samkit.weights import load_network, save_network

Make = Callable[..., SegmentAnythingModel]

SIZES = [(96, 32), (128, 128), (48, 80), (64, 64)]


def linear(values: np.ndarray, size: int) -> np.ndarray:
    """(L, ...) -> (size, ...): cell i has its centre at (i + 0.5) * L / size - 0.5."""
    result = []
    for i in range(size):
        place = min(max((i + 0.5) * len(values) / size - 0.5, 0), len(values) - 1)
        low = int(place)
        high = min(low + 1, len(values) - 1)
        result.append(values[low] * (1 - place + low) + values[high] * (place - low))
    return np.stack(result)


def grid(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(1, h, w, D) -> (1, rows, columns, D)."""
    return linear(linear(values[0], rows).swapaxes(0, 1), columns).swapaxes(0, 1)[None]


@pytest.fixture
def flexible(make: Make) -> SegmentAnythingModel:
    """A model of any size whose positions matter so much that bicubic ones would show."""
    model = make(fixed_input_size=False)
    with torch.no_grad():
        model.network.image_encoder.pos_embed.mul_(10)
    return model


def logits(model: SegmentAnythingModel, size: tuple[int, int]) -> np.ndarray:
    images = np.random.default_rng(3).normal(size=(2, *size, 3)).astype(np.float32)
    return model({"images": images, "points": [[[5, 6]], [[9, 3]]]}, multimask_output=True).logits


@pytest.mark.parametrize("size", SIZES)
def test_images_of_another_size(
    make: Make, flexible: SegmentAnythingModel, size: tuple[int, int]
) -> None:
    """As a model of this size that has the interpolated positions as its own."""
    rows, columns = size[0] // 16, size[1] // 16
    state = {name: tensor.clone() for name, tensor in flexible.network.state_dict().items()}
    positions = grid(state["image_encoder.pos_embed"].numpy(), rows, columns)
    state["image_encoder.pos_embed"] = torch.from_numpy(positions)
    for axis, side in (("h", rows), ("w", columns)):
        name = f"image_encoder.blocks.1.attn.rel_pos_{axis}"  # the block with global attention
        state[name] = torch.from_numpy(linear(state[name].numpy(), 2 * side - 1))
    fixed = make(input_size=size)
    fixed.network.load_state_dict({name: value.float() for name, value in state.items()})
    np.testing.assert_allclose(logits(flexible, size), logits(fixed, size), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fixed_input_size", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_weights_for_another_input_size(
    flexible: SegmentAnythingModel,
    tmp_path: Path,
    size: tuple[int, int],
    fixed_input_size: bool,
) -> None:
    save_network(flexible.network, tmp_path / "own.safetensors")
    cfg = replace(flexible.cfg, input_size=size, fixed_input_size=fixed_input_size)
    got = SegmentAnythingModel.from_pretrained(tmp_path / "own.safetensors", cfg)
    expected = grid(flexible.network.image_encoder.pos_embed.detach().numpy(), *got.grid_size())
    found = got.network.image_encoder.pos_embed.detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_saved_model_keeps_the_choice(flexible: SegmentAnythingModel, tmp_path: Path) -> None:
    save_network(flexible.network, tmp_path / "own.safetensors")
    again = SegmentAnythingModel.from_pretrained(tmp_path / "own.safetensors")
    assert again.cfg == flexible.cfg
    size = (96, 32)
    np.testing.assert_array_equal(logits(again, size), logits(flexible, size))
    assert load_network(tmp_path / "own.safetensors").config == flexible.network.config


def test_transforms_of_weights(config: SegmentAnythingModelConfig) -> None:
    cfg = replace(config, encoder_global_attn_indices=(1, 5))
    transforms = cfg.transform_weights
    assert sorted(transforms) == [
        "image_encoder/blocks/1/attn/rel_pos_h",
        "image_encoder/blocks/1/attn/rel_pos_w",
        "image_encoder/blocks/5/attn/rel_pos_h",
        "image_encoder/blocks/5/attn/rel_pos_w",
        "image_encoder/pos_embed",
    ]
    target = replace(cfg, input_size=(96, 32))
    rng = np.random.default_rng(0)
    positions, offsets = rng.normal(size=(1, 4, 4, 24)), rng.normal(size=(7, 12))
    for name, given, expected in (
        ("image_encoder/pos_embed", positions, grid(positions, 6, 2)),
        ("image_encoder/blocks/5/attn/rel_pos_h", offsets, linear(offsets, 11)),
        ("image_encoder/blocks/5/attn/rel_pos_w", offsets, linear(offsets, 3)),
    ):
        got = transforms[name](None, given.astype(np.float32), target)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (
            np.zeros((4, 4, 24)),
            r"floats of shape \(1, h, w, D\), got float64 of shape \(4, 4, 24\)",
        ),
        (np.zeros((1, 0, 4, 24)), "floats of shape"),
        (np.full((1, 4, 4, 24), "a"), "floats of shape"),
        ([[1], [1, 2]], "weight: expected an array"),
    ],
)
def test_weights_of_no_use(config: SegmentAnythingModelConfig, weight: Any, message: str) -> None:
    transform = config.transform_weights["image_encoder/pos_embed"]
    with pytest.raises(InputError, match=message):
        transform(None, weight, config)
    with pytest.raises(InputError, match="expected a SegmentAnythingModelConfig, got NoneType"):
        transform(None, np.zeros((1, 4, 4, 24)), None)
