"""Linear layers and 1x1 convolutions by oneDNN, against torch's."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast import linear as fast
from samkit.nn.fast.switch import plain

needs_onednn = pytest.mark.skipif(not fast._has_onednn(), reason="torch is without oneDNN here")


@needs_onednn
@pytest.mark.parametrize("activation", [None, F.relu, F.relu6, F.gelu, torch.sigmoid])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_linear_is_torchs(activation: Callable[[Tensor], Tensor] | None, bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = fast.Linear(96, 160, bias=bias), 9 * torch.randn(3, 40, 96)
    assert fast.onednn_is_faster(x, layer.weight)
    expected = F.linear(x.double(), layer.weight.double(), layer.bias.double() if bias else None)
    expected = expected if activation is None else activation(expected)
    torch.testing.assert_close(layer(x, activation), expected.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not fast.onednn_is_available("AVX512"), reason="needs AVX-512")
@pytest.mark.parametrize("activation", [None, F.gelu])
@torch.inference_mode()
def test_bfloat16(activation: Callable[[Tensor], Tensor] | None) -> None:
    torch.manual_seed(0)
    layer, x = fast.Linear(96, 160).bfloat16(), torch.randn(3, 40, 96).bfloat16()
    assert fast.onednn_is_faster(x, layer.weight)
    expected = F.linear(x.float(), layer.weight.float(), layer.bias.float())
    expected = expected if activation is None else activation(expected)
    found = layer(x, activation)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=2**-8, atol=2**-10)


@needs_onednn
@pytest.mark.parametrize("activation", [None, F.relu6])
@torch.inference_mode()
def test_pointwise_is_the_convolution(activation: Callable[[Tensor], Tensor] | None) -> None:
    torch.manual_seed(0)
    conv, maps = nn.Conv2d(64, 80, 1), torch.randn(2, 64, 20, 30)
    found = fast.pointwise(conv, maps.contiguous(memory_format=torch.channels_last), activation)
    expected = conv(maps) if activation is None else activation(conv(maps))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_where_it_is_not_faster_it_is_torchs() -> None:
    layer, x = fast.Linear(96, 160), torch.randn(120, 96)
    assert not fast.onednn_is_faster(x, layer.weight)  # gradients are wanted
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    with torch.inference_mode():
        assert not fast.onednn_is_faster(x[:2], layer.weight)
        assert not fast.onednn_is_faster(x, torch.randn(96, 160).t())
        assert not fast.onednn_is_faster(x.double(), layer.weight.double())
        assert not fast.onednn_is_faster(x.bfloat16(), layer.weight)
        with plain():
            assert not fast.onednn_is_faster(x, layer.weight)
        with torch.autocast("cpu", torch.bfloat16):
            assert not fast.onednn_is_faster(x, layer.weight)
            assert layer(x).dtype == torch.bfloat16


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@torch.inference_mode()
def test_pointwise_of_a_small_map(memory: torch.memory_format) -> None:
    conv, maps = nn.Conv2d(3, 5, 1), torch.randn(1, 3, 4, 6).contiguous(memory_format=memory)
    torch.testing.assert_close(fast.pointwise(conv, maps, F.relu), F.relu(conv(maps)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_two_convolutions_as_one(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(24, 64, 1).to(dtype), nn.Conv2d(64, 16, 1)
    maps = torch.randn(2, 24, 20, 30).to(dtype)
    expected = second(first.float()(maps.float()))
    found = fast.both_pointwise(first.to(dtype), second, maps)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
