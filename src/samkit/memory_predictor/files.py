"""Memory across images as a safetensors file.

Its header has, under `samkit.memory`, a JSON text:

    version, network     of this layout, and a fingerprint of the weights
    object_ids           the order of the objects
    entries              [{number, image_size, signature, objects}], the oldest first
    objects              [{id, prompted}] of an entry; prompted as in `samkit.memory.codec`
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samkit.arguments import whole_number
from samkit.memory.arguments import checked_id
from samkit.memory.codec import MemoryReader, MemoryWriter
from samkit.memory_predictor.entries import Entry
from samkit.nn import MemoryNetwork
from samkit.weights.tensor_file import (
    fingerprint,
    read_image_size,
    read_tensor_file,
    write_tensor_file,
)

__all__ = ["load", "save"]

_KIND, _VERSION = "memory", 3


def save(
    path: str | Path, network: MemoryNetwork, entries: Sequence[Entry], object_ids: Sequence[int]
) -> None:
    """Write entries, and the order of the objects, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    writer = MemoryWriter()
    about = {
        "object_ids": list(object_ids),
        "entries": [
            {
                "number": entry.number,
                "image_size": entry.image_size,
                "signature": entry.signature,
                "objects": [
                    {"id": object_id, "prompted": writer.prompted(one)}
                    for object_id, one in entry.objects.items()
                ],
            }
            for entry in entries
        ],
    }
    network_id = fingerprint(network)
    write_tensor_file(
        path, writer.tensors, about, kind=_KIND, version=_VERSION, network_id=network_id
    )


def load(
    path: str | Path, network: MemoryNetwork, device: torch.device
) -> tuple[list[Entry], tuple[int, ...]]:
    """Read what `save` wrote: the entries, and the order of the objects.

    Raises:
        InputError: the file is missing, damaged, holds something else, or is of another network.
    """

    def build(
        tensors: dict[str, Tensor], about: dict[str, Any]
    ) -> tuple[list[Entry], tuple[int, ...]]:
        reader = MemoryReader(tensors, network, device)
        entries = [_entry(one, reader) for one in about["entries"]]
        object_ids = tuple(checked_id(value) for value in about["object_ids"])
        _check(entries, object_ids)
        return entries, object_ids

    network_id = fingerprint(network)
    return read_tensor_file(path, build, kind=_KIND, version=_VERSION, network_id=network_id)


def _entry(about: dict[str, Any], reader: MemoryReader) -> Entry:
    if not isinstance(about["signature"], str):
        raise ValueError("a signature is no text")
    return Entry(
        number=whole_number("number", about["number"], 0),
        image_size=read_image_size(about["image_size"]),
        signature=about["signature"],
        objects={
            checked_id(one["id"]): reader.prompted(one["prompted"]) for one in about["objects"]
        },
    )


def _check(entries: Sequence[Entry], object_ids: tuple[int, ...]) -> None:
    numbers = [entry.number for entry in entries]
    known = {object_id for entry in entries for object_id in entry.objects}
    rising = all(a < b for a, b in pairwise(numbers))
    complete = len(object_ids) == len(known) and set(object_ids) == known
    if not (rising and complete and all(entry.objects for entry in entries)):
        raise ValueError("the header contradicts itself")
