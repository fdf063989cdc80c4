"""Embeddings, sessions and memories in which something else is written, and going on with them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile.mutations import changed_tensor_file
from hostile.networks import CLICK, PICTURES, predictor

from samkit import ImageEmbedding, MemoryPredictor, Prompt, VideoPredictor

ROUGH = Prompt.mask(np.tri(20, 30, dtype=bool))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of whole files."""
    folder = tmp_path_factory.mktemp("saved")
    predictor().embed(PICTURES[0]).save(folder / "embedding.safetensors")

    tracker = VideoPredictor(predictor(), PICTURES)
    tracker.prompt(0, 1, CLICK)
    tracker.prompt(0, 2, ROUGH + Prompt.box(2, 2, 40, 30))
    for frame, _ in tracker.track(stop=4):
        if frame == 2:
            tracker.prompt(2, 1, Prompt.point(40, 20, label=0))
    tracker.save(folder / "session.safetensors")

    memory = MemoryPredictor(predictor())
    memory.remember(PICTURES[0], {1: CLICK, -7: ROUGH})
    memory.remember(PICTURES[1], {1: Prompt.box(3, 3, 30, 30)})
    memory.save(folder / "memory.safetensors")
    return folder


def with_embedding(path: Path) -> None:
    embedding = ImageEmbedding.load(path)
    repr(embedding)
    masks = predictor().predict(embedding, [CLICK, ROUGH])
    np.asarray(masks.masks), np.asarray(masks.boxes)


def with_session(path: Path) -> None:
    tracker = VideoPredictor.load(path, predictor(), PICTURES)
    for frame, masks in tracker.track(start=4):
        assert len(masks) == len(tracker.object_ids), frame
    tracker.prompt(3, 5, CLICK)
    tracker.undo()


def with_memory(path: Path) -> None:
    memory = MemoryPredictor.load(path, predictor())
    np.asarray(memory.predict(PICTURES[2]).masks)
    memory.remember(PICTURES[3], {9: CLICK})


@pytest.mark.parametrize(
    ("kind", "use", "inputs"),
    [
        ("embedding", with_embedding, 200),
        ("session", with_session, 125),
        ("memory", with_memory, 125),
    ],
)
def test_tensor_files(
    hostile: Callable, saved: Path, kind: str, use: Callable[[Path], None], inputs: int
) -> None:
    def case(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
        path = folder / "a.safetensors"
        changed_tensor_file(rng, saved / f"{kind}.safetensors", path)
        return lambda: use(path)

    hostile(kind, case, inputs)
