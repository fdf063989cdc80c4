"""Which masks are kept, against plain ways to say the same."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mask_generator import reference

from samkit.mask_generator.crops import crops_of
from samkit.mask_generator.selection import near_inner_edge, non_maximum_suppression
from samkit.masks.regions import without_small_regions

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))


@given(
    st.lists(st.tuples(*[st.integers(0, 12)] * 4, st.integers(0, 5)), max_size=25),
    st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]),
)
def test_suppression_is_the_plain_loop(rows, threshold):
    corners = np.array([row[:4] for row in rows], float).reshape(-1, 4)
    boxes = np.concatenate(
        [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1
    )
    scores = np.array([row[4] for row in rows], float)
    kept = non_maximum_suppression(boxes, scores, threshold)
    assert kept.tolist() == reference.nms(boxes, scores, threshold)


@settings(max_examples=200)
@given(MASKS, st.integers(0, 30))
def test_small_regions_are_removed_as_scipy_finds_them(mask, area):
    before = mask.copy()
    cleaned, changed = without_small_regions(mask, area)
    expected = reference.small_regions_removed(mask, area)
    if 0 < expected.sum() < area:  # of several largest ones either may stay
        assert cleaned.sum() == expected.sum()
    else:
        assert np.array_equal(cleaned, expected)
    assert np.array_equal(mask, before)
    if not changed:
        assert np.array_equal(cleaned, mask)


def test_of_small_parts_the_largest_stays():
    mask = np.zeros((9, 9), bool)
    mask[1, 1] = mask[4:6, 4:6] = True
    cleaned, changed = without_small_regions(mask, 10)
    assert changed
    assert cleaned.sum() == 4
    assert cleaned[4, 4]


def test_edges():
    crop, size = (100, 0, 200, 80), (80, 300)
    boxes = np.array(
        [
            [130, 30, 170, 50],  # inside
            [105, 30, 170, 50],  # at the crop's left edge
            [130, 5, 170, 50],  # at the top, which is the image's
            [130, 30, 195, 79],  # at the crop's right edge
        ]
    )
    assert near_inner_edge(boxes, crop, size).tolist() == [False, True, False, True]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2), st.floats(0, 0.6))
def test_crops_are_the_published_ones(height, width, layers, overlap):
    ours = [(crop.layer, crop.box) for crop in crops_of((height, width), layers, overlap)]
    published = reference.crop_boxes(height, width, layers, overlap)
    full = [(layer, box) for layer, box in published if box[0] < box[2] and box[1] < box[3]]
    assert ours == full
    if len(full) == len(published):
        seen = np.zeros((height, width), bool)
        for layer, (x0, y0, x1, y1) in ours:
            if layer == layers:
                seen[y0:y1, x0:x1] = True
        assert seen.all()
