"""Reading weight files, above all the bad ones."""

import json
import os
import pickle
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from samkit.errors import CheckpointError, UnsafeCheckpointError
from samkit.weights.checkpoint import read_state_dict


@pytest.fixture
def state():
    return {"b.weight": torch.arange(6.0).view(2, 3), "a": torch.ones(4, dtype=torch.float16)}


def same(one, other):
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and torch.equal(one[k], other[k]) for k in one
    )


class Payload:
    """Would create a file when unpickled by a reader that runs code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"model": s, "epoch": 3},
        lambda s: {"model": None, "ema": s},
        lambda s: {"model_state": s},
        lambda s: {"model_state_dict": s, "optimizer_state_dict": {"state": {}}},
        lambda s: {"state_dict": s},
        lambda s: {"net": s},
        lambda s: {"state_dict": {"model": s}},
        lambda s: {"ema": {"x": torch.zeros(1)}, "model": s},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_pickled(tmp_path, state, wrap, zipped):
    path = tmp_path / "x.pt"
    torch.save(wrap(state), path, _use_new_zipfile_serialization=zipped)
    read = read_state_dict(path)
    assert same(read.tensors, state)
    assert list(read.tensors) == list(state)
    assert read.metadata == {}
    assert read.config is None


@pytest.mark.parametrize("zipped", [True, False])
def test_scalars_of_numpy_beside_the_tensors(tmp_path, state, zipped):
    content = {"model": state, "best": np.float64(0.5), "epoch": np.int32(3), "done": np.True_}
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    assert same(read_state_dict(tmp_path / "x.pt").tensors, state)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_scripts_save_beside_the_tensors(tmp_path, state, zipped):
    content = {
        "model": state,
        "args": Namespace(lr=0.1, output=Path("runs"), weights=np.ones((2, 3))),
        "rng": np.random.default_rng(0).bit_generator.state | {"keys": np.arange(5)},
        "history": {"loss": [np.float32(1)]},
    }
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    assert same(read_state_dict(tmp_path / "x.pt").tensors, state)


def test_arrays_instead_of_tensors(tmp_path):
    torch.save({"model": {"a": np.ones(3)}}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="expected names and tensors"):
        read_state_dict(tmp_path / "x.pt")


def test_scalar_that_numpy_1_wrote(tmp_path, state):
    path = tmp_path / "x.pt"
    content = {"model": state, "best": np.float64(0.5)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.", b"numpy.core."))
    assert b"cnumpy.core.multiarray\nscalar" in path.read_bytes()
    assert same(read_state_dict(path).tensors, state)


def test_numpy_is_not_allowed_for_good(tmp_path, state):
    allowed = set(torch.serialization.get_safe_globals())
    torch.save({"model": state, "best": np.float64(0.5)}, tmp_path / "x.pt")
    read_state_dict(tmp_path / "x.pt")
    assert set(torch.serialization.get_safe_globals()) == allowed


def test_numpy_that_the_caller_allows(tmp_path, state):
    best = np.float64(0.5)
    torch.save({"model": state, "best": best}, tmp_path / "x.pt")
    own = [best.__reduce__()[0], np.dtype, type(best.dtype)]
    with torch.serialization.safe_globals(own):
        assert same(read_state_dict(tmp_path / "x.pt").tensors, state)


class Numpy:
    """Pickled as a call of a function of numpy."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_other_functions_of_numpy_are_refused(tmp_path, state):
    trap = tmp_path / "trap"
    torch.save({"model": state, "best": Numpy(np.save, str(trap), 1)}, tmp_path / "x.pt")
    with pytest.raises(UnsafeCheckpointError, match=r"asks to run numpy\.save"):
        read_state_dict(tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == [tmp_path / "x.pt"]


def test_code_in_a_scalar_of_numpy_is_refused(tmp_path, state):
    trap, scalar = tmp_path / "trap", np.float64(1).__reduce__()[0]
    best = Numpy(scalar, np.dtype("float64"), Payload(trap))
    torch.save({"model": state, "best": best}, tmp_path / "x.pt")
    with pytest.raises(UnsafeCheckpointError, match=r"asks to run (posix|nt)\.mkdir"):
        read_state_dict(tmp_path / "x.pt")
    assert not trap.exists()


def test_safetensors(tmp_path, state):
    save_file(state, tmp_path / "x.safetensors", {"format": "pt", "who": "me"})
    read = read_state_dict(tmp_path / "x.safetensors")
    assert same(read.tensors, state)
    assert read.metadata == {"format": "pt", "who": "me"}


def test_safetensors_under_another_name(tmp_path, state):
    save_file(state, tmp_path / "x.bin")
    assert same(read_state_dict(tmp_path / "x.bin").tensors, state)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", ["zipped", "plain pickle", "wrapped"])
def test_code_is_refused_and_not_run(tmp_path, kind, protocol):
    trap, path = tmp_path / "trap", tmp_path / "x.pt"
    content = {"weight": Payload(trap)}
    if kind == "wrapped":
        content = {"model": content}
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    else:
        torch.save(content, path, pickle_protocol=protocol)
    with pytest.raises(UnsafeCheckpointError, match=r"asks to run (posix|nt)\.mkdir"):
        read_state_dict(path)
    assert not trap.exists()


@pytest.mark.parametrize("protocol", [0, 1, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_of_another_protocol_are_named(tmp_path, state, zipped, protocol):
    path = tmp_path / "x.pt"
    torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    says = f"protocol {protocol if protocol > 1 else 0};" if zipped or protocol > 1 else "neither"
    with pytest.raises(CheckpointError, match=says):
        read_state_dict(path)


def test_whole_pickled_module_is_refused(tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "x.pt")
    with pytest.raises(UnsafeCheckpointError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_state_dict(tmp_path / "x.pt")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_truncated_pickle(tmp_path, state, zipped, part):
    path = tmp_path / "x.pt"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(CheckpointError, match="truncated") as caught:
        read_state_dict(path)
    assert not isinstance(caught.value, UnsafeCheckpointError)


@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_truncated_safetensors(tmp_path, state, part):
    path = tmp_path / "x.safetensors"
    save_file(state, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(CheckpointError, match="truncated"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"just some text", "neither a PyTorch nor a safetensors file"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n", "PNG image"),
        (b"\x80\x02garbage", "truncated"),
    ],
)
def test_no_checkpoint(tmp_path, data, message):
    (tmp_path / "x.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_state_dict(tmp_path / "x.pt")


def test_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("holiday.txt", "sun")
    with pytest.raises(CheckpointError, match="no PyTorch checkpoint"):
        read_state_dict(tmp_path / "x.pt")


def endless():
    content = {}
    content["model"] = content
    return content


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"lr": 0.1},
        {"model": {"a": 3}},
        {0: torch.ones(1)},
        {"weights": {"a": torch.ones(1)}},
        {"a": torch.ones(1), "best": np.float64(1)},
        endless(),
    ],
)
def test_pickle_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    wrappers = "'model', 'model_state', 'model_state_dict', 'state_dict', 'net', 'ema'"
    with pytest.raises(CheckpointError, match=f"expected .* plain or under {wrappers}; got "):
        read_state_dict(tmp_path / "x.pt")


def test_no_tensors(tmp_path):
    torch.save({}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="no tensors"):
        read_state_dict(tmp_path / "x.pt")


def test_nothing_there(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        read_state_dict(tmp_path / "x.pt")


def test_folder(tmp_path, state):
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "sam"}')
    read = read_state_dict(tmp_path)
    assert same(read.tensors, state)
    assert read.config == {"model_type": "sam"}


def test_folder_with_a_pickle(tmp_path, state):
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert same(read_state_dict(tmp_path).tensors, state)


def write_shards(folder, state):
    placed = {name: f"model-{i}.safetensors" for i, name in enumerate(state)}
    for name, file in placed.items():
        save_file({name: state[name]}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": placed}))
    return index


def test_sharded_folder(tmp_path, state):
    write_shards(tmp_path, state)
    assert same(read_state_dict(tmp_path).tensors, state)


def test_shard_that_is_missing(tmp_path, state):
    write_shards(tmp_path, state)
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"needs model-1\.safetensors"):
        read_state_dict(tmp_path)


def test_shard_that_lacks_a_tensor(tmp_path, state):
    write_shards(tmp_path, state)
    save_file({"other": torch.ones(1)}, tmp_path / "model-1.safetensors")
    with pytest.raises(CheckpointError, match=r"model-1\.safetensors lacks a"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize("place", ["../x.safetensors", "/etc/passwd"])
def test_index_that_points_elsewhere(tmp_path, place):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": place}}))
    with pytest.raises(CheckpointError, match="outside"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "\xff",
        "[" * 10**5,
        "1" * 5000,
        "{}",
        '{"weight_map": null}',
        '{"weight_map": 3}',
        '{"weight_map": {}}',
        '{"weight_map": ["a.safetensors"]}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": null}}',
        '{"weight_map": {"a": ["a.safetensors"]}}',
        '{"weight_map": {"a": ""}}',
        '{"weight_map": {"a": "."}}',
        '{"weight_map": {"a": ".."}}',
        '{"weight_map": {"a": "c:a.safetensors"}}',
        '{"weight_map": {"a": "..\\\\a.safetensors"}}',
        '{"weight_map": {"a": "a\\u0000.safetensors"}}',
        '{"weight_map": {"a": "\\ud800.safetensors"}}',
        json.dumps({"weight_map": {"a": "x" * 300}}),
    ],
    ids=lambda text: text[:40],
)
def test_bad_index(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError):
        read_state_dict(tmp_path)


def test_empty_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected model\.safetensors"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_descriptions_that_are_too_long(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text('{"weight_map": {"a": "b"}}' + " " * 1000)
    monkeypatch.setenv("SAMKIT_MAX_HEADER_BYTES", "1000")
    with pytest.raises(CheckpointError, match=f"{name}: expected at most 1000 bytes"):
        read_state_dict(tmp_path)
