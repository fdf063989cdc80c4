"""Prompts of all kinds on a small photo."""

import numpy as np

from samkit.masks import Masks
from samkit.prompts import Prompt

CLICK = Prompt.point(30, 20)
CLICKS = Prompt.point(30, 20) + Prompt.point(50.5, 8, label=0)
BOX = Prompt.box(10, 5, 60, 40)
MASK = Prompt.mask(np.indices((50, 80)).sum(0) % 37 > 17)
LOGITS = Prompt.mask(np.random.default_rng(3).normal(0, 5, (17, 23)))
ALL = [CLICK, CLICKS, BOX, BOX + CLICKS, MASK, MASK + CLICK, LOGITS + BOX]


def photo(height: int = 50, width: int = 80, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def assert_same(a: Masks, b: Masks, *, exact: bool = False) -> None:
    """Equal but for rounding: logits relative to their scale, pixels but for a few."""
    assert len(a) == len(b)
    assert a.logits is not None
    assert b.logits is not None
    np.testing.assert_allclose(a.scores, b.scores, atol=0 if exact else 1e-5)
    scale = 0 if exact else 1e-5 * np.abs(b.logits).max()
    np.testing.assert_allclose(a.logits, b.logits, rtol=0, atol=scale)
    assert (a.masks != b.masks).mean() <= (0 if exact else 1e-3)
