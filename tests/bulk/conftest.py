"""A tiny model, photographs of which two are damaged, and an engine without processes."""

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tiny import make, tiny_sam2

from samkit import bulk
from samkit.bulk import running
from samkit.bulk.shards import Shard
from samkit.bulk.work import Outcome, Segmenter, Task
from samkit.weights import save_network

SETTINGS = {"preset": "recall", "points_per_side": 2}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    network = make(tiny_sam2())
    with torch.no_grad():  # objects are nearly always there
        network.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_network(network, path)
    return str(path)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images, of which one is damaged and one is empty."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 256, (30 + i, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    (folder / "5.png").write_bytes(b"no picture")
    (folder / "6.png").touch()
    return folder


def _inline(
    processes: int, tell: object, task: Task, shards: Sequence[Shard]
) -> Generator[Outcome, None, None]:
    yield from map(Segmenter(task).shard, shards)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs begin no processes, which takes seconds."""
    monkeypatch.setattr(running, "by_processes", _inline)


@pytest.fixture(scope="session")
def whole(photos: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of all photographs."""
    dest = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(running, "by_processes", _inline)
        bulk.run(photos, dest, model=model, settings=SETTINGS, shard_size=3)
    return dest


def rows(dest: Path) -> list[dict[str, object]]:
    return [
        row for path in sorted(dest.glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
