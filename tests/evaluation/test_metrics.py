import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from samkit.errors import InputError
from samkit.evaluation import bounding_box, mask_iou

pairs = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.tuples(arrays(bool, size), arrays(bool, size))
)


@given(pairs)
def test_iou_agrees_with_pycocotools(pair):
    a, b = pair
    runs = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in pair]
    expected = coco.iou(runs[:1], runs[1:], [0])[0, 0] if a.any() or b.any() else 1.0
    assert mask_iou(a, b) == pytest.approx(expected)


@given(pairs)
def test_ignored_pixels_do_not_count(pair):
    a, b = pair
    assert mask_iou(a, b, ignore=a != b) == 1


def test_many_pairs_at_once():
    a = np.array([[[True, False]], [[True, True]]])
    assert mask_iou(a, a[1]).tolist() == [0.5, 1.0]
    assert mask_iou(a[:0], a[1]).shape == (0,)


@given(arrays(bool, (5, 7)))
def test_a_bounding_box_is_tight(mask):
    if not mask.any():
        with pytest.raises(InputError, match="empty"):
            bounding_box(mask)
        return
    x0, y0, x1, y1 = bounding_box(mask)
    inside = mask[y0:y1, x0:x1]
    assert inside.sum() == mask.sum()
    assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


@pytest.mark.parametrize(
    ("a", "b", "ignore", "message"),
    [
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2), bool), None, "predicted: expected masks of"),
        (np.zeros((2, 3), bool), np.zeros((2, 2), bool), None, r"size \(2, 2\)"),
        (np.zeros(2, bool), np.zeros(2, bool), None, "got shape"),
        (np.zeros((2, 2), bool), np.zeros((2, 2), bool), np.zeros((1, 2), bool), "ignore"),
    ],
)
def test_bad_masks(a, b, ignore, message):
    with pytest.raises(InputError, match=message):
        mask_iou(a, b, ignore)
