"""What is no path, wherever one is taken: an error of our own, and nothing is left behind."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import make, tiny_sam2

import samkit
from samkit import ImagePredictor, MemoryPredictor, Prompt, VideoPredictor, training
from samkit.errors import SamkitError
from samkit.media import list_images, write_atomically
from samkit.media.writing import check_writable
from samkit.sizes import to_dict
from samkit.weights import convert, load_network, save_network
from samkit.weights.checkpoint import read_state_dict

NONE = [None, b"x", 3, 1.5, ["x"], {}, "", "a\0b", "\ud800", Ellipsis, np.zeros(2)]


@pytest.fixture(scope="module")
def predictor() -> ImagePredictor:
    return ImagePredictor(make(tiny_sam2()), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def uses(predictor: ImagePredictor) -> dict[str, Callable[[Any], Any]]:
    image = np.zeros((20, 30, 3), np.uint8)
    video = VideoPredictor(predictor)
    video.step(image, {1: Prompt.point(5, 5)})
    memory = MemoryPredictor(predictor)
    memory.remember(image, {1: Prompt.point(5, 5)})
    config = training.fine_tuning(to_dict(predictor.network.config), "data", steps=1)

    def written(path: Any) -> None:
        with write_atomically(path) as temporary:
            temporary.write_text("x")

    return {
        "load": samkit.load,
        "load_network": load_network,
        "read_state_dict": read_state_dict,
        "convert from": lambda path: convert(path, "y", layout="samkit"),
        "convert to": lambda path: convert("pico", path, layout="samkit"),
        "convert to a folder": lambda path: convert("pico", path, layout="hugging-face"),
        "save_network": lambda path: save_network(predictor.network, path),
        "VideoPredictor.save": video.save,
        "VideoPredictor.load": lambda path: VideoPredictor.load(path, predictor),
        "MemoryPredictor.save": memory.save,
        "MemoryPredictor.load": lambda path: MemoryPredictor.load(path, predictor),
        "fine_tuning": lambda path: training.fine_tuning(config.network, path, steps=1),
        "preset": lambda path: training.preset("pico", path, steps=1),
        "train": lambda path: next(training.train(config, path)),
        "write_atomically": written,
        "check_writable": check_writable,
        "list_images": list_images,
    }


def test_files_of_the_system_that_refuse(
    uses: dict[str, Callable[[Any], Any]], tmp_path: Path
) -> None:
    path = Path("/proc/self/mem")
    if not path.exists():
        pytest.skip("this system has no such file")
    for suffix in (".png", ".pt", ".safetensors", ".json", ".npz"):
        (tmp_path / f"memory{suffix}").symlink_to(path)
    before = len(os.listdir("/proc/self/fd"))
    readers = [
        samkit.read_image,
        samkit.Masks.load,
        samkit.ImageEmbedding.load,
        *(use for name, use in uses.items() if name.endswith(("load", "load_network", "dict"))),
    ]
    for link in sorted(tmp_path.iterdir()):
        for read in readers:
            with pytest.raises(SamkitError, match=r"cannot|expected"):
                read(str(link))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("path", NONE, ids=lambda path: repr(path)[:12])
def test_paths_that_are_none(
    uses: dict[str, Callable[[Any], Any]], path: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, use in uses.items():
        if isinstance(path, list) and name in ("fine_tuning", "list_images"):
            continue  # they take several
        with pytest.raises(SamkitError, match="expected"):
            use(path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["/dev/null", "/dev/null/x", "x" * 300, "."])
def test_paths_of_something_else(
    uses: dict[str, Callable[[Any], Any]], path: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, use in uses.items():
        if name in ("fine_tuning", "preset") or (name, path) == ("convert to a folder", "."):
            continue
        with pytest.raises(SamkitError):
            use(path)
    assert os.listdir(tmp_path) == []


def test_results_that_shrink_after_they_were_read(
    predictor: ImagePredictor, tmp_path: Path
) -> None:
    """Mapped files would end the process."""
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    video = VideoPredictor(predictor)
    video.step(image, {1: Prompt.point(5, 5)})
    video.save(tmp_path / "session.safetensors")
    memory = MemoryPredictor(predictor)
    memory.remember(image, {1: Prompt.point(5, 5)})
    memory.save(tmp_path / "memory.safetensors")
    save_network(predictor.network, tmp_path / "network.safetensors")
    again = VideoPredictor.load(tmp_path / "session.safetensors", predictor)
    found = MemoryPredictor.load(tmp_path / "memory.safetensors", predictor)
    network = load_network(tmp_path / "network.safetensors")
    for path in tmp_path.iterdir():
        os.truncate(path, 0)
    assert len(again.step(image)) == 1
    assert len(found.predict(image)) == 1
    assert all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values())
