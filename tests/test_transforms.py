"""From an image to the network's input and back."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samkit.transforms import ImageTransform, resize

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
sizes = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


def transform(size: tuple[int, int], *, keep_aspect: bool, side: int = 64) -> ImageTransform:
    return ImageTransform(image_size=size, input_size=(side, side), keep_aspect=keep_aspect)


@given(sizes)
def test_the_longest_side_fits(size: tuple[int, int]) -> None:
    content = transform(size, keep_aspect=True, side=1024).content_size
    assert max(content) == 1024
    assert min(content) >= 1
    scale = 1024 / max(size)
    assert abs(content[0] - size[0] * scale) <= 1
    assert abs(content[1] - size[1] * scale) <= 1
    assert transform(size, keep_aspect=False, side=1024).content_size == (1024, 1024)


def test_sizes_are_rounded_not_cut() -> None:
    # 1024 / 1500 * 1001 = 683.35, 1024 / 1500 * 1002 = 684.03, 1024 / 1001 * 500 = 511.49
    assert transform((1001, 1500), keep_aspect=True, side=1024).content_size == (683, 1024)
    assert transform((1002, 1500), keep_aspect=True, side=1024).content_size == (684, 1024)
    assert transform((1001, 500), keep_aspect=True, side=1024).content_size == (1024, 511)


@given(sizes, st.booleans())
def test_corners_of_the_image_are_corners_of_the_content(
    size: tuple[int, int], keep_aspect: bool
) -> None:
    t = transform(size, keep_aspect=keep_aspect)
    height, width = size
    corners = t.points_to_input(np.array([[0, 0], [width, height]], np.float32))
    np.testing.assert_allclose(corners, [[0, 0], t.content_size[::-1]], rtol=1e-6)
    assert corners.dtype == np.float32


def test_pixels_of_sam_are_resized_by_pillow_normalised_then_padded() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 100, 3), np.uint8)
    x = transform(image.shape[:2], keep_aspect=True).pixels(image, MEAN, STD)
    assert x.shape == (1, 3, 64, 64)
    assert x.dtype == torch.float32
    small = np.asarray(Image.fromarray(image).resize((64, 26), Image.Resampling.BILINEAR))
    expected = (small / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(x[0, :, :26].permute(1, 2, 0), expected, atol=1e-5)
    assert (x[0, :, 26:] == 0).all()  # the mean colour, not black


def test_pixels_of_sam2_fill_the_input() -> None:
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 50:] = 255
    x = transform(image.shape[:2], keep_aspect=False).pixels(image, MEAN, STD)
    assert x.shape == (1, 3, 64, 64)
    black = [-m / s for m, s in zip(MEAN, STD, strict=True)]
    white = [(1 - m) / s for m, s in zip(MEAN, STD, strict=True)]
    np.testing.assert_allclose(x[0, :, 63, 0], black, atol=1e-5)
    np.testing.assert_allclose(x[0, :, 63, 63], white, atol=1e-5)


@pytest.mark.parametrize("keep_aspect", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (700, 3), (40, 100)])
def test_any_image_size(size: tuple[int, int], keep_aspect: bool) -> None:
    t = transform(size, keep_aspect=keep_aspect)
    assert t.pixels(np.zeros((*size, 3), np.uint8), MEAN, STD).shape == (1, 3, 64, 64)
    assert t.masks_to_image(torch.zeros(2, 16, 16)).shape == (2, *size)
    assert t.mask_to_input(np.zeros((5, 9), np.bool_)).shape == (16, 16)


@pytest.mark.parametrize("keep_aspect", [True, False])
def test_a_mask_goes_to_the_input_and_comes_back(keep_aspect: bool) -> None:
    mask = np.zeros((120, 200), np.bool_)
    mask[30:90, 40:160] = True
    t = transform(mask.shape, keep_aspect=keep_aspect, side=256)
    low = t.mask_to_input(mask)
    np.testing.assert_allclose([low.min(), low.max()], [-10, 10], rtol=1e-5)
    back = (t.masks_to_image(low[None])[0] > 0).numpy()
    assert (back & mask).sum() / (back | mask).sum() > 0.97


@pytest.mark.parametrize("keep_aspect", [True, False])
def test_a_mask_prompt_covers_the_image_whatever_its_size(keep_aspect: bool) -> None:
    small = np.zeros((12, 20), np.bool_)
    small[3:9, 4:16] = True
    t = transform((120, 200), keep_aspect=keep_aspect, side=256)
    a, b = t.mask_to_input(small), t.mask_to_input(small.repeat(10, 0).repeat(10, 1))
    assert ((a > 0) == (b > 0)).float().mean() > 0.97


def test_logits_of_the_low_resolution_pass_unchanged() -> None:
    logits = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    low = transform((77, 33), keep_aspect=False).mask_to_input(logits)
    np.testing.assert_allclose(low, logits, atol=1e-6)


def test_several_channels_and_inputs_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 5), np.uint8)
    before = image.copy()
    x = transform((30, 50), keep_aspect=True).pixels(image, (0.5,) * 5, (0.2,) * 5)
    assert x.shape == (1, 5, 64, 64)
    assert np.array_equal(image, before)


@pytest.mark.parametrize(("stride", "cells"), [(8, 32), (14, 18), (16, 16), (32, 8)])
def test_mask_logits_are_four_times_finer_than_the_embedding(stride: int, cells: int) -> None:
    size = cells // 4 * stride
    t = ImageTransform(
        image_size=(size, size), input_size=(size, size), keep_aspect=True, stride=stride
    )
    assert t.mask_size == (cells // 4 * 4, cells // 4 * 4)
    left = np.zeros((size, size), np.bool_)
    left[:, : size // 2] = True
    low = t.mask_to_input(left)
    assert low.shape == t.mask_size
    middle = t.mask_size[1] // 2
    assert (low[:, : middle - 1] > 9.9).all()
    assert (low[:, middle + 1 :] < -9.9).all()


def test_logits_of_any_resolution_cover_the_whole_input() -> None:
    for stride in (8, 16, 32):
        t = ImageTransform(
            image_size=(40, 100), input_size=(64, 64), keep_aspect=True, stride=stride
        )
        low = torch.full((1, *t.mask_size), -1.0)
        low[:, :, t.mask_size[1] // 2 :] = 1
        mask = t.masks_to_image(low)[0] > 0
        assert mask[:, 52:].all()
        assert not mask[:, :48].any()


def test_padded_only() -> None:
    t = ImageTransform(image_size=(40, 50), input_size=(64, 64), keep_aspect=True, pad_only=True)
    assert t.content_size == (40, 50)
    points = np.array([[3, 4.5]], np.float32)
    np.testing.assert_array_equal(t.points_to_input(points), points)
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    x = t.pixels(image, (0.0,) * 3, (1 / 255,) * 3)
    np.testing.assert_allclose(x[0, :, :40, :50].permute(1, 2, 0), image, atol=1e-3)
    assert not x[0, :, 40:].any()
    assert not x[0, :, :, 50:].any()
    logits = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(t.masks_to_image(logits), logits[:, :40, :50])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("before", "after"), [(4, 5), (9, 3), (5, 5)])
def test_columns_are_resized_like_rows(
    layout: torch.memory_format, before: int, after: int
) -> None:
    """torch's own result is wrong where it is one pixel wide."""
    column = torch.arange(2.0 * 3 * before).view(2, 3, before, 1)
    wide = resize(column.expand(-1, -1, -1, 8).contiguous(), (after, 8))
    found = resize(column.contiguous(memory_format=layout), (after, 1))
    torch.testing.assert_close(found, wide[..., :1])


@pytest.mark.parametrize("size", [(37, 41), (120, 75), (16, 200), (1, 3)])
@pytest.mark.parametrize("keep_aspect", [True, False])
def test_masks_are_enlarged_bilinearly(size: tuple[int, int], keep_aspect: bool) -> None:
    t = ImageTransform(image_size=size, input_size=(64, 64), keep_aspect=keep_aspect)
    logits = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(0))
    exact = logits[:, None].double()
    if keep_aspect:
        h, w = t.content_size
        exact = F.interpolate(exact, (64, 64), mode="bilinear")[..., :h, :w]
    exact = F.interpolate(exact, size, mode="bilinear")[:, 0]
    torch.testing.assert_close(t.masks_to_image(logits), exact.float(), rtol=0, atol=1e-5)
    with_gradient = t.masks_to_image(logits.clone().requires_grad_())
    torch.testing.assert_close(with_gradient, exact.float(), rtol=0, atol=1e-4)
    certain = exact.abs() > 1e-5
    for one, low in enumerate(logits):
        above = torch.from_numpy(t.mask_in_image(low))
        assert torch.equal(above[certain[one]], (exact[one] > 0)[certain[one]])
