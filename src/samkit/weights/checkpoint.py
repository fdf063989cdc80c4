"""Reading weight files, without ever running code that a file holds."""

import json
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from samkit.errors import CheckpointError, UnsafeCheckpointError

__all__ = ["CHECKPOINT_SUFFIXES", "FOLDER_WEIGHTS", "Checkpoint", "read_state_dict"]

CHECKPOINT_SUFFIXES = frozenset(
    {".bin", ".checkpoint", ".ckpt", ".pkl", ".pt", ".pth", ".safetensors", ".tar", ".th"}
)
"""Suffixes (lower case) that distinguish a missing file from a name."""

FOLDER_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Weights in a folder of transformers, whole or as shards with an index ``<name>.index.json``."""

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


class _Ignored:
    """In place of numpy's scalars and dtypes, which would trust what a pickle says of memory."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_NUMPY_SCALARS: list[Any] = [
    type(name, (_Ignored,), {"__module__": module})
    for module, name in (
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy.core.multiarray", "scalar"),  # numpy 1
    )
]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The contents of a weight file or folder, before anything is renamed.

    Attributes:
        source: where it was read, for messages.
        tensors: name -> tensor on the CPU, in the order of the file. They may be mapped into
            memory from the file: copy what is to be kept.
        metadata: texts in the header of a safetensors file.
        config: contents of a folder's ``config.json``, else None.
    """

    source: str
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] | None = None


def read_state_dict(path: str | Path) -> Checkpoint:
    """Read a ``.safetensors``, ``.pt``, ``.pth`` or ``.bin`` file, or a folder of transformers.

    Files are recognised by their contents, not by their names. Pickled files may hold tensors
    only, plain or under the first that is there of ``"model"``, ``"model_state"``,
    ``"model_state_dict"``, ``"state_dict"``, ``"net"`` and ``"ema"`` (also nested), beside which
    numbers of numpy and the like are left out. Nothing in them is ever executed.

    Raises:
        UnsafeCheckpointError: a pickle that would run code. It was not run.
        CheckpointError: it does not exist, or is truncated, empty, or no checkpoint.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: no such file or folder")
    return _read_file(path)


def _read_file(path: Path) -> Checkpoint:
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise CheckpointError(f"{path} is empty: expected a checkpoint")
    if path.suffix.lower() == ".safetensors" or start[8:10] == b'{"':
        tensors, metadata = _read_safetensors(path)
    else:
        for magic, kind in _WHAT_BEGINS_WITH.items():
            if start.startswith(magic):
                raise CheckpointError(f"{path} is no checkpoint: it looks like {kind}")
        tensors, metadata = _tensors_of(_read_pickle(path, start), path), {}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors")
    return Checkpoint(source=str(path), tensors=tensors, metadata=metadata)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is truncated or no safetensors file: {error or type(error).__name__}"
        ) from error


def _read_pickle(path: Path, start: bytes) -> object:
    zipped = zipfile.is_zipfile(path)
    if start.startswith(b"PK") and not zipped:
        raise CheckpointError(f"{path} is truncated: the end of the file is missing")
    if not zipped and not start.startswith(b"\x80"):
        raise CheckpointError(f"{path} is no checkpoint: neither a PyTorch nor a safetensors file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's version
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
            except pickle.UnpicklingError:  # only then, as it holds for the whole process
                with torch.serialization.safe_globals(_NUMPY_SCALARS):
                    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        refused = _refused_global(str(error), path, zipped)
        if refused is None:
            raise CheckpointError(
                f"{path} is truncated, or a pickle of another kind than PyTorch writes"
            ) from error
        raise UnsafeCheckpointError(
            f"{path} was not loaded: it asks to run {refused}, and samkit never runs code from a "
            "file. Ask whoever made it for the tensors alone (a state dict or safetensors)"
        ) from error
    except Exception as error:  # PyTorch's reader raises errors of many types
        raise CheckpointError(f"{path} is truncated, or no PyTorch checkpoint") from error


def _refused_global(message: str, path: Path, zipped: bool) -> str | None:
    named = re.search(r"GLOBAL ([\w.]+)", message)
    if named:
        return named[1]
    harmless = ("torch.", "collections.OrderedDict", "numpy.")
    try:
        names = _globals_in(path, zipped)
        return next((name for name in names if not name.startswith(harmless)), None)
    except (ValueError, OSError, zipfile.BadZipFile):
        return None


def _globals_in(path: Path, zipped: bool) -> Iterator[str]:
    """Names that a pickle would import, from its instructions, which are not executed."""
    if zipped:
        with zipfile.ZipFile(path) as archive:
            entries = [name for name in archive.namelist() if name.endswith("data.pkl")]
            data = b"".join(archive.read(name) for name in entries)
    else:
        data = path.read_bytes()
    texts: list[str] = []
    for instruction, argument, _ in pickletools.genops(data):
        if instruction.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif instruction.name == "STACK_GLOBAL" and len(texts) >= 2:
            yield ".".join(texts[-2:])
        elif isinstance(argument, str):
            texts.append(argument)


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
                f"{path} is no checkpoint: {expected}; got {name!r} of type {type(value).__name__}"
            )
    return dict(content)


def _read_folder(folder: Path) -> Checkpoint:
    about = folder / "config.json"
    config = _read_json(about) if about.is_file() else None
    for name in FOLDER_WEIGHTS:
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            return replace(_read_file(folder / name), source=str(folder), config=config)
        if index.is_file():
            return Checkpoint(source=str(folder), tensors=_read_shards(index), config=config)
    raise CheckpointError(
        f"no weights in the folder {folder}: expected model.safetensors, "
        "model.safetensors.index.json or pytorch_model.bin"
    )


def _read_shards(index: Path) -> dict[str, Tensor]:
    placed = _read_json(index).get("weight_map")
    if not isinstance(placed, dict) or not all(isinstance(v, str) for v in placed.values()):
        raise CheckpointError(f"{index} has no weight_map of names and files")
    shards: dict[str, dict[str, Tensor]] = {}
    for name in dict.fromkeys(placed.values()):
        if Path(name).name != name:
            raise CheckpointError(f"{index} points outside its folder: {name}")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index} needs {name}, which is not there")
        shards[name] = _read_file(index.parent / name).tensors
    missing = [key for key, name in placed.items() if key not in shards[name]]
    if missing:
        raise CheckpointError(f"{placed[missing[0]]} lacks {missing[0]}, which {index} promises")
    return {key: shards[name][key] for key, name in placed.items()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no JSON file: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"expected an object in {path}, got {type(content).__name__}")
    return content
