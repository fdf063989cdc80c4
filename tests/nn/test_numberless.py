"""Networks that are made without numbers."""

import subprocess
import sys

import pytest
import torch
from tiny import tiny_sam, tiny_sam2, tiny_sam3

from samkit.nn import build
from samkit.nn.detector import Detector
from samkit.nn.numberless import without_numbers
from samkit.sizes import DetectorConfig, TextEncoderConfig

DETECTOR = DetectorConfig(
    text=TextEncoderConfig(vocabulary=9, context=4, dim=16, depth=1, heads=2, mlp_dim=16)
)


@pytest.mark.parametrize(
    "make",
    [
        lambda: build(tiny_sam()),
        lambda: build(tiny_sam2()),
        lambda: build(tiny_sam3()),
        lambda: Detector(DETECTOR, 32, 16),
    ],
)
def test_the_shapes_are_those_of_a_network_with_numbers(make):
    expected = make().state_dict()
    with without_numbers():
        found = make().state_dict()
    assert all(tensor.is_meta for tensor in found.values())
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in found.items()} == {
        name: (tensor.shape, tensor.dtype) for name, tensor in expected.items()
    }
    assert not torch.empty(1).is_meta


def test_a_model_is_loaded_without_the_compiler_of_torch():
    """Its import takes a second and 70 MB."""
    code = (
        "import sys, samkit; samkit.load('pico'); "
        "print(sorted({'sympy', 'torch._dynamo'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
