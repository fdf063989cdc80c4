"""Memory as a safetensors file: tensors named entry.object.field, the rest in the header."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samkit.errors import InputError
from samkit.media import write_atomically
from samkit.memory.arguments import checked_id, whole_number
from samkit.memory.bank import Memory
from samkit.memory_predictor.entries import Entry, Sighting
from samkit.nn import Sam2
from samkit.nn.memory import ObjectPrediction
from samkit.prompts import Prompt
from samkit.weights.state_file import DAMAGE, read_state, write_state

__all__ = ["load", "save"]

_VERSION = 1


def save(
    path: str | Path, network: Sam2, entries: Sequence[Entry], object_ids: Sequence[int]
) -> None:
    """Write entries, and the order of the objects, whole or not at all.

    Raises:
        InputError: the place cannot be written to.
    """
    tensors = {
        f"{entry.number}.{object_id}.{name}": tensor
        for entry in entries
        for object_id, sighting in entry.sightings.items()
        for name, tensor in _tensors(sighting).items()
    }
    about = {
        "object_ids": list(object_ids),
        "entries": [
            {
                "number": entry.number,
                "image_size": entry.image_size,
                "signature": entry.signature,
                "recalled": {str(i): one.recalled for i, one in entry.sightings.items()},
            }
            for entry in entries
        ],
    }
    with write_atomically(path) as temporary:
        write_state(temporary, tensors, about, "memory", _VERSION, network)


def load(
    path: str | Path, network: Sam2, device: torch.device
) -> tuple[list[Entry], tuple[int, ...]]:
    """Read what `save` wrote: the entries, and the order of the objects.

    Raises:
        InputError: the file is missing, damaged, holds something else, or is of another network.
    """
    tensors, about = read_state(path, "memory", _VERSION, network)
    try:
        entries = [_entry(one, tensors, network, device) for one in about["entries"]]
        object_ids = tuple(checked_id(value) for value in about["object_ids"])
        _check(entries, object_ids)
    except DAMAGE as error:
        raise InputError(f"cannot read a memory from {path}: it is damaged ({error})") from error
    return entries, object_ids


def _tensors(sighting: Sighting) -> dict[str, Tensor]:
    assert sighting.memory.map is not None
    found, clicks = sighting.found, sighting.clicks
    tensors = {
        "map": sighting.memory.map,
        "pointer": sighting.memory.pointer,
        "logits": found.logits,
        "iou": found.iou,
        "object_score": found.object_score,
    }
    if clicks is not None:
        # Copies: a prompt's arrays are read-only, which tensors cannot be.
        tensors["points"] = torch.from_numpy(clicks.point_coords.copy())
        tensors["labels"] = torch.from_numpy(clicks.point_labels.copy())
        if clicks.box_xyxy is not None:
            tensors["box"] = torch.from_numpy(clicks.box_xyxy.copy())
    return tensors


def _entry(
    about: dict[str, Any], tensors: dict[str, Tensor], network: Sam2, device: torch.device
) -> Entry:
    number = whole_number("entry", about["number"])
    height, width = (whole_number("image_size", value) for value in about["image_size"])
    if number < 0 or height < 1 or width < 1 or not isinstance(about["signature"], str):
        raise ValueError("impossible values in the header")
    sightings = {}
    for name, recalled in about["recalled"].items():
        if not isinstance(recalled, bool):
            raise ValueError("impossible values in the header")
        prefix = f"{number}.{name}."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        sightings[checked_id(int(name))] = _sighting(own, recalled, network, device)
    return Entry(
        number=number,
        image_size=(height, width),
        signature=about["signature"],
        sightings=sightings,
    )


def _sighting(
    tensors: dict[str, Tensor], recalled: bool, network: Sam2, device: torch.device
) -> Sighting:
    config = network.config
    height, width = config.image_size
    expected = {
        "map": ((config.memory.dim, height // 16, width // 16), torch.bfloat16),
        "pointer": ((config.dim,), torch.float32),
        "logits": ((1, height // 4, width // 4), torch.float32),
        "iou": ((1,), torch.float32),
        "object_score": ((1, 1), torch.float32),
    }
    for name, (shape, dtype) in expected.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != dtype or not tensor.isfinite().all():
            raise ValueError(f"{name} cannot be what was saved")
    clicks = None
    if "points" in tensors:
        box = tensors["box"].numpy() if "box" in tensors else None
        clicks = Prompt(tensors["points"].numpy(), tensors["labels"].numpy(), box)
    # Copies: a tensor may be mapped from a file that is overwritten later.
    placed = {name: tensors[name].to(device, copy=True) for name in expected}
    return Sighting(
        clicks=clicks,
        found=ObjectPrediction(
            logits=placed["logits"],
            iou=placed["iou"],
            pointer=placed["pointer"][None],
            object_score=placed["object_score"],
        ),
        memory=Memory(map=placed["map"], pointer=placed["pointer"]),
        recalled=recalled,
    )


def _check(entries: Sequence[Entry], object_ids: tuple[int, ...]) -> None:
    numbers = [entry.number for entry in entries]
    known = {object_id for entry in entries for object_id in entry.sightings}
    rising = all(a < b for a, b in pairwise(numbers))
    complete = len(object_ids) == len(known) and set(object_ids) == known
    if not (rising and complete and all(entry.sightings for entry in entries)):
        raise ValueError("the header contradicts itself")
