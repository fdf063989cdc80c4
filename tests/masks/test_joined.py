"""Several rings as one polygon."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samkit.masks.contours import area, joined, outer_contours


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_as_large_as_all_of_them(seed, count):
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 50), bool)
    for x, y in rng.integers(0, 36, (count, 2)):
        mask[y : y + 3, x : x + 4] = True
    rings = outer_contours(mask)
    one = joined(rings)
    assert one.shape[1] == 2
    assert one.dtype == np.float32
    assert area(one) == pytest.approx(sum(area(ring) for ring in rings), abs=1e-3)


def test_lines_between_cover_nothing():
    """Filled on a finer grid, the polygon is the mask."""
    mask = np.zeros((20, 30), bool)
    mask[2:6, 2:8] = mask[12:18, 20:28] = mask[3:5, 25:29] = mask[15:17, 3:6] = True
    fine = np.zeros((20 * 8, 30 * 8), np.uint8)
    polygon = (joined(outer_contours(mask)) * 8).astype(np.int32)
    cv2.fillPoly(fine, [polygon], 1)
    centres = fine[4::8, 4::8] > 0
    # OpenCV draws outlines too, so that lines there and back are a pixel of the fine grid wide.
    assert (centres & ~mask).mean() < 0.03
    assert centres[mask].all()


def test_none_and_one():
    assert joined([]).shape == (0, 2)
    (ring,) = outer_contours(np.ones((3, 4), bool))
    assert np.array_equal(joined([ring]), ring)
