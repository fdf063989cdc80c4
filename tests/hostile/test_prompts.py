"""Prompts of wrong shapes, types and values, and what networks make of those that are taken."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from hostile.harness import pick
from hostile.mutations import HOSTILE_VALUES, changed_json
from hostile.networks import CLICK, PICTURES, predictor
from PIL import Image

from samkit import Prompt

NUMBERS = (0, 1, -1, 63.5, 64, 1e4, 1e9, 3e38, 1e39, 1e300, -1e300, np.nan, np.inf, -np.inf, 2**63)
DICTS = [
    (CLICK + Prompt.point(3, 4, label=0) + Prompt.box(2, 3, 40, 30)).to_dict(),
    Prompt.mask(np.eye(6, dtype=bool)).to_dict(),
    (Prompt.mask(np.linspace(-3, 3, 30).reshape(5, 6)) + CLICK).to_dict(),
]


def some_number(rng: np.random.Generator, share: float) -> object:
    """A coordinate in the picture; of a share of them something else."""
    if rng.random() >= share:
        return float(rng.random() * 64)
    return pick(rng, NUMBERS) if rng.random() < 0.7 else pick(rng, HOSTILE_VALUES)


def some_array(rng: np.random.Generator, shape: tuple[int, ...]) -> object:
    """Numbers in an array, tensor or list, sometimes of another shape, or with an odd value."""
    if rng.random() < 0.2:
        shape = pick(rng, ((), (0,), (2,), (1, 2), (2, 3), (4,), (0, 2), (5, 6), (1, 1, 2)))
    array = np.asarray(rng.random(shape) * pick(rng, (1, 64, 64, 64, -64, 1e5, 1e30, 1e300)))
    if array.size and rng.random() < 0.2:
        array.flat[0] = pick(rng, (np.nan, np.inf, 0, -1))
    dtypes = ("f8", "f4", ">f8", "f2", "i8", "u1", "?", "c16", "U4", "O")
    with np.errstate(all="ignore"):
        array = array.astype(pick(rng, dtypes) if rng.random() < 0.5 else "f8")
    way = rng.integers(6)
    if way == 0:
        return array.tolist()
    if way == 1 and array.dtype.kind in "f" and array.dtype.isnative:
        return torch.from_numpy(array)
    if way == 2 and array.dtype == np.uint8 and array.ndim == 2 and array.size:
        return Image.fromarray(array)
    return array


def make(rng: np.random.Generator) -> Callable[[], Prompt]:
    way = rng.integers(6)
    if way == 0:
        numbers = [some_number(rng, 0.2), some_number(rng, 0.2), pick(rng, (0, 1, 1, *NUMBERS))]
        return lambda: Prompt.point(*numbers)
    if way == 1:
        points, labels = some_array(rng, (3, 2)), pick(rng, ([1, 0, 1], some_array(rng, (3,))))
        given = [points] if rng.random() < 0.5 else [points, labels]
        return lambda: Prompt.points(*given)
    if way == 2:
        corners = [0, some_number(rng, 0.1), *(some_number(rng, 0.2) for _ in range(2))]
        return lambda: Prompt.box(*corners)
    if way == 3:
        array = some_array(rng, (5, 6))
        return lambda: Prompt.mask(array)
    if way == 4:
        fields = {
            "point_coords": (1, 2),
            "point_labels": (1,),
            "box_xyxy": (4,),
            "mask_input": (5, 6),
        }
        values = {name: some_array(rng, shape) for name, shape in fields.items()}
        values = {name: value for name, value in values.items() if rng.random() < 0.5}
        return lambda: Prompt(**values)
    values = changed_json(rng, pick(rng, DICTS))
    return lambda: Prompt.from_dict(values)


def prompts(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    first, second = make(rng), make(rng)
    embedding = predictor().embed(PICTURES[0])
    candidates = pick(rng, (1, 3, 3, *HOSTILE_VALUES)) if rng.random() < 0.2 else 1
    extra = pick(rng, HOSTILE_VALUES)

    def call() -> None:
        prompt = first()
        repr(prompt), hash(prompt), prompt == Prompt.from_dict(prompt.to_dict())
        prompt = prompt + second() if rng.random() < 0.3 else prompt
        given = pick(rng, (prompt, [prompt, CLICK], [prompt] * 9, [prompt, extra]))
        masks = predictor().predict(embedding, given, candidates=candidates)
        assert np.isfinite(masks.scores).all()
        assert np.isfinite(masks.boxes).all()

    return call


def test_prompts(hostile) -> None:
    predictor()
    hostile("prompts", prompts, 450)
