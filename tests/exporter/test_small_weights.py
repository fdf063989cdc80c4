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
    module, x = rounded(with_norm(), weights), torch.randn(1, 3, 16, 16)
    part = Part(name="layers", module=module, inputs={"x": x}, outputs=("y",), axes={})
    write_onnx(part, tmp_path, weights)
    stored = onnx.load(tmp_path / "layers.onnx").graph.initializer
    large = [one.data_type for one in stored if np.prod(one.dims) >= 1024]
    assert large == [KINDS[weights]] * 4
    session = onnxruntime.InferenceSession(tmp_path / "layers.onnx")
    (found,) = session.run(None, {"x": x.numpy()})
    expected = module(x).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
