"""Networks: tensors in, tensors out. One file for each box in the papers' figures."""

from collections.abc import Callable
from typing import Any

from samkit.nn.features import ImageFeatures
from samkit.nn.mask_decoder import MaskPrediction
from samkit.nn.network import MemoryNetwork, Network
from samkit.nn.prompt_encoder import PRIOR_LIMIT, PromptTensors, TokenLabel
from samkit.nn.sam import Sam
from samkit.nn.sam2 import Sam2
from samkit.sizes import NetworkConfig, Sam2Config, Sam3Config, Sam31Config, SamConfig

__all__ = [
    "PRIOR_LIMIT",
    "ImageFeatures",
    "MaskPrediction",
    "MemoryNetwork",
    "Network",
    "PromptTensors",
    "Sam",
    "Sam2",
    "TokenLabel",
    "build",
]

_NETWORKS: dict[type[NetworkConfig], Callable[[Any], Network]] = {
    SamConfig: Sam,
    Sam2Config: Sam2,
    Sam3Config: Sam2,
    Sam31Config: Sam2,
}


def build(config: NetworkConfig) -> Network:
    """A network of the given sizes with random weights, in float32."""
    return _NETWORKS[type(config)](config).float()
