"""Weights of fewer bits in the files: rounded in the network first, then stored without loss.

So the files are compared with a network that has the very same weights, as those of float32 are.
They are computed with in float32 all the same.
"""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from samkit.errors import InputError
from samkit.nn import Network
from samkit.nn.tiny_vit import ConvNorm
from samkit.runtimes import Weights

__all__ = ["rounded", "store_small"]

_MOST = 127
# Their weights become int8; the rest (biases, norms, tables of positions) takes little space.
_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
# A scale of each channel does not pay for fewer.
_FEW = 1024


def rounded(network: Network, weights: Weights) -> Network:
    """A copy of a network whose weights can be stored so.

    Raises:
        InputError: float16 cannot hold some.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, ConvNorm):  # whose norm is folded into its convolution in a file
            module.c = fuse_conv_bn_eval(module.c, module.bn)
            module.add_module("bn", nn.Identity())
    if weights == "float16":
        for name, parameter in network.named_parameters():
            half = parameter.detach().half()
            if not bool(half.isfinite().all()):
                raise InputError(f"half: {name} has numbers that float16 cannot hold")
            parameter.data = half.float()
    elif weights == "int8":
        for module in network.modules():
            if isinstance(module, _LAYERS) and module.weight.numel() >= _FEW:
                module.weight.data = _to_steps(module.weight.detach())
    return network


def _to_steps(weight: Tensor) -> Tensor:
    """Each row of the first axis as whole multiples, up to 127, of a scale of its own."""
    # In bfloat16, so that multiples are exact, and `_as_int8` finds the scale again.
    scale = (weight.flatten(1).abs().amax(1) / _MOST).bfloat16().float()
    scale = torch.where(scale > 0, scale, 1.0).view(-1, *[1] * (weight.dim() - 1))
    return (weight / scale).round() * scale


def store_small(graph: Any, weights: Weights) -> None:
    """Store float32 weights in fewer bits where that loses nothing; nodes of the graph undo it."""
    import onnx_ir  # here, as the rest of the package is read without the extra `export` too

    for name, value in list(graph.initializers.items()):
        if value.dtype != onnx_ir.DataType.FLOAT:
            continue
        array = value.const_value.numpy()
        found = _as_half(array) if weights == "float16" else _as_int8(array)
        if found is None:
            continue
        small, scale = found
        to_float = {"to": onnx_ir.DataType.FLOAT.value}
        nodes = [onnx_ir.node("Cast", [_stored(graph, f"{name}.stored", small)], to_float)]
        if scale is not None:
            factors = [nodes[0].outputs[0], _stored(graph, f"{name}.scale", scale)]
            # Not DequantizeLinear: onnxruntime makes products of bytes of that and what follows it.
            nodes.append(onnx_ir.node("Mul", factors))
        for node in nodes:
            node.outputs[0].shape, node.outputs[0].dtype = value.shape, value.dtype
        value.replace_all_uses_with(nodes[-1].outputs[0])
        del graph.initializers[name]
        nodes[-1].outputs[0].name = name
        graph.insert_before(graph[0], nodes)


def _as_half(array: NDArray[np.float32]) -> tuple[NDArray[Any], None] | None:
    """The same numbers in float16; None if it cannot hold them."""
    with np.errstate(over="ignore"):
        small = array.astype(np.float16)
    return None if (small.astype(np.float32) != array).any() else (small, None)


def _as_int8(array: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[np.float32]] | None:
    """Whole numbers and the scale of each channel; None if there are none, or they are few."""
    if array.ndim < 2 or array.size < _FEW:
        return None
    # Of whichever axis the graph has made of the first one.
    for axis in range(array.ndim):
        others = tuple(i for i in range(array.ndim) if i != axis)
        scale = np.abs(array).max(others, keepdims=True) / _MOST
        scale[scale == 0] = 1
        steps = np.rint(array / scale)
        if (steps * scale == array).all():
            return steps.astype(np.int8), scale
    return None


def _stored(graph: Any, name: str, array: NDArray[Any]) -> Any:
    import onnx_ir

    tensor = onnx_ir.tensor(array)
    value = onnx_ir.Value(name=name, const_value=tensor)
    value.shape, value.dtype = onnx_ir.Shape(array.shape), tensor.dtype
    graph.register_initializer(value)
    return value
