"""Memory in files."""

import numpy as np
import pytest
import torch
from memory_predictor.helpers import BOX, CLICK
from safetensors import safe_open
from safetensors.torch import save_file
from tiny import make, tiny_sam2

from samkit import ImagePredictor, MemoryPredictor, Prompt
from samkit.errors import InputError


@pytest.fixture
def filled(memory, images):
    memory.remember(images[2], {1: BOX})
    memory.remember(images[0], {9: BOX + CLICK, -(2**63): Prompt.mask(np.eye(8, dtype=bool))})
    memory.remember(images[1], {9: CLICK, 4: BOX})
    memory.forget(1)
    return memory


def test_nothing_is_lost(predictor, filled, images, tmp_path):
    filled.save(tmp_path / "memory.safetensors")
    again = MemoryPredictor.load(tmp_path / "memory.safetensors", predictor)
    assert again.object_ids == filled.object_ids == (9, -(2**63), 4)
    assert [entry.number for entry in again.entries] == [1, 2]
    for one, other in zip(filled.entries, again.entries, strict=True):
        assert one.object_ids == other.object_ids
        assert one.image_size == other.image_size
        for object_id, sighting in one.sightings.items():
            assert sighting.clicks == other.sightings[object_id].clicks
            assert sighting.recalled == other.sightings[object_id].recalled

    def everything(memory):
        yield memory.remember(images[5], {9: CLICK})
        yield memory.predict(images[3])
        yield memory.remember(images[0], {9: Prompt.point(2, 3, label=0)})
        yield memory.remember(images[1], {9: CLICK, -(2**63): CLICK})
        yield memory.predict(images[3])

    for ours, theirs in zip(everything(filled), everything(again), strict=True):
        assert np.array_equal(ours.logits, theirs.logits)
        assert np.array_equal(ours.presence, theirs.presence)
        assert np.array_equal(ours.object_ids, theirs.object_ids)
    assert [entry.number for entry in again.entries] == [1, 2, 3]


def test_an_empty_memory(predictor, memory, tmp_path):
    memory.save(tmp_path / "empty.safetensors")
    assert MemoryPredictor.load(tmp_path / "empty.safetensors", predictor).entries == ()


def test_options_are_given_anew(predictor, filled, tmp_path):
    path = tmp_path / "memory.safetensors"
    filled.save(path)
    again = MemoryPredictor.load(path, predictor, max_entries=2, non_overlapping=True)
    assert (again.max_entries, again.non_overlapping) == (2, True)
    with pytest.raises(InputError, match="holds 2 entries, which is more than max_entries=1"):
        MemoryPredictor.load(path, predictor, max_entries=1)


def test_another_network(filled, tmp_path):
    filled.save(tmp_path / "memory.safetensors")
    network = make(tiny_sam2())
    with torch.no_grad():
        network.maskmem_tpos_enc.add_(1)
    with pytest.raises(InputError, match="made by another network"):
        MemoryPredictor.load(tmp_path / "memory.safetensors", ImagePredictor(network, device="cpu"))


def test_no_such_file(predictor, memory, tmp_path):
    with pytest.raises(InputError, match="cannot read a memory"):
        MemoryPredictor.load(tmp_path / "nowhere.safetensors", predictor)
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(InputError, match="cannot read a memory"):
        MemoryPredictor.load(tmp_path / "text.safetensors", predictor)
    predictor.embed(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "embedding.safetensors")
    with pytest.raises(InputError, match="it holds none"):
        MemoryPredictor.load(tmp_path / "embedding.safetensors", predictor)
    with pytest.raises(InputError, match="text"):
        memory.save(tmp_path / "text.safetensors" / "memory.safetensors")


def test_a_file_of_a_later_version(predictor, filled, tmp_path):
    rewrite(filled, tmp_path / "memory.safetensors", '"version": 1', '"version": 2')
    with pytest.raises(InputError, match="expected version 1, got 2"):
        MemoryPredictor.load(tmp_path / "memory.safetensors", predictor)


def rewrite(memory, path, old, new):
    """Save a memory with another header."""
    memory.save(path)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = file.metadata()["samkit.memory"]
    assert old in header
    save_file(tensors, path, metadata={"samkit.memory": header.replace(old, new)})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"number": 2', '"number": 1'),
        ('"number": 2', '"number": -2'),
        ('"number": 2', '"number": "2"'),
        ('"object_ids": [9, ', '"object_ids": ['),
        ('"object_ids": [9, ', '"object_ids": [9, 9, '),
        ('"object_ids": [9, ', '"object_ids": [true, '),
        ("[48, 64]", "[48]"),
        ("[48, 64]", "[48, 0]"),
        ('"9": true', '"9": 1'),
        ('"9": true', '"99": true'),
        ('"recalled"', '"recoiled"'),
        ('"entries": [', '"entries": [7, '),
    ],
)
def test_a_damaged_header(predictor, filled, tmp_path, old, new):
    path = tmp_path / "memory.safetensors"
    rewrite(filled, path, old, new)
    with pytest.raises(InputError, match="it is damaged"):
        MemoryPredictor.load(path, predictor)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("1.9.map", None),
        ("1.9.map", torch.zeros(8, 8, 7, dtype=torch.bfloat16)),
        ("1.9.map", torch.zeros(8, 8, 8)),
        ("1.9.pointer", torch.full((16,), torch.nan)),
        ("1.9.logits", torch.zeros(32, 32)),
        ("1.9.points", torch.zeros(1, 3)),
        ("1.9.labels", torch.full((1,), 5, dtype=torch.int32)),
        ("1.9.box", torch.zeros(4)),
    ],
)
def test_damaged_tensors(predictor, filled, tmp_path, name, value):
    path = tmp_path / "memory.safetensors"
    filled.save(path)
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    assert name in tensors
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(InputError, match="it is damaged"):
        MemoryPredictor.load(path, predictor)
