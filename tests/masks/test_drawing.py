"""Pictures of masks."""

import io
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from samkit.errors import ImageError, InputError
from samkit.masks import Masks, drawing

GREY = np.full((40, 50, 3), 100, np.uint8)


def square(*, scores: tuple[float, ...] = (0.5,), ids: tuple[int, ...] = (1,)) -> Masks:
    """Squares of 20 pixels a side, each 5 pixels to the right of the one before."""
    stack = np.zeros((len(ids), 40, 50), bool)
    for i in range(len(ids)):
        stack[i, 10:30, 5 + 5 * i : 25 + 5 * i] = True
    return Masks(stack, scores, object_ids=ids)


def test_colours_are_stable_and_distinct() -> None:
    colours = [drawing.colour_of(i) for i in range(21)]
    assert colours[:2] == [(0, 114, 178), (230, 159, 0)]
    assert drawing.colour_of(21) == colours[0]
    assert drawing.colour_of(-1) == colours[20]
    for a, b in combinations(np.array(colours, float), 2):
        assert np.linalg.norm(a - b) > 25


def test_overlay_blends_inside_and_leaves_the_rest() -> None:
    masks = square()
    image = GREY.copy()
    for held in (masks, masks.compressed()):
        picture = held.overlay(image, outline=False)
        inside = masks.masks[0]
        expected = np.rint(50 + np.array(drawing.colour_of(1)) / 2)
        assert picture.dtype == np.uint8
        assert (picture[~inside] == 100).all()
        assert (picture[inside] == expected).all()
    np.testing.assert_array_equal(image, GREY)


@given(
    hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)),
    st.floats(0, 1),
    st.integers(0, 255),
)
def test_overlay_of_any_shape(mask: np.ndarray, alpha: float, value: int) -> None:
    image = np.full((*mask.shape, 3), value, np.uint8)
    picture = Masks(mask[None], [1], object_ids=[5]).overlay(image, alpha=alpha, outline=False)
    blended = np.rint(value * (1 - alpha) + np.array(drawing.colour_of(5)) * alpha)
    np.testing.assert_array_equal(picture, np.where(mask[:, :, None], blended, image))


def test_outline_is_the_rim() -> None:
    masks = square()
    picture = masks.overlay(GREY, alpha=0)
    rim = masks.masks[0].copy()
    rim[11:29, 6:24] = False
    assert (picture[rim] == drawing.colour_of(1)).all()
    assert (picture[~rim] == 100).all()
    whole = Masks(np.ones((1, 40, 50), bool), [1]).overlay(GREY, alpha=0)
    np.testing.assert_array_equal(whole, GREY)


def test_the_best_score_is_on_top() -> None:
    for scores, top in (((0.9, 0.5), 1), ((0.5, 0.9), 2), ((0.5, 0.5), 1)):
        picture = square(scores=scores, ids=(1, 2)).overlay(GREY, alpha=1, outline=False)
        assert tuple(picture[20, 15]) == drawing.colour_of(top)


def test_boxes_and_labels() -> None:
    masks = square()
    boxed = masks.overlay(GREY, alpha=0, outline=False, boxes=True)
    frame = masks.masks[0].copy()
    frame[11:29, 6:24] = False
    assert (boxed[frame] == drawing.colour_of(1)).all()
    assert (boxed[~frame] == 100).all()
    labelled = masks.overlay(GREY, alpha=0, outline=False, labels=True)
    assert (labelled != GREY).any()
    named = Masks(masks.masks, masks.scores, object_ids=masks.object_ids, names=["cup"])
    assert (named.overlay(GREY, alpha=0, outline=False, labels=True) != labelled).any()
    nothing = Masks(np.zeros((1, 40, 50), bool), [1])
    np.testing.assert_array_equal(nothing.overlay(GREY, boxes=True, labels=True), GREY)
    Masks(np.ones((1, 2, 2), bool), [1]).overlay(GREY[:2, :2], boxes=True, labels=True)


def test_any_source_of_an_image(tmp_path: Path) -> None:
    masks = square()
    Image.fromarray(GREY).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", Image.fromarray(GREY), GREY[:, :, 0]):
        np.testing.assert_array_equal(masks.overlay(source), masks.overlay(GREY))


def test_no_masks_change_nothing() -> None:
    np.testing.assert_array_equal(Masks.empty((40, 50)).overlay(GREY, labels=True), GREY)


def test_wrong_images_and_alphas() -> None:
    masks = square()
    with pytest.raises(InputError, match=r"\(40, 50\) \(height, width\), got \(50, 40\)"):
        masks.overlay(GREY.transpose(1, 0, 2))
    with pytest.raises(ImageError):
        masks.overlay("none.png")
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="alpha"):
            masks.overlay(GREY, alpha=alpha)


def test_picture_in_notebooks(some: Masks) -> None:
    for held in (some, some.compressed()):
        picture = Image.open(io.BytesIO(held._repr_png_()))
        assert picture.size == some.image_size[::-1]
    large = Image.open(io.BytesIO(Masks.empty((1000, 2000))._repr_png_()))
    assert large.size == (800, 400)
