"""Safetensors files: weights, and results of networks (embeddings, sessions, memories).

A file of results has a JSON text in its header, under `samkit.` and the name of its kind, with the
version of its layout and the fingerprint of the network.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from samkit.errors import InputError
from samkit.files import checked_path, parse_json
from samkit.geometry import checked_size
from samkit.limits import check_image_size
from samkit.media import write_atomically
from samkit.nn import Network
from samkit.sizes import differences
from samkit.weights.safetensors_reader import read_safetensors

__all__ = [
    "fingerprint",
    "read_bool",
    "read_image_size",
    "read_tensor_file",
    "write_safetensors",
    "write_tensor_file",
    "write_torch",
]

T = TypeVar("T")

# Errors that damaged or made-up contents cause.
_DAMAGE = (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError)
# Values of each weight in a fingerprint.
_SAMPLE = 64


def write_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, str]
) -> None:
    """Write tensors from any device and a header, whole or not at all.

    Raises:
        InputError: the file cannot be written, or the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    placed = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with write_atomically(path) as temporary:
        try:
            save_file(placed, temporary, dict(header))
        except SafetensorError as error:
            raise InputError(f"cannot write {os.fspath(path)}: {error}") from error


def write_torch(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """`torch.save`, whole or not at all.

    Raises:
        InputError: the file cannot be written, or the disk is full.
    """
    # Through an open file, or torch would put the temporary name into the archive.
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # what torch makes of the OSError of a full disk
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def write_tensor_file(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
    *,
    kind: str,
    version: int,
    network_id: str,
) -> None:
    """Write results of a network, whole or not at all.

    Args:
        path: where.
        tensors: on any device.
        about: JSON values that describe the tensors.
        kind: "embedding", "session" or "memory".
        version: of the layout of `about` and `tensors`.
        network_id: fingerprint of the network that made the tensors.

    Raises:
        InputError: the file cannot be written.
    """
    text = json.dumps({"version": version, "network": network_id, **about})
    write_safetensors(path, tensors, {f"samkit.{kind}": text})


def read_tensor_file(
    path: str | os.PathLike[str],
    build: Callable[[dict[str, Tensor], dict[str, Any]], T],
    *,
    kind: str,
    version: int,
    network_id: str | None = None,
) -> T:
    """Read what `write_tensor_file` wrote.

    Args:
        path: the file.
        build: makes and checks the result, from the tensors and the JSON values (unchecked).
        kind, version: as it was written with.
        network_id: of the network that has to have made it; None for any.

    Raises:
        InputError: the file is missing, damaged, of another kind or version, or of another network.
    """
    path = checked_path(path, f"a file of {kind}")
    what = f"cannot read {'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    try:
        tensors, header = read_safetensors(path, InputError)
    except InputError as error:  # it names the file
        raise InputError(f"{what}: {error}") from error
    what += f" from {path}"
    try:
        about = parse_json(header[f"samkit.{kind}"], "its header")
        written, made_by = about["version"], about["network"]
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    except _DAMAGE as error:
        raise InputError(f"{what}: it holds none") from error
    if type(written) is not int:
        raise InputError(f"{what}: it is damaged (version {written!r:.80})")
    if written != version:
        other = "an older" if written < version else "a newer"
        raise InputError(
            f"{what}: expected version {version} of the layout, got {written!r}, which {other} "
            "version of samkit writes; make it again with this one"
        )
    if network_id is not None and made_by != network_id:
        raise InputError(f"{what}: it was made by another network; load it with that one")
    try:
        return build(tensors, about)
    except _DAMAGE as error:
        raise InputError(f"{what}: it is damaged ({error})") from error


def read_bool(value: Any) -> bool:
    """True or false.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def read_image_size(value: Any) -> tuple[int, int]:
    """(height, width) of an image that samkit can read.

    Raises:
        InputError: no size, or too large.
    """
    height, width = checked_size(value, "image_size")
    check_image_size(height, width, "image_size", InputError)
    return height, width


def fingerprint(
    network: Network, detector: nn.Module | None = None, *, parts: tuple[str, ...] = ("",)
) -> str:
    """A hash of a network's sizes, as far as they are no defaults, and of a sample of each weight.

    Weights are rounded to bfloat16, in which parts of a network may run.

    Args:
        network: the network.
        detector: of the network, if it counts.
        parts: prefixes of the names of the weights that are included.
    """
    digest = hashlib.sha256(json.dumps(differences(network.config), sort_keys=True).encode())
    for module in [network] if detector is None else [network, detector]:
        for name, tensor in module.state_dict().items():
            if name.startswith(parts):
                sample = tensor.detach().flatten()[:_SAMPLE].to(torch.bfloat16)
                digest.update(sample.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]
