"""The same weights for inputs of other sizes."""

from dataclasses import replace

import pytest
import torch
from tiny import ALL, CONFIGS, make, tiny_sam

from samkit.errors import InputError
from samkit.sizes import PeViTConfig, ViTConfig
from samkit.weights.adapting import with_input_size


@pytest.fixture(params=ALL)
def network(request):
    return make(ALL[request.param])


def test_steps(network):
    has_vit = isinstance(network.config.image_encoder, (ViTConfig, PeViTConfig))
    assert network.config.input_step == (16 if has_vit else 32)


@pytest.mark.parametrize("size", [(96, 160), (64, 64), (256, 128)])
def test_other_sizes(network, size):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    resized = with_input_size(network, size)
    assert resized.config == replace(network.config, image_size=size)
    assert network.config.image_size == (128, 128)
    assert not resized.training
    assert all(torch.equal(before[n], tensor) for n, tensor in network.state_dict().items())
    # Networks interpolate for themselves what the new one has interpolated once.
    with torch.inference_mode():
        pixels = torch.randn(1, 3, *size)
        found = resized.encode_image(pixels).embedding
        expected = network.encode_image(pixels).embedding
    assert found.shape[2:] == (size[0] // 16, size[1] // 16)
    assert torch.allclose(found, expected, atol=1e-4)


def test_the_same_size_is_the_same_network(network):
    assert with_input_size(network, (128, 128)) is network


def test_whether_it_remembers_is_kept():
    network = make(CONFIGS["sam2"])
    network.has_memory = False
    assert not with_input_size(network, (64, 64)).has_memory


@pytest.mark.parametrize("size", [(100, 96), (0, 96), (96,), (8, 8)])
def test_impossible_sizes(size):
    for network in (make(tiny_sam()), make(CONFIGS["sam2"])):
        with pytest.raises(InputError, match="image_size"):
            with_input_size(network, size)
