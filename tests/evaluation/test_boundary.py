import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from samkit.errors import InputError
from samkit.evaluation import boundary_f
from samkit.evaluation.boundary import boundary_pixels

pairs = st.tuples(st.integers(1, 60), st.integers(1, 60)).flatmap(
    lambda size: st.tuples(arrays(bool, size), arrays(bool, size))
)


def plain_boundary(mask):
    """Pixel by pixel; outside the image a neighbour is like the pixel itself."""
    height, width = mask.shape
    found = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            neighbours = [(y, x + 1), (y + 1, x)]
            if y + 1 < height and x + 1 < width:
                neighbours.append((y + 1, x + 1))
            found[y, x] = any(
                mask[v, u] != mask[y, x] for v, u in neighbours if v < height and u < width
            )
    return found


@given(arrays(bool, (6, 7)))
def test_boundary_pixels(mask):
    assert np.array_equal(boundary_pixels(mask), plain_boundary(mask))


@given(pairs)
def test_f_agrees_with_distances(pair):
    a, b = pair
    found, wanted = boundary_pixels(a), boundary_pixels(b)
    if not found.any() or not wanted.any():
        assert boundary_f(a, b) == float(found.any() == wanted.any())
        return
    radius = math.ceil(0.008 * math.hypot(*a.shape))
    precision = (distance_transform_edt(~wanted)[found] <= radius).mean()
    recall = (distance_transform_edt(~found)[wanted] <= radius).mean()
    expected = 2 * precision * recall / (precision + recall) if precision + recall else 0
    assert boundary_f(a, b) == pytest.approx(expected)


def test_tolerance_is_a_part_of_the_diagonal():
    y, x = np.mgrid[:600, :800]
    square = (abs(x - 400) < 100) & (abs(y - 300) < 100)
    assert boundary_f(np.roll(square, 8, 1), square) == 1  # 0.008 * 1000 = 8
    assert boundary_f(np.roll(square, 9, 1), square) < 0.8


def test_ignored_pixels_belong_to_neither():
    a, b = np.zeros((2, 50, 50), bool)
    a[10:30, 10:30] = b[10:30, 10:20] = True
    ignore = np.zeros((50, 50), bool)
    ignore[:, 20:] = True
    assert boundary_f(a, b) < 1
    assert boundary_f(a, b, ignore) == 1


def test_wrong_shapes():
    with pytest.raises(InputError, match="one size"):
        boundary_f(np.zeros((3, 4), bool), np.zeros((4, 3), bool))
