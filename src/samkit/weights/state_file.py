"""Safetensors files of what a network remembers: tensors, and a JSON text in the header.

The text is under `samkit.` and the name of the kind of file, and names the version of its layout
and the network.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from samkit.errors import InputError
from samkit.nn import Sam2
from samkit.sizes import to_dict

__all__ = ["DAMAGE", "fingerprint", "read_state", "write_state"]

DAMAGE = (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError)
"""What damaged or made-up contents raise where they are put together."""

# So many values of each weight tell networks apart.
_SAMPLE = 64


def write_state(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
    kind: str,
    version: int,
    network: Sam2,
) -> None:
    """Write a file.

    Args:
        path: where.
        tensors: on any device.
        about: JSON values that say what the tensors are.
        kind: "session" or "memory".
        version: of the layout of `about`.
        network: that made the tensors.
    """
    from safetensors.torch import save_file

    text = json.dumps({"version": version, "network": fingerprint(network), **about})
    placed = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_file(placed, path, metadata={f"samkit.{kind}": text})


def read_state(
    path: str | os.PathLike[str], kind: str, version: int, network: Sam2
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_state` wrote: the tensors, and what is said about them, unchecked.

    Raises:
        InputError: the file is missing, damaged, of another kind or version, or of another network.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {})[f"samkit.{kind}"])
        found, made_by = about["version"], about["network"]
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read a {kind} from {path}: {error}") from error
    except (*DAMAGE, RecursionError) as error:
        raise InputError(f"cannot read a {kind} from {path}: it holds none") from error
    if found != version:
        raise InputError(
            f"cannot read the {kind} in {path}: expected version {version}, got {found!r}"
        )
    if made_by != fingerprint(network):
        raise InputError(
            f"the {kind} in {path} was made by another network; load it with the one that made it"
        )
    return tensors, about


def fingerprint(network: Sam2) -> str:
    """Names a network: its sizes, and a sample of each weight.

    Weights count in bfloat16, in which parts of a network may run.
    """
    digest = hashlib.sha256(json.dumps(to_dict(network.config), sort_keys=True).encode())
    for tensor in network.state_dict().values():
        sample = tensor.detach().flatten()[:_SAMPLE].to(torch.bfloat16)
        digest.update(sample.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]
