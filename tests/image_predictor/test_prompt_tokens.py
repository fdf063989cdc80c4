"""Points and boxes as tokens."""

import numpy as np
import pytest

from samkit.image_predictor.prompt_tokens import stack_tokens, tokens

POINTS = np.array([[1, 2], [3, 4]], np.float32)
LABELS = np.array([1, 0], np.int32)
BOXES = [np.array([5, 6, 7, 8], np.float32), np.array([9, 10, 11, 12], np.float32)]

# The corners of a box are 2 and 3.
CASES = [
    (2, 0, [[1, 2], [3, 4]], [1, 0]),
    (2, 1, [[1, 2], [3, 4], [5, 6], [7, 8]], [1, 0, 2, 3]),
    (0, 2, [[5, 6], [7, 8], [9, 10], [11, 12]], [2, 3, 2, 3]),
    (0, 0, [], []),
]


@pytest.mark.parametrize(("points", "boxes", "places", "kinds"), CASES)
def test_order(points: int, boxes: int, places: list[list[int]], kinds: list[int]) -> None:
    xy, labels = tokens(POINTS[:points], LABELS[:points], BOXES[:boxes])
    np.testing.assert_array_equal(xy, np.array(places, np.float32).reshape(-1, 2))
    np.testing.assert_array_equal(labels, np.array(kinds, np.int64))
    assert (xy.dtype, labels.dtype) == (np.float32, np.int64)


def test_shorter_ones_are_filled_with_absent_tokens() -> None:
    prompts = [tokens(POINTS, LABELS, []), tokens(POINTS[:0], LABELS[:0], BOXES)]
    points, labels = stack_tokens(prompts)
    assert labels.tolist() == [[1, 0, -2, -2], [2, 3, 2, 3]]
    assert points.shape == (2, 4, 2)
    assert points[0, 2:].tolist() == [[0, 0], [0, 0]]


def test_no_prompts() -> None:
    points, labels = stack_tokens([])
    assert (points.shape, labels.shape) == ((0, 0, 2), (0, 0))
