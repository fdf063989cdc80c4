"""Reading weight files and folders."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samkit.errors import CheckpointError
from samkit.files import checked_path, is_file_name, open_file, read_json
from samkit.limits import limits
from samkit.weights.safetensors_reader import read_safetensors
from samkit.weights.torch_reader import read_torch

__all__ = [
    "CHECKPOINT_SUFFIXES",
    "FOLDER_WEIGHTS",
    "Checkpoint",
    "read_placement",
    "read_state_dict",
]

CHECKPOINT_SUFFIXES = frozenset(
    {".bin", ".checkpoint", ".ckpt", ".pkl", ".pt", ".pth", ".safetensors", ".tar", ".th"}
)
"""Suffixes (lower case) that distinguish a missing file from a name."""

FOLDER_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Weights in a folder of transformers, whole or as shards with an index ``<name>.index.json``."""

_Skip = Callable[[str], bool]

# Keys under which training scripts save the tensors; the first that is there counts.
_WRAPPERS = ("model", "model_state", "model_state_dict", "state_dict", "net", "ema")
_WHAT_BEGINS_WITH = {
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself (git lfs pull)",
    b"<!DOCTYPE": "a web page; the download went wrong",
    b"<html": "a web page; the download went wrong",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89HDF": "an HDF5 file",
    b"\x08": "an ONNX model",
    b"GGUF": "a GGUF model",
}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The contents of a weight file or folder, before anything is renamed.

    Attributes:
        source: where it was read, for messages.
        tensors: name -> tensor on the CPU, in the order of the file, which may change afterwards.
        metadata: texts in the header of a safetensors file.
        config: contents of a folder's ``config.json``, else None.
    """

    source: str
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] | None = None


def read_state_dict(path: str | os.PathLike[str], *, skip: _Skip | None = None) -> Checkpoint:
    """Read a ``.safetensors``, ``.pt``, ``.pth`` or ``.bin`` file, or a folder of transformers.

    Files are recognised by their contents, not by their names. Pickled files may hold tensors
    only, plain or under the first that is there of ``"model"``, ``"model_state"``,
    ``"model_state_dict"``, ``"state_dict"``, ``"net"`` and ``"ema"`` (also nested), beside which
    values of numpy, arguments of scripts and the like are left out. Nothing in them is ever
    executed.

    Args:
        path: the file or folder.
        skip: whether a tensor of that name need not be read; of pickled files all are. None reads
            everything.

    Raises:
        UnsafeCheckpointError: a pickle that would run code. It was not run.
        CheckpointError: it does not exist, or is truncated, empty, or no checkpoint.
    """
    path = checked_path(path, "a checkpoint", CheckpointError)
    if not os.path.exists(path):
        raise CheckpointError(f"no checkpoint at {path}: no such file or folder")
    return _read_folder(path, skip) if os.path.isdir(path) else _read_file(path, skip)


def _read_file(path: Path, skip: _Skip | None) -> Checkpoint:
    with open_file(path, CheckpointError) as file:
        start = file.read(64)
    if not start:
        raise CheckpointError(f"{path} is empty: expected a checkpoint")
    if path.suffix.lower() == ".safetensors" or start[8:10] == b'{"':
        tensors, metadata = read_safetensors(path, CheckpointError, skip=skip)
    else:
        for magic, kind in _WHAT_BEGINS_WITH.items():
            if start.startswith(magic):
                raise CheckpointError(f"{path} is no checkpoint: it looks like {kind}")
        tensors, metadata = _tensors_of(read_torch(path), path), {}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors")
    return Checkpoint(source=str(path), tensors=tensors, metadata=metadata)


def _tensors_of(content: object, path: Path) -> dict[str, Tensor]:
    for _ in _WRAPPERS:  # so often at most: a pickle may contain itself
        if isinstance(content, dict):
            inner = (content.get(name) for name in _WRAPPERS)
            content = next((value for value in inner if isinstance(value, dict)), content)
    expected = f"expected names and tensors, plain or under {', '.join(map(repr, _WRAPPERS))}"
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no checkpoint: {expected}; got {type(content).__name__}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path} is no checkpoint: {expected}; got {name!r:.200} of type "
                f"{type(value).__name__}"
            )
        if _is_plain(value) and value.nbytes > value.untyped_storage().nbytes():
            raise CheckpointError(
                f"{path}: {name} has {value.numel()} numbers, of which the file holds fewer"
            )
    return dict(content)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta


def _read_folder(folder: Path, skip: _Skip | None) -> Checkpoint:
    about, config = folder / "config.json", None
    if os.path.isfile(about):
        config = _object(about)
    for name in FOLDER_WEIGHTS:
        index = folder / f"{name}.index.json"
        if os.path.isfile(folder / name):
            return replace(_read_file(folder / name, skip), source=str(folder), config=config)
        if os.path.isfile(index):
            return Checkpoint(source=str(folder), tensors=_read_shards(index, skip), config=config)
    if os.path.exists(folder / "adapter_config.json"):
        raise CheckpointError(
            f"the folder {folder} holds a LoRA alone, without the network that it changes; "
            "expected a whole network: merge them with PEFT's merge_and_unload()"
        )
    raise CheckpointError(
        f"no weights in the folder {folder}: expected model.safetensors, "
        "model.safetensors.index.json or pytorch_model.bin"
    )


def read_placement(index: Path) -> dict[str, str]:
    """Which shard beside an index (``<name>.index.json``) holds which tensor, by names.

    Raises:
        CheckpointError: the index is damaged, or a shard is not beside it.
    """
    placed = _object(index).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise CheckpointError(f"{index} has no weight_map of names and files")
    for name in placed.values():
        if not isinstance(name, str) or not is_file_name(name):
            raise CheckpointError(
                f"{index}: expected names of files beside it, got {name!r:.200}: it points outside "
                "its folder"
            )
    return placed


def _read_shards(index: Path, skip: _Skip | None) -> dict[str, Tensor]:
    placed = read_placement(index)
    if skip is not None:
        placed = {key: name for key, name in placed.items() if not skip(key)}
    shards: dict[str, dict[str, Tensor]] = {}
    for name in dict.fromkeys(placed.values()):
        if not os.path.isfile(index.parent / name):
            raise CheckpointError(f"{index} needs {name}, which is not there")
        shards[name] = _read_file(index.parent / name, skip).tensors
    missing = [key for key, name in placed.items() if key not in shards[name]]
    if missing:
        raise CheckpointError(f"{placed[missing[0]]} lacks {missing[0]}, which {index} promises")
    return {key: shards[name][key] for key, name in placed.items()}


def _object(path: Path) -> dict[str, Any]:
    """The object in a JSON file that describes weights."""
    value = read_json(path, CheckpointError, most=limits().header_bytes)
    if not isinstance(value, dict):
        raise CheckpointError(f"expected an object in {path}, got {type(value).__name__}")
    return value
