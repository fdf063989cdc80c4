"""Convolutions with their norm and activation as one step, against the steps one by one."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tiny import make, tiny_edge_tam, tiny_efficient_vit_sam, tiny_mobile_sam, tiny_rep_vit_sam
from torch import Tensor, nn

from samkit.nn.fast.convolution import can_be_folded, convolution, folded
from samkit.nn.fast.linear import gelu_by_tanh
from samkit.nn.fast.switch import plain
from samkit.sizes import NetworkConfig

SHAPES = {
    "pointwise": {"kernel_size": 1},
    "pointwise, some places": {"kernel_size": 1, "stride": 2},
    "pointwise, in groups": {"kernel_size": 1, "groups": 4},
    "full": {"kernel_size": 3, "padding": 1},
    "full, some places": {"kernel_size": 3, "padding": 1, "stride": 2},
    "depthwise": {"kernel_size": 3, "padding": 1, "groups": 32},
}


def experienced(norm: nn.Module) -> nn.Module:
    """A norm that has seen something, with weights that do something."""
    assert isinstance(norm, nn.BatchNorm2d)
    for values, low, high in (
        (norm.running_mean, -1.0, 1.0),
        (norm.running_var, 0.2, 3.0),
        (norm.weight, -2.0, 2.0),
        (norm.bias, -1.0, 1.0),
    ):
        assert values is not None
        nn.init.uniform_(values, low, high)
    return norm.eval()


@pytest.mark.parametrize("activation", [None, F.gelu, gelu_by_tanh, F.relu, F.relu6, F.silu])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("last", [True, False], ids=["channels last", "channels first"])
def test_it_is_the_steps_one_by_one(
    activation: Callable[[Tensor], Tensor] | None, shape: dict[str, int], bias: bool, last: bool
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 32, **shape, bias=bias)  # type: ignore[arg-type]
    norm, x = experienced(nn.BatchNorm2d(32, eps=1e-3)), 3 * torch.randn(2, 32, 18, 20)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        for each in (norm, None):
            found = convolution(conv, each, x, activation)
            y = conv.double()(x.double())
            y = y if each is None else each.double()(y)
            expected = (y if activation is None else activation(y)).float()
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)
            if last:
                assert found.is_contiguous(memory_format=torch.channels_last)
            conv.float(), norm.float()


def test_in_training_a_norm_learns_and_is_not_folded() -> None:
    norm, x = nn.BatchNorm2d(8), torch.randn(4, 8, 6, 6) + 5
    with torch.no_grad():
        assert not can_be_folded(norm, x)
        convolution(nn.Conv2d(8, 8, 1), norm, x)
        assert norm.num_batches_tracked == 1
        assert can_be_folded(norm.eval(), x)
        assert not can_be_folded(nn.GroupNorm(2, 8), x)
        with plain():
            assert not can_be_folded(norm, x)
    assert not can_be_folded(norm, x)  # gradients are wanted


def test_folding_keeps_the_dtype_and_rounds_once() -> None:
    conv, norm = nn.Conv2d(8, 8, 1).bfloat16(), experienced(nn.BatchNorm2d(8)).bfloat16()
    weight, bias = folded(conv.weight, conv.bias, norm)
    assert weight.dtype == bias.dtype == torch.bfloat16
    exact, _ = folded(conv.weight.float(), None, norm)
    assert torch.equal(weight, exact.bfloat16())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@torch.no_grad()
def test_other_dtypes(dtype: torch.dtype, shape: dict[str, int]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 32, **shape).to(dtype)  # type: ignore[arg-type]
    norm, x = experienced(nn.BatchNorm2d(32)).to(dtype), torch.randn(1, 32, 18, 20).to(dtype)
    found = convolution(conv, norm, x, F.gelu)
    assert found.dtype == dtype
    expected = F.gelu(norm.double()(conv.double()(x.double())))
    precision = torch.finfo(dtype).eps * float(expected.abs().max())
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2 * precision)


@pytest.mark.parametrize(
    "config",
    [tiny_edge_tam(), tiny_rep_vit_sam(), tiny_efficient_vit_sam(), tiny_mobile_sam()],
    ids=["edge-tam", "rep-vit-sam", "efficient-vit-sam", "mobile-sam"],
)
@torch.no_grad()
def test_networks_of_convolutions(config: NetworkConfig) -> None:
    network = make(config)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        experienced(norm)
    pixels = torch.randn(1, 3, *config.image_size)
    found = network.encode_image(pixels).tensors
    with plain():
        expected = network.encode_image(pixels).tensors
    for one, other in zip(found, expected, strict=True):
        assert other.abs().max() > 0.1
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * float(other.abs().max()))
