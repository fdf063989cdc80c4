"""Small random masks, the same in every run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from samkit.masks import Masks

SIZE = (9, 13)


def make_masks(count: int, *, full: bool = True, seed: int = 0) -> Masks:
    rng = np.random.default_rng(seed)
    fields: dict[str, Any] = {}
    if full:
        fields = {
            "object_ids": rng.permutation(count) + 3,
            "prompt_index": rng.integers(0, 3, count),
            "candidates": rng.integers(0, 3, count),
            "presence": rng.normal(size=count),
            "stability": rng.random(count),
            "points": rng.random((count, 2)) * 9,
            "crop_boxes": rng.random((count, 4)) * 9,
            "names": [f"kind {i % 2}" for i in range(count)],
            "logits": rng.normal(size=(count, 4, 5)),
        }
    return Masks(rng.random((count, *SIZE)) < 0.4, rng.random(count), **fields)


@pytest.fixture(params=[0, 1, 4])
def some(request: pytest.FixtureRequest) -> Masks:
    """Zero, one or many masks with every field."""
    return make_masks(request.param)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def json_places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value: what holds it, and the key there."""
    places = []
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        places.append((value, key))
        if isinstance(value[key], (dict, list)):
            places += json_places(value[key])
    return places


@pytest.fixture
def spoilt() -> Callable[[st.DataObject, Any], None]:
    """Put something else into one place of a JSON value."""

    def spoilt(data: st.DataObject, value: Any) -> None:
        holder, key = data.draw(st.sampled_from(json_places(value)))
        holder[key] = data.draw(JSON_VALUES)

    return spoilt
