"""A disk that fills up: every writer says so, leaves nothing behind and keeps what was there."""

import os
import signal
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile.harness import Tally, leftovers
from hostile.writers import NAMES as COMMANDS
from hostile.writers import Failed, Whole, contents, exits_with, start
from tiny import make, tiny_sam2
from videos import make_video

from samkit import ImagePredictor, Masks, MemoryPredictor, Prompt, VideoPredictor
from samkit.errors import InputError, SamkitError
from samkit.media import write_image
from samkit.media.video_writer import VideoWriter
from samkit.weights import save_network
from samkit.weights.tensor_file import write_torch

resource = pytest.importorskip("resource")

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
MASKS = Masks(NOISE.transpose(2, 0, 1) > 127, [1, 1, 1], object_ids=[1, 2, 3])
CLICK = Prompt.point(10, 10)
OURS = 3  # exit code of a child that ends with an error of ours
TIMES = 1  # rooms for each writer; with `-m hostile` twenty times as many


@contextmanager
def room_for(count: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as if the disk were full then."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@cache
def predictor() -> ImagePredictor:
    return ImagePredictor(make(tiny_sam2()), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[Path], object]]:
    """By the name of the file; what they write is made beforehand, where there is room."""
    embedding = predictor().embed(NOISE)
    memory = MemoryPredictor(predictor())
    memory.remember(embedding, {1: CLICK})
    tracker = VideoPredictor(predictor(), make_video(tmp_path_factory.mktemp("clip") / "a.mkv", 2))
    tracker.prompt(0, 1, CLICK)

    def write_video(path: Path) -> None:
        with VideoWriter(path) as writer:
            for _ in range(5):
                writer.write(NOISE)

    return {
        "a.png": lambda path: write_image(path, NOISE),
        "a.jpg": lambda path: write_image(path, NOISE),
        "a.tif": lambda path: write_image(path, NOISE),
        "a.webp": lambda path: write_image(path, NOISE),
        "mask.png": lambda path: MASKS.save(path),
        "masks.npz": lambda path: MASKS.save(path),
        "masks.json": lambda path: MASKS.save(path),
        "overlay.jpg": lambda path: MASKS.save(path, format="overlay", image=NOISE),
        "video.mp4": write_video,
        "embedding.safetensors": embedding.save,
        "session.safetensors": tracker.save,
        "memory.safetensors": memory.save,
        "network.safetensors": lambda path: save_network(predictor().network, path),
        "state.pt": lambda path: write_torch(path, {"weight": torch.ones(1000)}),
    }


FILES = (
    "a.png", "a.jpg", "a.tif", "a.webp", "mask.png", "masks.npz", "masks.json", "overlay.jpg",
    "video.mp4", "embedding.safetensors", "session.safetensors", "memory.safetensors",
    "network.safetensors", "state.pt",
)  # fmt: skip


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_every_writer(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    writers: dict[str, Callable[[Path], object]],
    name: str,
    existing: bool,
) -> None:
    elsewhere = tmp_path_factory.mktemp("whole") / name
    writers[name](elsewhere)
    whole = elsewhere.stat().st_size
    path = tmp_path / name
    if existing:
        path.write_bytes(b"old")
    for room in (0, 1, 100, whole // 2, whole - 1):
        with room_for(room), pytest.raises(InputError, match="cannot write"):
            writers[name](path)
        assert os.listdir(tmp_path) == ([name] if existing else [])
        assert not existing or path.read_bytes() == b"old"


@pytest.mark.parametrize("name", COMMANDS)
def test_room_for_a_part(
    name: str, whole: Callable[[str], Whole], part: int, tallies: dict[str, Tally], tmp_path: Path
) -> None:
    """Files that fit are whole, the others are not there, and the error is ours."""
    expected = whole(name)
    largest = max(map(len, expected.files.values()))
    nowhere = Path(os.devnull)  # or the room would hold for what is printed too

    def run(folder: Path, room: int) -> None:
        with room_for(room):
            try:
                expected.writer.run(folder)
            except (SamkitError, Failed):
                sys.exit(OURS)

    for number in range(part * TIMES, (part + 1) * TIMES):
        rng = np.random.default_rng([zlib.crc32(name.encode()), number])
        folder, room = tmp_path / str(number), int(rng.integers(largest))
        folder.mkdir()
        code = exits_with(start(partial(run, folder, room), nowhere), nowhere)
        broken = expected.broken(folder)
        tallies["full disk"].partial += len(broken)
        ends = {0: "result", OURS: "error of ours"}
        tallies["full disk"].add(number, ends.get(code, "uncaught"), name)
        assert (broken, leftovers(folder)) == ([], []), f"{number}: room for {room} bytes"
        assert code in ends, f"{number}: room for {room} bytes"
        assert code == OURS or contents(folder).keys() == expected.files.keys()
