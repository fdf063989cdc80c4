"""Linear layers by oneDNN, which multiplies faster than the MKL that torch uses for them.

MKL takes no AVX-512 on AMD's processors, so there it is half as fast; with AVX2, a tenth slower.
oneDNN also applies the activation while the product is in the cache.
"""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.switch import fast_on_cpu

__all__ = [
    "FUSED",
    "Activation",
    "Linear",
    "both_pointwise",
    "gelu_by_tanh",
    "linear",
    "onednn_fuses",
    "onednn_is_available",
    "onednn_is_faster",
    "pointwise",
    "pointwise_of",
    "product",
]

# Multiplications in a product from which it pays: a call of oneDNN takes longer to begin.
_PAYS = 2**20

# Processors that it pays on. torch gives bfloat16 to oneDNN too, but not the activation.
_CAPABILITIES = {torch.float32: ("AVX2", "AVX512"), torch.bfloat16: ("AVX512",)}

Activation = Callable[[Tensor], Tensor]


def gelu_by_tanh(x: Tensor) -> Tensor:
    """GELU by its approximation with a hyperbolic tangent (1606.08415, section 2)."""
    return F.gelu(x, approximate="tanh")


# What oneDNN calls them.
FUSED: dict[Activation | None, tuple[str, list[float], str]] = {
    None: ("none", [], ""),
    F.gelu: ("gelu", [], "none"),
    gelu_by_tanh: ("gelu", [], "tanh"),
    F.relu: ("relu", [], ""),
    F.relu6: ("hardtanh", [0.0, 6.0], ""),
}


class Linear(nn.Linear):
    """A linear layer, in its fastest form."""

    def forward(self, x: Tensor, activation: Activation | None = None) -> Tensor:
        return linear(x, self.weight, self.bias, activation)


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation | None = None
) -> Tensor:
    """A linear layer (E, D), (E,) on x (..., D), then an activation: (..., E)."""
    if onednn_is_faster(x, weight):
        fused = activation if activation in FUSED else None
        y = torch.ops.mkldnn._linear_pointwise(x, weight, bias, *FUSED[fused])
        activation = None if fused is activation else activation
    else:
        y = F.linear(x, weight, bias)
    return y if activation is None else activation(y)


def pointwise(conv: nn.Module, x: Tensor, activation: Activation | None = None) -> Tensor:
    """A 1x1 convolution on (B, C, H, W), then an activation.

    With channels last it is a linear layer of each place, and the result has channels last too.
    """
    assert isinstance(conv, nn.Conv2d)
    return pointwise_of(x, conv.weight, conv.bias, activation)


def both_pointwise(first: nn.Module, second: nn.Module, x: Tensor) -> Tensor:
    """Two 1x1 convolutions on (B, C, H, W), one after the other, as one with their product.

    It is computed in the dtype of the second.
    """
    weight, bias = product(first, second)
    return pointwise_of(x.to(weight.dtype), weight, bias)


def product(first: nn.Module, second: nn.Module) -> tuple[Tensor, Tensor]:
    """Weights (E, C, h, w) and a bias (E,) of a convolution and a 1x1 convolution after it as one.

    They are in the dtype of the second.
    """
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.Conv2d)
    outer = second.weight.flatten(1)
    weight = outer @ first.weight.flatten(1).to(outer.dtype)
    assert first.bias is not None
    assert second.bias is not None
    bias = outer @ first.bias.to(outer.dtype) + second.bias
    return weight.view(-1, *first.weight.shape[1:]), bias


def pointwise_of(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation | None = None
) -> Tensor:
    """`pointwise` with weights (E, C, 1, 1) and a bias (E,)."""
    matrix, places = weight.flatten(1), x.permute(0, 2, 3, 1)
    if onednn_is_faster(places, matrix) and places.is_contiguous():
        return linear(places, matrix, bias, activation).permute(0, 3, 1, 2)
    y = F.conv2d(x, weight, bias)
    return y if activation is None else activation(y)


def onednn_is_faster(x: Tensor, weight: Tensor) -> bool:
    """Whether to multiply x (..., D) with weights (E, D) by oneDNN."""
    return (
        fast_on_cpu(x)  # first: the others ask for lengths, which a traced graph leaves open
        and x.numel() * weight.shape[0] >= _PAYS
        and weight.is_contiguous()  # with others it is a hundred times slower
        and onednn_fuses(x, weight)
    )


def onednn_fuses(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN has layers of these dtypes with an activation, on this processor, and now."""
    return x.dtype == weight.dtype and onednn_is_available(*_CAPABILITIES.get(x.dtype, ()))


def onednn_is_available(*capabilities: str) -> bool:
    """Whether oneDNN may be used now, on a processor of one of these kinds."""
    return (
        _has_onednn()
        and torch.backends.cpu.get_cpu_capability() in capabilities
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
    )


@cache
def _has_onednn() -> bool:
    known = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return torch.backends.mkldnn.is_available() and known
