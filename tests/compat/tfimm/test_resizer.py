"""From an image to a network's input and back."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from samkit.compat.tfimm import ImageResizer
from samkit.errors import ImageError, InputError, PromptError

sides = st.integers(8, 90)
sizes = st.tuples(sides, sides)


@st.composite
def resizers(draw: st.DrawFn) -> ImageResizer:
    src = draw(sizes)
    if draw(st.booleans()):
        extra = draw(st.tuples(st.integers(0, 30), st.integers(0, 30)))
        return ImageResizer(src, (src[0] + extra[0], src[1] + extra[1]), pad_only=True)
    return ImageResizer(src, draw(sizes))


def slope(size: tuple[int, int], span: float = 255.0) -> np.ndarray:
    """An image (H, W, 2) float32: how far down and to the right a pixel's centre is."""
    axes = ((np.arange(side) + 0.5) / side * span for side in size)
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).astype(np.float32)


@settings(max_examples=60)
@given(resizers())
def test_an_image_comes_back(resizer: ImageResizer) -> None:
    """A slope comes back within a pixel of the coarser of the two sizes."""
    image = slope(resizer.src_size)
    scaled = resizer.scale_image(image)
    for there in (scaled, resizer.pad_image(scaled)):
        back = resizer.unscale_image(there)
        assert back.shape == image.shape
        for axis in (0, 1):
            coarse = min(resizer.src_size[axis], resizer.rescaled_size[axis])
            assert np.abs(back[..., axis] - image[..., axis]).max() <= 255 / coarse


@settings(max_examples=60)
@given(resizers(), st.data())
def test_boxes_come_back_through_masks(resizer: ImageResizer, data: st.DataObject) -> None:
    """A box, scaled, drawn in the network's input, and found in the mask of the image."""
    (H0, W0), (h, w) = resizer.src_size, resizer.rescaled_size
    if min(h, w) < 4:
        return
    # At least three pixels of the coarser size, or it may fall between them.
    box = []
    for side, scaled in ((W0, w), (H0, h)):
        least = int(np.ceil(3 * max(1, side / scaled)))
        if least > side:
            return
        low = data.draw(st.integers(0, side - least))
        box.append((low, data.draw(st.integers(low + least, side))))
    (x0, x1), (y0, y1) = box
    there = resizer.scale_boxes([[x0, y0, x1, y1]])[0]
    H, W = resizer.dst_size
    y, x = np.indices((H, W)) + 0.5
    inside = (x > there[0]) & (x < there[2]) & (y > there[1]) & (y < there[3])
    mask = resizer.postprocess_mask(np.where(inside, 1.0, -1.0), threshold=0.0)
    assert mask.shape == (H0, W0)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    pixel = np.array([max(1, W0 / w), max(1, H0 / h)] * 2)
    assert (np.abs(found - [x0, y0, x1, y1]) <= pixel + 0.5).all()


@given(resizers(), st.lists(st.tuples(st.floats(-1, 2), st.floats(-1, 2)), max_size=5))
def test_points_keep_their_place(
    resizer: ImageResizer, relative: list[tuple[float, float]]
) -> None:
    (H0, W0), (h, w) = resizer.src_size, resizer.rescaled_size
    places = np.array(relative, np.float64).reshape(-1, 2)
    scaled = resizer.scale_points(places * [W0, H0])
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, places * [w, h], atol=1e-3)
    boxes = np.concatenate([places, places + 1], 1) * [W0, H0, W0, H0]
    corners = resizer.scale_boxes(boxes).reshape(-1, 2, 2)
    np.testing.assert_allclose(corners[:, 0], scaled, atol=1e-3)
    np.testing.assert_allclose(corners[:, 1], (places + 1) * [w, h], atol=1e-3)


@given(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), st.tuples(sides, sides))
def test_the_longest_side_fits(src: tuple[int, int], dst: tuple[int, int]) -> None:
    h, w = ImageResizer(src, dst).rescaled_size
    assert 1 <= h <= dst[0]
    assert 1 <= w <= dst[1]
    assert h == dst[0] or w == dst[1]
    scale = min(dst[0] / src[0], dst[1] / src[1])
    assert abs(h - max(1, src[0] * scale)) <= 0.5 + 1e-6
    assert abs(w - max(1, src[1] * scale)) <= 0.5 + 1e-6


@pytest.mark.parametrize("src", [(5, 1), (1, 5), (40, 3), (3, 40)])
def test_thin_images(src: tuple[int, int]) -> None:
    image = np.full((*src, 2), (10.0, 200.0), np.float32)
    scaled = ImageResizer(src, (4, 4)).scale_image(image)
    assert 1 in scaled.shape[:2]
    np.testing.assert_allclose(scaled, np.full_like(scaled, (10.0, 200.0)), rtol=1e-5)
    down = np.arange(max(scaled.shape[:2]), dtype=np.float32).reshape(*scaled.shape[:2], 1)
    back = ImageResizer(src, (4, 4)).unscale_image(down)
    assert back.min() == 0
    assert back.max() == down.max()


