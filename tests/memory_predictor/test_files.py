"""Memory in files."""

import json

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
        for object_id, prompted in one.objects.items():
            assert prompted.prompt == other.objects[object_id].prompt
            assert prompted.corrects == other.objects[object_id].corrects

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


@pytest.mark.parametrize(("version", "which"), [(2, "an older"), (4, "a newer")])
def test_a_file_of_another_version(predictor, filled, tmp_path, version, which):
    rewrite(filled, tmp_path / "memory.safetensors", '"version": 3', f'"version": {version}')
    with pytest.raises(InputError, match=f"expected version 3 .*, got {version}, which {which}"):
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
        ('"corrects": true', '"corrects": 1'),
        ('"id": 9', '"id": 99'),
        ('"id": 4', '"id": true'),
        ('"corrects"', '"corrected"'),
        ('"entries": [', '"entries": [7, '),
        ('"labels": [1]', '"labels": [5]'),
        ('"labels": [1]', '"labels": [1, 1]'),
        ('"box": [5.0, 10.0', '"box": [500.0, 10.0'),
        ('"tokens": ', '"tokens": null, "others": '),
    ],
)
def test_a_damaged_header(predictor, filled, tmp_path, old, new):
    path = tmp_path / "memory.safetensors"
    rewrite(filled, path, old, new)
    with pytest.raises(InputError, match="it is damaged"):
        MemoryPredictor.load(path, predictor)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("memory", "tokens", None),
        ("memory", "tokens", torch.zeros(64, 7, dtype=torch.bfloat16)),
        ("memory", "tokens", torch.zeros(64, 8)),
        ("memory", "pointer", torch.full((16,), torch.nan)),
        ("prediction", "logits", torch.zeros(32, 32)),
        ("prediction", "iou", torch.zeros(2)),
        ("prediction", "object_score", torch.zeros(1)),
    ],
)
def test_damaged_tensors(predictor, filled, tmp_path, part, field, value):
    path = tmp_path / "memory.safetensors"
    filled.save(path)
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    prompted = json.loads(metadata["samkit.memory"])["entries"][0]["objects"][0]["prompted"]
    name = str(prompted[part][field])
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(InputError, match="it is damaged"):
        MemoryPredictor.load(path, predictor)
