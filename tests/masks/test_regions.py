"""Holes and parts, as scipy finds them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from samkit.errors import InputError
from samkit.masks import Masks

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))
CORNERS = np.ones((3, 3), int)


def clean(mask, **how):
    return Masks(mask[None], [0.5]).cleaned(**how).masks[0]


@given(MASKS)
def test_all_holes_are_filled_as_scipy_does(mask):
    assert np.array_equal(clean(mask, fill_holes=True), ndimage.binary_fill_holes(mask))


@given(MASKS, st.integers(1, 8))
def test_small_holes_are_filled_and_others_stay(mask, area):
    holes = ndimage.binary_fill_holes(mask) & ~mask
    labels, count = ndimage.label(holes, CORNERS)
    small = [i for i in range(1, count + 1) if (labels == i).sum() < area]
    assert np.array_equal(clean(mask, fill_holes=area), mask | np.isin(labels, small))


@given(MASKS)
def test_the_largest_part_is_one_part_and_no_smaller_than_any(mask):
    labels, count = ndimage.label(mask, CORNERS)
    sizes = np.bincount(labels.ravel())[1:]
    left = clean(mask, largest=True)
    assert not (left & ~mask).any()
    assert left.sum() == (sizes.max() if count else 0)
    assert ndimage.label(left, CORNERS)[1] == min(count, 1)


@given(MASKS, st.integers(1, 8))
def test_specks_go_but_never_the_whole_mask(mask, area):
    labels, _ = ndimage.label(mask, CORNERS)
    sizes = np.bincount(labels.ravel())
    large = np.flatnonzero(sizes >= area)
    left = clean(mask, min_area=area)
    if np.isin(labels, large[large > 0]).any():
        assert np.array_equal(left, np.isin(labels, large[large > 0]))
    else:
        assert left.sum() == sizes[1:].max(initial=0)


def test_fields_stay_and_boxes_follow():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 1:4, 1:4] = mask[0, 8, 8] = True
    given_boxes = Masks(mask, [0.5], object_ids=[7], presence=[2.0], boxes=[[0, 0, 9, 9]])
    for masks in (given_boxes, given_boxes.compressed()):
        left = masks.cleaned(min_area=2)
        assert left.boxes.tolist() == [[1, 1, 4, 4]]
        assert left.object_ids.tolist() == [7]
        assert left.presence.tolist() == [2]
        assert left.is_compressed == masks.is_compressed
    assert given_boxes.cleaned() is given_boxes
    assert len(Masks.empty((3, 4)).cleaned(largest=True)) == 0


@pytest.mark.parametrize(
    "how", [{"fill_holes": -1}, {"fill_holes": 1.5}, {"min_area": -1}, {"largest": "yes"}]
)
def test_bad_options(how):
    with pytest.raises(InputError, match=next(iter(how))):
        clean(np.ones((2, 2), bool), **how)