@settings(max_examples=30)
@given(resizers(), st.integers(1, 4), st.sampled_from([np.uint8, np.float32]))
def test_layouts_agree(resizer: ImageResizer, channels: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*resizer.src_size, channels)).astype(dtype)
    before = image.copy()
    scaled = resizer.scale_image(image)
    assert scaled.dtype == dtype
    padded = resizer.pad_image(scaled)
    assert padded.dtype == dtype
    first = image.transpose(2, 0, 1)
    batch = np.stack([image, image[::-1]])
    np.testing.assert_array_equal(resizer.scale_image(batch)[0], scaled)
    np.testing.assert_array_equal(resizer.scale_image(batch)[1], resizer.scale_image(image[::-1]))
    np.testing.assert_array_equal(
        resizer.scale_image(first, channels_last=False), scaled.transpose(2, 0, 1)
    )
    np.testing.assert_array_equal(
        resizer.pad_image(scaled.transpose(2, 0, 1), False), padded.transpose(2, 0, 1)
    )
    h, w = resizer.rescaled_size
    np.testing.assert_array_equal(padded[:h, :w], scaled)
    assert not padded[h:].any()
    assert not padded[:, w:].any()
    np.testing.assert_array_equal(image, before)


def test_pad_only_scales_nothing() -> None:
    resizer = ImageResizer((20, 30), (64, 48), pad_only=True)
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert resizer.rescaled_size == (20, 30)
    np.testing.assert_array_equal(resizer.scale_image(image), image)
    np.testing.assert_array_equal(resizer.scale_points([[3, 4]]), [[3, 4]])
    np.testing.assert_array_equal(resizer.unscale_image(resizer.pad_image(image)), image)
    logits = np.random.default_rng(0).normal(size=(2, 64, 48)).astype(np.float32)
    np.testing.assert_array_equal(resizer.postprocess_mask(logits), logits[:, :20, :30])


def test_eight_bit_colour_is_scaled_by_pillow() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 100, 3), np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((64, 26), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(ImageResizer((40, 100), (64, 64)).scale_image(image), expected)
    floats = ImageResizer((40, 100), (64, 64)).scale_image(image.astype(np.float64))
    assert floats.dtype == np.float32
    assert np.abs(floats - expected).max() <= 1.0


def test_low_resolution_and_full_masks() -> None:
    """Both are of the whole input, so a corner of the content stays one."""
    resizer = ImageResizer((50, 100), (64, 64))
    low, full = np.full((1, 16, 16), -1.0), np.full((1, 64, 64), -1.0)
    low[:, :8, 12:], full[:, :32, 48:] = 1, 1
    for mask in (low, full):
        found = resizer.postprocess_mask(mask, threshold=0.0)[0]
        assert found[:48, 77:].all()
        assert not found[:, :73].any()
    strict = resizer.postprocess_mask(low, threshold=0.99)
    assert strict.sum() < resizer.postprocess_mask(low, threshold=-0.99).sum()


BAD: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    ("scale_image", (np.zeros((5, 6, 3)),), ImageError, r"expected size \(50, 100\), got \(5, 6\)"),
    ("scale_image", (np.zeros((50, 100)),), ImageError, "3 or 4 axes"),
    ("scale_image", (np.full((50, 100, 3), "a"),), ImageError, "numbers"),
    ("scale_image", ([[1], [1, 2]],), InputError, "array"),
    ("pad_image", (np.zeros((50, 100, 3)),), ImageError, r"at most \(64, 64\), got \(50, 100\)"),
    ("postprocess_mask", (np.zeros((4, 4)), "high"), InputError, "threshold: expected a number"),
    ("unscale_image", (np.zeros((50, 100, 3)),), ImageError, r"\(32, 64\) or \(64, 64\)"),
    ("scale_points", ([1, 2, 3],), PromptError, r"points: expected shape \(..., 2\)"),
    ("scale_points", (3,), PromptError, r"got \(\)"),
    ("scale_points", ([[np.nan, 1]],), PromptError, "finite"),
    ("scale_boxes", ([[1, 2]],), PromptError, r"boxes: expected shape \(..., 4\)"),
    ("scale_boxes", ("abcd",), PromptError, "numbers"),
    ("postprocess_mask", (np.zeros(5),), InputError, r"\(..., h, w\), got \(5,\)"),
    ("postprocess_mask", (np.zeros((2, 0, 3)),), InputError, r"got \(2, 0, 3\)"),
    ("scale_to_size", (np.zeros((5, 6, 3)), (0, 4)), InputError, "size: expected"),
    ("scale_to_size", (np.zeros((0, 6, 3)), (4, 4)), ImageError, "pixels"),
]


@pytest.mark.parametrize(("method", "arguments", "error", "message"), BAD)
def test_bad_values(
    method: str, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        getattr(ImageResizer((50, 100), (64, 64)), method)(*arguments)


@pytest.mark.parametrize("size", [(0, 5), (5,), (5, -1), (1.5, 2), "ab", None, 5])
def test_bad_sizes(size: Any) -> None:
    with pytest.raises(InputError, match="src_size: expected"):
        ImageResizer(size, (64, 64))
    with pytest.raises(InputError, match="dst_size: expected"):
        ImageResizer((64, 64), size)


def test_pad_only_has_to_fit() -> None:
    with pytest.raises(InputError, match=r"at most \(64, 64\), got \(65, 3\)"):
        ImageResizer((65, 3), (64, 64), pad_only=True)


def test_no_images_and_no_masks() -> None:
    resizer = ImageResizer((50, 100), (64, 64))
    assert resizer.postprocess_mask(np.zeros((0, 64, 64))).shape == (0, 50, 100)
    assert resizer.scale_points(np.zeros((0, 2))).shape == (0, 2)
    assert resizer.scale_boxes(np.zeros((0, 4))).shape == (0, 4)
