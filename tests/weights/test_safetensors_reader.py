"""safetensors files as the library writes them, and damaged ones."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import samkit
from samkit import limits as limits_module
from samkit.errors import CheckpointError, InputError
from samkit.weights.safetensors_reader import _DTYPES, read_safetensors


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "it.safetensors"


def test_all_types(path: Path) -> None:
    tensors = {name: torch.arange(6).view(2, 3).to(dtype) for name, dtype in _DTYPES.items()}
    tensors |= {"scalar": torch.tensor(3.0), "none": torch.zeros(0, 4)}
    save_file(tensors, path, {"a": "b"})
    read, texts = read_safetensors(path, InputError)
    assert texts == {"a": "b"}
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape)
        assert (
            torch.equal(read[name].view(torch.uint8), tensor.view(torch.uint8))
            if (tensor.ndim)
            else read[name] == tensor
        )


def test_what_was_read_stays(path: Path) -> None:
    """A mapped file that shrinks would end the process."""
    save_file({"x": torch.arange(1000.0)}, path)
    read, _ = read_safetensors(path, InputError)
    os.truncate(path, 0)
    assert read["x"].sum() == 499500


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changes}


@pytest.mark.parametrize(
    "header",
    [
        [],
        "x",
        None,
        {"x": None},
        {"x": [1]},
        {"x": {}},
        {"x": entry(dtype="F4")},
        {"x": entry(dtype=[])},
        {"x": entry(shape=6)},
        {"x": entry(shape={"6": 1})},
        {"x": entry(shape="6")},
        {"x": entry(shape=[2.0, 3])},
        {"x": entry(shape=[True, 6])},
        {"x": entry(shape=[-2, -3])},
        {"x": entry(shape=[2, 4])},
        {"x": entry(shape=[10**12], data_offsets=[0, 4 * 10**12])},
        {"x": entry(shape=[1] * 100 + [6])},
        {"x": entry(shape=[0, 2**63], data_offsets=[0, 0]), "y": entry()},
        {"x": entry(data_offsets=[0])},
        {"x": entry(data_offsets=[0, 24, 48])},
        {"x": entry(data_offsets=[24, 0])},
        {"x": entry(data_offsets=[-24, 0])},
        {"x": entry(data_offsets=[8, 32])},
        {"x": entry(), "y": entry()},
        {"x": entry(), "__metadata__": []},
        {"x": entry(), "__metadata__": {"a": 1}},
        {"__metadata__": {}},
    ],
    ids=str,
)
def test_damaged_headers(path: Path, header: Any) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(24))
    with pytest.raises(CheckpointError, match="truncated or no safetensors file"):
        read_safetensors(path, CheckpointError)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[:8],
        lambda data: data[:30],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: bytes(8) + data[8:],
        lambda data: data[:8] + b"\xff" + data[9:],
        lambda data: (10**5).to_bytes(8, "little") + b'{"a":' * 20000 + data,
    ],
)
def test_damaged_files(path: Path, change: Callable[[bytes], bytes]) -> None:
    save_file({"x": torch.arange(6.0)}, path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CheckpointError, match="truncated or no safetensors file"):
        read_safetensors(path, CheckpointError)


def test_long_headers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"x": torch.zeros(1)}, path, {"long": "x" * 1000})
    monkeypatch.setattr(limits_module, "_set", {"header_bytes": 1000})
    with pytest.raises(InputError, match="header of at most 1000 bytes"):
        read_safetensors(path, InputError)
    samkit.set_limits(header_bytes=2000)
    assert read_safetensors(path, InputError)[1] == {"long": "x" * 1000}


@pytest.mark.parametrize("name", [".", "missing", "x" * 300, "/dev/null"])
def test_no_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_safetensors(tmp_path / name, InputError)
