"""Checkpoints that are damaged, wrapped in anything, or hold other tensors."""

import io
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile.harness import pick
from hostile.mutations import HOSTILE_VALUES, changed_tensor_file, changed_tensors, damaged
from tiny import CONFIGS, make

from samkit.weights import infer, load_network, loading, save_network
from samkit.weights.registry import MODELS

WRAPPERS = ("model", "state_dict", "model_state", "model_state_dict", "net", "ema", "params", "")
PREFIXES = ("module.", "model.", "_orig_mod.", "sam.", "base_model.model.", "x.", "module.module.")


class Runs:
    """Code, if it were ever run."""

    def __reduce__(self) -> tuple[object, ...]:
        return (open, ("ran.txt", "w"))


EXTRAS = (
    np.float64(0.5), torch.Size([1]), torch.float16, torch.device("cpu"), {1: 2}, None,
    np.zeros(3), torch.zeros(()), OrderedDict(), {"state": {}}, b"x", 3j, slice(1), Runs(),
    *HOSTILE_VALUES,
)  # fmt: skip


@cache
def state(name: str) -> dict[str, torch.Tensor]:
    return make(CONFIGS[name]).state_dict()


def saved(value: object, *, legacy: bool) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def wrapped(rng: np.random.Generator, tensors: dict[str, object]) -> object:
    """Tensors in dictionaries, lists and beside values that trainers put there."""
    value: object = OrderedDict(tensors) if rng.random() < 0.3 else tensors
    for _ in range(rng.integers(0, 3)):
        key = pick(rng, (*WRAPPERS, "best", "epoch", "optimizer", 3, None, ("a",)))
        extra = pick(rng, EXTRAS)
        options = (
            {pick(rng, WRAPPERS): value},
            {pick(rng, WRAPPERS): value, key: extra},
            [value],
            {"model": extra, "state_dict": value},
        )
        value = pick(rng, options)
    return value


def odd_tensors(rng: np.random.Generator, tensors: dict[str, object]) -> dict[str, object]:
    name = pick(rng, list(tensors))
    tensor = tensors[name]
    others = (
        lambda t: t.to_sparse(), lambda t: t.to("meta"), lambda t: t.to(torch.complex64),
        lambda t: t.requires_grad_(), lambda t: torch.nn.Parameter(t), lambda t: t.numpy(),
        lambda t: t.expand(3, *t.shape), lambda t: [t], lambda t: None, lambda t: Runs(),
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.quint8), lambda t: t.t(),
        lambda t: t.to(torch.float8_e5m2), lambda t: torch.empty(0).expand(10**6, 0),
        lambda t: torch.empty(1).expand(10**12),
    )  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {**tensors, name: pick(rng, others)(tensor.clone())}
    except RuntimeError:  # not every tensor can be of every kind
        return tensors


def checkpoints(rng: np.random.Generator, folder: Path, files: Path) -> Callable[[], object]:
    name = pick(rng, list(CONFIGS))  # without its header, "pico" is an error
    tensors: dict[str, object] = state(name)
    way = rng.integers(7)
    path = folder / f"a.{pick(rng, ('pt', 'pth', 'ckpt', 'bin', 'safetensors', 'pt', 'pt'))}"
    if way == 0:
        path = folder / "a.safetensors"
        changed_tensor_file(rng, files / f"{name}.safetensors", path)
    elif way == 1:
        path.write_bytes(damaged(rng, saved(tensors, legacy=rng.random() < 0.5)))
    elif way == 2:
        path.write_bytes(pickled(rng))
    elif way == 3:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            kind = pick(rng, ("archive/data.pkl", "data.pkl", "a/constants.pkl", "model.json"))
            archive.writestr(kind, pickled(rng))
            archive.writestr("archive/version", pick(rng, (b"3\n", b"x", bytes(10**7))))
            archive.writestr("archive/byteorder", pick(rng, (b"little", b"big", b"x")))
    else:
        if way == 4:
            tensors = changed_tensors(rng, tensors)
        elif way == 5:
            tensors = odd_tensors(rng, tensors)
        if rng.random() < 0.3:
            prefix = pick(rng, PREFIXES)
            tensors = {prefix + key: value for key, value in tensors.items()}
        if rng.random() < 0.2:
            tensors = {**tensors, pick(rng, (3, None, "lora_A.weight", "x", "")): torch.zeros(1)}
        path.write_bytes(saved(wrapped(rng, tensors), legacy=rng.random() < 0.3))
    return lambda: load_network(path)


def pickled(rng: np.random.Generator) -> bytes:
    """A pickle of something else, or damaged, or that asks for very much."""
    nested: object = 1
    for _ in range(200):
        nested = [nested]
    values = (Runs(), {"model": Runs()}, nested, {}, [], None, {"a": 10**300}, "x" * 10**6)
    protocol = int(rng.integers(0, 6))
    way = rng.integers(5)
    if way == 0:
        return bytes(int(pick(rng, (0, 1, 10**7))))
    if way == 1:
        return b"\x80\x02]" + b"]" * 10**5 + b"."
    if way == 2:
        return (
            b"\x80\x04" + pick(rng, (b"\x8d", b"\x8e", b"B", b"\x96")) + b"\xff" * 6 + b"\x00\x00."
        )
    data = pickle.dumps(pick(rng, values), protocol)
    return damaged(rng, data) if way == 3 else data


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in CONFIGS:
        network = make(CONFIGS[name])
        save_network(network, folder / f"{name}.safetensors")
        state(name)
    return folder


def test_checkpoints(hostile, files, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    few = {name: MODELS[name] for name in ("pico", "sam2.1-tiny")}  # each is tried where none fits
    monkeypatch.setattr(loading, "MODELS", few)
    monkeypatch.setattr(infer, "_RELEASED", (CONFIGS["sam2"],))  # or files without sizes are none
    hostile("checkpoints", lambda rng, folder: checkpoints(rng, folder, files), 50)
    assert not (tmp_path / "ran.txt").exists()
