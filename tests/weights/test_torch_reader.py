"""Pickled checkpoints that are damaged, or ask for more than they hold."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from samkit import limits as limits_module
from samkit.errors import CheckpointError
from samkit.weights.checkpoint import read_state_dict
from samkit.weights.torch_reader import read_torch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "it.pt"


def rewritten(path: Path, **compression: int) -> None:
    """Write the archive again, with the compression of each part of a name."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            chosen = (how for part, how in compression.items() if part in name)
            archive.writestr(name, data, next(chosen, zipfile.ZIP_STORED))


@pytest.mark.parametrize("zipped", [True, False])
def test_what_was_read_stays(path: Path, zipped: bool) -> None:
    """A mapped file that shrinks would end the process."""
    whole = torch.arange(1000.0)
    content = {"model": {"x": whole, "tied": whole, "half": whole[500:]}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    tensors = read_state_dict(path).tensors
    os.truncate(path, 0)
    assert torch.equal(tensors["x"], whole)
    assert torch.equal(tensors["tied"], whole)
    assert torch.equal(tensors["half"], whole[500:])


def test_a_pickle_that_unpacks_to_much(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"x": torch.zeros(3), "note": "x" * 10**6}, path)
    rewritten(path, pkl=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**4
    assert read_torch(path)["note"] == "x" * 10**6
    monkeypatch.setattr(limits_module, "_set", {"header_bytes": 10**5})
    with pytest.raises(CheckpointError, match="at most 100000 bytes beside the tensors, got 1000"):
        read_torch(path)


def test_packed_tensors(path: Path) -> None:
    torch.save({"x": torch.zeros(1000)}, path)
    rewritten(path, data=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="its tensors are compressed"):
        read_torch(path)


class _Declared:
    """Pickled as a tensor of a storage whose number of values is made up."""

    def __init__(self, count: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.count, self.shape, self.stride = count, shape, stride

    def __reduce__(self) -> tuple[object, ...]:
        return torch._utils._rebuild_tensor_v2, (
            _Storage(self.count),
            0,
            self.shape,
            self.stride,
            False,
            OrderedDict(),
        )


class _Storage:
    def __init__(self, count: int) -> None:
        self.count = count


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> object:
        if isinstance(value, _Storage):
            return ("storage", torch.FloatStorage, "0", "cpu", value.count)
        return None


def declared(path: Path, tensor: _Declared) -> None:
    pickled = io.BytesIO()
    _Pickler(pickled, protocol=2).dump({"x": tensor})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("it/data.pkl", pickled.getvalue())
        archive.writestr("it/version", "3\n")
        archive.writestr("it/data/0", np.arange(6, dtype="<f4").tobytes())


def test_made_up_sizes(path: Path) -> None:
    declared(path, _Declared(6, (6,), (1,)))
    assert read_state_dict(path).tensors["x"].tolist() == [0, 1, 2, 3, 4, 5]
    for tensor in (
        _Declared(6, (7,), (1,)),
        _Declared(10**12, (10**12,), (1,)),
        _Declared(6, (10**6, 10**6), (0, 0)),
        _Declared(6, (6,), (10**6,)),
    ):
        declared(path, tensor)
        with pytest.raises(CheckpointError):
            read_state_dict(path)


def test_an_old_file_that_lacks_its_tensors(path: Path) -> None:
    torch.save({"x": torch.zeros(10**6)}, path, _use_new_zipfile_serialization=False)
    os.truncate(path, 1000)
    with pytest.raises(CheckpointError, match=r"truncated: it lacks \d+ bytes"):
        read_torch(path)


def test_an_archive_on_several_disks(path: Path) -> None:
    torch.save({"x": torch.zeros(3)}, path)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\5\6")
    locator = struct.pack("<4sLQL", b"PK\6\7", 1, 0, 5)
    for damaged in (
        data[:at] + locator + data[at:],
        data[:at],
        data[: at // 2],
        b"PK",
    ):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="truncated"):
            read_torch(path)
