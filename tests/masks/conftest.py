"""Small random masks, the same in every run."""

from typing import Any

import numpy as np
import pytest

from samkit.masks import Masks

SIZE = (9, 13)


def make_masks(count: int, *, full: bool = True, seed: int = 0) -> Masks:
    rng = np.random.default_rng(seed)
    fields: dict[str, Any] = {}
    if full:
        fields = {
            "object_ids": rng.permutation(count) + 3,
            "prompt_index": rng.integers(0, 3, count),
            "presence": rng.normal(size=count),
            "stability": rng.random(count),
            "points": rng.random((count, 2)) * 9,
            "crop_boxes": rng.random((count, 4)) * 9,
            "logits": rng.normal(size=(count, 4, 5)),
        }
    return Masks(rng.random((count, *SIZE)) < 0.4, rng.random(count), **fields)


@pytest.fixture(params=[0, 1, 4])
def some(request: pytest.FixtureRequest) -> Masks:
    """Zero, one or many masks with every field."""
    return make_masks(request.param)
