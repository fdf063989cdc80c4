import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from samkit.errors import InputError
from samkit.geometry import checked_size, mask_boxes

SIDE = 8
corner = st.integers(0, SIDE)


@st.composite
def pixel_boxes(draw: st.DrawFn, max_size: int = 4) -> np.ndarray:
    """Boxes (N, 4) on whole pixels of a SIDE x SIDE image; some are empty."""
    pairs = st.tuples(corner, corner).map(sorted)
    rows = draw(st.lists(st.tuples(pairs, pairs), max_size=max_size))
    return np.array([(x[0], y[0], x[1], y[1]) for x, y in rows], np.float32).reshape(-1, 4)


def painted(box: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = box.astype(int)
    canvas = np.zeros((SIDE, SIDE), bool)
    canvas[y0:y1, x0:x1] = True
    return canvas


@given(npst.arrays(np.bool_, st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 6))))
def test_mask_boxes(masks: np.ndarray) -> None:
    boxes = mask_boxes(masks)
    assert boxes.shape == (len(masks), 4)
    assert boxes.dtype == np.float32
    for mask, box in zip(masks, boxes, strict=True):
        ys, xs = np.nonzero(mask)
        tight = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else [0, 0, 0, 0]
        assert box.tolist() == tight


@given(pixel_boxes())
def test_mask_boxes_find_painted_boxes(boxes: np.ndarray) -> None:
    masks = np.array([painted(box) for box in boxes], bool).reshape(-1, SIDE, SIDE)
    expected = [box if mask.any() else box * 0 for box, mask in zip(boxes, masks, strict=True)]
    np.testing.assert_array_equal(mask_boxes(masks), np.reshape(expected, (-1, 4)))


@pytest.mark.parametrize("bad", [np.zeros((4, 4), bool), np.zeros((1, 4, 4), np.uint8)])
def test_masks_of_wrong_shape_or_type(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"expected bool of shape \(N, H, W\)"):
        mask_boxes(bad)


@pytest.mark.parametrize("size", [(3, 4), [3, 4], np.array([3, 4]), torch.tensor([3, 4])])
def test_a_size_is_two_whole_numbers(size: object) -> None:
    assert checked_size(size, "size") == (3, 4)


@pytest.mark.parametrize(
    "size",
    [
        None,
        5,
        (3,),
        (3, 4, 5),
        (0, 4),
        (3.0, 4.0),
        "34",
        [[3], [4, 5]],
        (True, 4),
        [4, True],
        (np.True_, 4),
    ],
)
def test_no_size(size: object) -> None:
    with pytest.raises(InputError, match=r"size: expected \(height, width\)"):
        checked_size(size, "size")
