"""Prompts, and a comparison of results."""

import numpy as np

from samkit import Prompt

__all__ = ["AWAY", "BOX", "CLICK", "same"]

BOX, CLICK, AWAY = Prompt.box(5, 10, 20, 30), Prompt.point(12, 14), Prompt.point(3, 3, label=0)


def same(a, b):
    """Masks that are equal bit by bit."""
    fields = ("masks", "scores", "presence", "logits", "object_ids", "prompt_index")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in fields)
