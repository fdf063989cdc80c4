"""Folders in Hugging Face's layout whose config, index or shards are wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile.harness import pick
from hostile.mutations import HOSTILE_VALUES, changed_tensor_file, damaged, json_text
from safetensors.torch import load_file, save_file
from tiny import make, tiny_sam

from samkit.weights import convert, load_network, save_network

INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM as transformers saves it, in one file and in two shards."""
    folder = tmp_path_factory.mktemp("hub")
    save_network(make(tiny_sam()), folder / "tiny.safetensors")
    convert(folder / "tiny.safetensors", folder / "whole", layout="hugging-face")
    shutil.copytree(folder / "whole", folder / "shards")
    (folder / "shards" / "model.safetensors").unlink()
    tensors = load_file(folder / "whole" / "model.safetensors")
    names = sorted(tensors)
    shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for shard, held in shards.items():
        save_file(
            {name: tensors[name] for name in held}, folder / "shards" / shard, {"format": "pt"}
        )
    where = {name: shard for shard, held in shards.items() for name in held}
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "shards" / INDEX).write_text(json.dumps(index))
    return folder


def folders(rng: np.random.Generator, folder: Path, hub: Path) -> Callable[[], object]:
    target = folder / "hub"
    shutil.copytree(hub / pick(rng, ("whole", "shards", "shards")), target)
    name = pick(rng, sorted(path.name for path in target.iterdir()))
    path = target / name
    way = rng.integers(8)
    if path.suffix == ".json" and way < 6:
        value = json.loads(path.read_text())
        if name == INDEX and way == 0:
            names = ("../x.safetensors", "/dev/zero", "config.json", "hub", "", ".", INDEX, "a\0")
            value["weight_map"] = dict.fromkeys(value["weight_map"], pick(rng, names))
            path.write_text(json.dumps(value))
        elif name == INDEX and way == 1:
            value["weight_map"] = pick(rng, HOSTILE_VALUES)
            path.write_bytes(json.dumps(value).encode("utf-8", "replace"))
        else:
            path.write_bytes(json_text(rng, value))
    elif path.suffix == ".safetensors" and way < 4:
        data = path.read_bytes()
        source = folder / "source.safetensors"
        source.write_bytes(data)
        changed_tensor_file(rng, source, path)
        source.unlink()
    elif way == 6:
        path.unlink()
        pick(rng, (path.mkdir, lambda: path.symlink_to(path), lambda: None, lambda: None))()
    else:
        path.write_bytes(damaged(rng, path.read_bytes()))
    return lambda: load_network(target)


def test_hub_folders(hostile, hub) -> None:
    hostile("hub folders", lambda rng, folder: folders(rng, folder, hub), 125)
