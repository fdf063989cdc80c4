import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from samkit.errors import InputError
from samkit.geometry import box_area, box_iou, clip_boxes, mask_boxes

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


@given(pixel_boxes())
def test_area_counts_pixels(boxes: np.ndarray) -> None:
    assert box_area(boxes).tolist() == [painted(box).sum() for box in boxes]


def test_area_of_swapped_corners_is_zero() -> None:
    assert box_area([[5, 5, 1, 1], [5, 1, 1, 5]]).tolist() == [0, 0]


def test_area_is_exact_on_large_images() -> None:
    assert box_area(np.array([[0, 0, 60_001, 60_001]], np.float32)) == [60_001**2]


@given(pixel_boxes(), pixel_boxes())
def test_iou_counts_pixels(a: np.ndarray, b: np.ndarray) -> None:
    iou = box_iou(a, b)
    assert iou.shape == (len(a), len(b))
    for i, first in enumerate(a):
        for j, second in enumerate(b):
            union = (painted(first) | painted(second)).sum()
            shared = (painted(first) & painted(second)).sum()
            assert iou[i, j] == pytest.approx(shared / union if union else 0)


@given(npst.arrays(np.float32, (3, 4), elements=st.floats(-50, 50, width=32)))
def test_iou_of_any_boxes_is_a_fraction(boxes: np.ndarray) -> None:
    iou = box_iou(boxes, boxes)
    assert (iou >= 0).all()
    assert (iou <= 1 + 1e-9).all()
    np.testing.assert_array_equal(iou, iou.T)


@given(
    npst.arrays(
        np.float32, st.tuples(st.integers(0, 4), st.just(4)), elements=st.floats(-20, 20, width=32)
    )
)
def test_clip(rows: list[tuple[float, ...]]) -> None:
    boxes = np.array(rows, np.float32).reshape(-1, 4)
    before = boxes.copy()
    clipped = clip_boxes(boxes, (5, 9))
    np.testing.assert_array_equal(boxes, before)
    assert clipped.dtype == np.float32
    expected = [
        [min(max(v, 0), top) for v, top in zip(b, (9, 5, 9, 5), strict=True)] for b in boxes
    ]
    np.testing.assert_array_equal(clipped, np.reshape(expected, (-1, 4)))


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
    expected = boxes * (box_area(boxes) > 0)[:, None]
    np.testing.assert_array_equal(mask_boxes(masks), expected)


@pytest.mark.parametrize("bad", [[1, 2, 3, 4], [[1, 2, 3]], 5, np.zeros((1, 1, 4))])
def test_boxes_of_wrong_shape(bad: object) -> None:
    good = np.zeros((1, 4))
    for call in (box_area, lambda b: box_iou(b, good), lambda b: box_iou(good, b)):
        with pytest.raises(InputError, match=r"expected shape \(N, 4\), got"):
            call(bad)
    with pytest.raises(InputError, match="boxes"):
        clip_boxes(bad, (4, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.zeros((4, 4), bool), np.zeros((1, 4, 4), np.uint8)])
def test_masks_of_wrong_shape_or_type(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"expected bool of shape \(N, H, W\)"):
        mask_boxes(bad)
