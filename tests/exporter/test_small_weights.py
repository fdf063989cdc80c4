"""Weights of fewer bits: how they are rounded, and that storing them loses nothing more."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from samkit import InputError
from samkit.exporter.onnx_files import write_onnx
from samkit.exporter.parts import Part
from samkit.exporter.small_weights import rounded
from samkit.nn.tiny_vit import ConvNorm

KINDS = {"float16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}


def network() -> nn.Sequential:
    """Layers of every kind, with channels of very different scales, one of them nothing."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ConvTranspose2d(64, 16, 2, 2), nn.Linear(28, 64))
    with torch.no_grad():
        layers[0].weight[5] = 0
        layers[0].weight[6] *= 1000
        layers[2].weight[7] /= 1000
    return layers


def test_steps_of_each_channel() -> None:
    before = network()
    after = rounded(before, "int8")
    for name, weight in before.named_parameters():
        found = after.get_parameter(name)
        if weight.dim() == 1:
            assert (found == weight).all()
            continue
        assert not (found == weight).all()
        for row, other in zip(weight.detach(), found.detach(), strict=True):
            assert (row - other).abs().max() <= 0.51 * row.abs().max() / 127
            assert len(np.unique(other.numpy())) <= 255


def test_what_float16_cannot_hold() -> None:
    with pytest.raises(InputError, match=r"half: 0\.weight has numbers that float16 cannot hold"):
        rounded(nn.Sequential(huge()), "float16")


def huge() -> nn.Linear:
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, 1e6)
    return layer


def with_norm() -> nn.Sequential:
    layers = nn.Sequential(*network(), ConvNorm(16, 64, 3)).eval()
    nn.init.normal_(layers[3].bn.weight)
    nn.init.uniform_(layers[3].bn.running_var, 0.5, 2)
    return layers


@pytest.mark.parametrize("weights", KINDS)
def test_storing_loses_nothing(weights: str, tmp_path: Path) -> None:
    part = Part(
        name="layers",
        module=rounded(with_norm(), weights),
        inputs={"x": torch.randn(1, 3, 16, 16)},
        outputs=("y",),
        axes={},
    )
    x = torch.randn(1, 3, 16, 16).numpy()
    found, sizes = [], []
    for kind in ("float32", weights):
        write_onnx(part, tmp_path, kind)
        sizes.append((tmp_path / "layers.onnx").stat().st_size)
        stored = onnx.load(tmp_path / "layers.onnx").graph.initializer
        large = [one.data_type for one in stored if np.prod(one.dims) >= 1024]
        assert len(large) == 4
        assert set(large) == {KINDS[kind] if kind == weights else onnx.TensorProto.FLOAT}
        session = onnxruntime.InferenceSession(tmp_path / "layers.onnx")
        found.append(session.run(None, {"x": x})[0])
    assert (found[0] == found[1]).all()
    assert sizes[1] < sizes[0] * {"float16": 0.7, "int8": 0.5}[weights]
