"""Convolutions with a batch norm and an activation, as one step of oneDNN.

In evaluation a batch norm scales and shifts each channel by what it remembers, whatever the input
is. So it can be part of the weights, and the map is not read and written again for it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import FUSED, Activation, onednn_fuses, pointwise_of
from samkit.nn.fast.switch import fast_on_cpu

__all__ = ["can_be_folded", "convolution", "folded"]


def convolution(
    conv: nn.Conv2d, norm: nn.Module | None, x: Tensor, activation: Activation | None = None
) -> Tensor:
    """A convolution on (B, C, H, W), then a norm, then an activation.

    Of x with channels last, the result has channels last too.
    """
    is_fast = fast_on_cpu(x) if norm is None else can_be_folded(norm, x)
    if not is_fast:
        y = conv(x) if norm is None else norm(conv(x))
        return y if activation is None else activation(y)
    weight, bias = (
        (conv.weight, conv.bias) if norm is None else folded(conv.weight, conv.bias, norm)
    )
    if conv.kernel_size == conv.stride == (1, 1) and conv.groups == 1 and not any(conv.padding):
        return pointwise_of(x, weight, bias, activation)
    if activation in FUSED and onednn_fuses(x, weight):
        return torch.ops.mkldnn._convolution_pointwise(
            *(x, weight, bias, conv.padding, conv.stride, conv.dilation, conv.groups),
            *FUSED[activation],
        )
    y = F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    return y if activation is None else activation(y)


def can_be_folded(norm: nn.Module, x: Tensor) -> bool:
    """Whether a norm on x scales and shifts channels by numbers that do not depend on x."""
    return fast_on_cpu(x) and isinstance(norm, nn.BatchNorm2d) and not norm.training


def folded(weight: Tensor, bias: Tensor | None, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weights (E, D, h, w) and a bias (E,) that do what those before a batch norm do with it."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.float() * torch.rsqrt(norm.running_var.float() + norm.eps)
    shift = -norm.running_mean.float() if bias is None else bias.float() - norm.running_mean
    weights = weight.float() * scale[:, None, None, None]
    return weights.to(weight.dtype), (shift * scale + norm.bias.float()).to(weight.dtype)
