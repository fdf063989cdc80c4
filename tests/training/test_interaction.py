"""Corrections in training."""

import numpy as np

from samkit.training.interaction import _corrected


def test_some_prompts_of_each_image_are_corrected() -> None:
    chosen = _corrected(3, 5, 2, np.random.default_rng(0)).reshape(3, 2)
    assert (chosen // 5 == np.arange(3)[:, None]).all()
    assert (chosen[:, 0] != chosen[:, 1]).all()
    assert _corrected(3, 1, 2, np.random.default_rng(0)).tolist() == [0, 1, 2]
