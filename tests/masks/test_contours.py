"""Rings run along the edges of pixels."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samkit.errors import InputError
from samkit.masks import Masks, contours

pictures = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


def filled(mask: np.ndarray) -> np.ndarray:
    """Holes filled: all that the outside does not reach by steps to the side."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, regions = cv2.connectedComponents(outside, connectivity=4)
    return (regions != regions[0, 0])[1:-1, 1:-1]


@given(pictures)
def test_area_is_exact(mask: np.ndarray) -> None:
    rings = contours.outer_contours(mask)
    sizes = [contours.area(ring) for ring in rings]
    assert sum(sizes) == filled(mask).sum()
    assert sizes == sorted(sizes, reverse=True)
    for ring in rings:
        assert ring.dtype == np.float32
        assert len(ring) >= 4
        steps = np.roll(ring, -1, axis=0) - ring
        assert (np.count_nonzero(steps, axis=1) == 1).all(), "along pixel edges, no repeats"


@given(pictures)
def test_boxes_are_exact(mask: np.ndarray) -> None:
    rings = contours.outer_contours(mask)
    assert bool(rings) == mask.any()
    if rings:
        points = np.concatenate(rings)
        box = [*points.min(axis=0), *points.max(axis=0)]
        assert box == Masks(mask[None], [1]).boxes[0].tolist()


def test_known_rings() -> None:
    mask = np.zeros((4, 6), bool)
    assert contours.outer_contours(mask) == []
    mask[1, 2] = True
    (ring,) = contours.outer_contours(mask)
    assert sorted(ring.tolist()) == [[2, 1], [2, 2], [3, 1], [3, 2]]
    (ring,) = contours.outer_contours(np.ones((4, 6), bool))
    assert sorted(ring.tolist()) == [[0, 0], [0, 4], [6, 0], [6, 4]]


def test_simplified_rings_stay_near() -> None:
    y, x = np.mgrid[:200, :200]
    disc = (x - 100) ** 2 + (y - 90) ** 2 < 70**2
    (exact,) = contours.outer_contours(disc)
    (simple,) = contours.outer_contours(disc, 1.0)
    assert len(simple) < len(exact) / 3
    assert contours.area(simple) == pytest.approx(disc.sum(), rel=0.03)
    (kept,) = contours.outer_contours(disc, 1000.0)
    np.testing.assert_array_equal(kept, exact)


@given(pictures, st.floats(0, 50))
def test_no_part_is_lost(mask: np.ndarray, epsilon: float) -> None:
    rings = contours.outer_contours(mask, epsilon)
    assert len(rings) == len(contours.outer_contours(mask))
    assert all(len(ring) >= 3 and contours.area(ring) > 0 for ring in rings)


def test_polygons_of_masks(some: Masks) -> None:
    for held in (some, some.compressed()):
        polygons = held.polygons()
        assert len(polygons) == len(some)
        for mask, rings in zip(some, polygons, strict=True):
            assert sum(map(contours.area, rings)) == filled(mask.masks[0]).sum()


@pytest.mark.parametrize("epsilon", [-1, np.nan, np.inf])
def test_wrong_epsilon(some: Masks, epsilon: float) -> None:
    with pytest.raises(InputError, match="epsilon"):
        some.polygons(epsilon)
