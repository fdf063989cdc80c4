"""Masks in the part of the image where they can be, against whole masks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samkit import rle
from samkit.mask_generator.upscaling import Upscaler
from samkit.masks import Masks
from samkit.transforms import ImageTransform

SIZES = [(40, 60), (200, 30), (7, 9), (128, 128), (33, 500)]


def logits_of(seed, count=6):
    """Smooth blobs, some at the edges, some empty, some everywhere."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 1, 4, 4, generator=generator) * 3
    logits = torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic")[:, 0]
    logits[0] = -5.0
    logits[1] = 5.0
    return logits - 1


@pytest.mark.parametrize("keep_aspect", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_plain_way_in_a_part_of_an_image(size, keep_aspect):
    transform = ImageTransform(image_size=size, input_size=(128, 128), keep_aspect=keep_aspect)
    image_size = (size[0] + 13, size[1] + 8)
    crop = (5, 6, 5 + size[1], 6 + size[0])
    upscale = Upscaler(transform, crop, image_size, threshold=0.2, offset=0.7)
    logits = logits_of(sum(size))
    full = transform.masks_to_image(logits)
    for low, whole in zip(logits, full, strict=True):
        found = upscale(low)
        mask = np.zeros(image_size, bool)
        mask[6 : 6 + size[0], 5 : 5 + size[1]] = (whole > 0.2).numpy()
        decoded = rle.decode_one(found.counts, image_size)
        assert (decoded != mask).sum() <= 1
        above, below = (whole > 0.9).sum().item(), (whole > -0.5).sum().item()
        if below:
            assert found.stability == pytest.approx(above / below, abs=2 / below)
        else:
            assert np.isnan(found.stability)
        if mask.any():
            x0, y0, x1, y1 = Masks(decoded[None], [1.0]).boxes[0]
            assert found.box == (x0, y0, x1 - 1, y1 - 1)
        else:
            assert found.box == (5, 6, 5, 6)


@settings(max_examples=60)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6), st.floats(-3, 3),
    st.floats(0, 3), st.booleans(),
)  # fmt: skip
def test_run_lengths_are_valid(height, width, seed, threshold, offset, keep_aspect):
    transform = ImageTransform(
        image_size=(height, width), input_size=(64, 64), keep_aspect=keep_aspect
    )
    upscale = Upscaler(
        transform, (0, 0, width, height), (height, width), threshold=threshold, offset=offset
    )
    logits = torch.randn(16, 16, generator=torch.Generator().manual_seed(seed)) * 2
    found = upscale(logits)
    one = {"size": [height, width], "counts": found.counts}
    masks = Masks.from_rle([one], (height, width), [1.0])  # checks every run
    expected = (transform.masks_to_image(logits[None])[0] > threshold).numpy()
    assert (masks.masks[0] != expected).sum() <= 1
    assert rle.encode(masks.masks)[0] == found.counts


def test_a_whole_mask_and_none():
    transform = ImageTransform(image_size=(3, 4), input_size=(64, 64), keep_aspect=False)
    upscale = Upscaler(transform, (0, 0, 4, 3), (3, 4), threshold=0.0, offset=1.0)
    every, none = upscale(torch.full((16, 16), 5.0)), upscale(torch.full((16, 16), -5.0))
    assert rle.decode_one(every.counts, (3, 4)).all()
    assert every.stability == 1.0
    assert not rle.decode_one(none.counts, (3, 4)).any()
