"""samkit's own weight files.

A safetensors file with the network's own names and, in its header under ``samkit.config``, the
sizes as JSON.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from samkit.errors import InputError
from samkit.nn import Network
from samkit.sizes import NetworkConfig, to_dict
from samkit.weights.layouts import is_memory
from samkit.weights.tensor_file import write_safetensors

__all__ = ["CONFIG_KEY", "header", "save_network"]

CONFIG_KEY = "samkit.config"


def save_network(
    network: Network,
    path: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write samkit's own weight file.

    Args:
        network: what to save. A memory that was never trained (`has_memory` False) is left out.
        path: a ``.safetensors`` file, replaced in one step when it is there.
        dtype: of the parameters. Buffers (the Fourier matrix, running means) keep theirs.
        metadata: texts to put into the header beside the sizes.

    Raises:
        InputError: the file cannot be written there, or a parameter is too large for the dtype.
    """
    parameters = {name for name, _ in network.named_parameters()}
    state = {
        name: tensor.to(dtype) if name in parameters else tensor
        for name, tensor in network.state_dict().items()
        if network.has_memory or not is_memory(name)
    }
    for name in parameters & state.keys():
        if not bool(state[name].isfinite().all()):
            raise InputError(f"cannot save {path}: {name} has numbers that {dtype} cannot hold")
    write_safetensors(path, state, header(network.config, metadata or {}))


def header(config: NetworkConfig, metadata: Mapping[str, str]) -> dict[str, str]:
    """The header of samkit's own weight files: sizes, beside other texts."""
    return {"format": "pt", **metadata, CONFIG_KEY: json.dumps(to_dict(config), sort_keys=True)}
