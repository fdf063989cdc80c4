"""How an image lies in the model's input: sizes, scale, padding."""

from collections.abc import Callable

import numpy as np
import pytest

from samkit.compat.tfimm import ImageResizer, SAMPredictor, SegmentAnythingModel
from samkit.errors import InputError

Make = Callable[..., SegmentAnythingModel]

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


# A model of fixed size


def test_what_a_predictor_knows(model: SegmentAnythingModel, photo: np.ndarray) -> None:
    predictor = SAMPredictor(model)
    for _ in range(2):
        assert not predictor.image_set
        assert (predictor.resizer, predictor.image_embedding) == (None, None)
        assert (predictor.input_size(), predictor.mask_size()) == ((64, 64), (16, 16))
        predictor.set_image(photo)
        assert predictor.image_set
        assert (predictor.input_size(), predictor.mask_size()) == ((64, 64), (16, 16))
        assert predictor.resizer is not None
        assert predictor.resizer.src_size == (50, 83)
        assert predictor.resizer.rescaled_size == (39, 64)
        predictor.clear_image()


def test_the_image_embedding(model: SegmentAnythingModel, predictor: SAMPredictor) -> None:
    embedding = predictor.image_embedding
    assert embedding is not None
    assert (embedding.shape, embedding.dtype) == ((1, 4, 4, 16), np.float32)
    before = predictor([[30, 20]]).logits
    embedding[:] = 0
    np.testing.assert_array_equal(predictor([[30, 20]]).logits, before)


def test_masks_are_zero_in_the_padding(predictor: SAMPredictor) -> None:
    """39 of 64 rows have the image: in the tenth row of cells three of four."""
    for mask in (np.full((1, 50, 83), 10.0), np.ones((1, 50, 83), bool)):
        low = predictor.preprocess_masks(mask)[0]
        np.testing.assert_allclose(low[:9], 10, rtol=1e-5)
        np.testing.assert_allclose(low[9], 7.5, rtol=1e-5)
        assert not low[10:].any()


def test_one_channel_is_normalised_with_the_first_mean(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(in_channels=1)
    seen = spy(model, monkeypatch)
    grey = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8)
    SAMPredictor(model).set_image(grey)
    np.testing.assert_allclose(seen[0][0], (grey / 255 - 0.485) / 0.229, atol=1e-5)


# A model of any size


def spy(model: SegmentAnythingModel, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Images (1, H, W, C) that reach the network."""
    seen: list[np.ndarray] = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda images: seen.append(images) or encode(images))
    return seen


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    ("size", "patch", "padded"),
    [
        ((50, 83), 16, (64, 96)),
        ((64, 32), 16, (64, 32)),
        ((1, 17), 16, (16, 32)),
        ((150, 70), 16, (160, 80)),
        ((50, 83), 8, (56, 88)),
    ],
)
def test_images_are_only_padded(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    own: bool,
    size: tuple[int, int],
    patch: int,
    padded: tuple[int, int],
) -> None:
    model = make(fixed_input_size=False, encoder_patch_size=patch)
    seen = spy(model, monkeypatch)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    predictor = SAMPredictor(model, (lambda x: (x / 255 - MEAN) / STD) if own else None)
    predictor.set_image(image)
    expected = np.zeros((1, *padded, 3))
    expected[0, : size[0], : size[1]] = (image / 255 - MEAN) / STD
    (pixels,) = seen
    np.testing.assert_allclose(pixels, expected, atol=1e-5)
    assert predictor.input_size() == padded
    mask_size = (padded[0] * 4 // patch, padded[1] * 4 // patch)
    assert predictor.mask_size() == mask_size
    got = predictor([[3, 0]], boxes=[[0, 0, 9, 1]], return_logits=True)
    assert got.masks.shape == (3, *size)
    assert got.logits.shape == (3, *mask_size)
    # The same prompts in a batch, whose pixels are those of the input.
    inputs = {"images": pixels, "points": [[[3, 0]]], "boxes": [[[0, 0, 9, 1]]]}
    batch = model(inputs, multimask_output=True, return_logits=True)
    np.testing.assert_allclose(got.logits, batch.logits[0], rtol=1e-4, atol=1e-5)
    there = batch.masks[0, :, : size[0], : size[1]]
    np.testing.assert_allclose(got.masks, there, rtol=1e-4, atol=1e-4)


def test_masks_of_an_image_that_is_only_padded(make: Make) -> None:
    predictor = SAMPredictor(make(fixed_input_size=False))
    predictor.set_image(np.zeros((18, 32, 3), np.uint8))
    low = predictor.preprocess_masks(np.full((1, 18, 32), 8.0))[0]
    assert low.shape == (8, 8)
    np.testing.assert_allclose(low[:4], 8)
    np.testing.assert_allclose(low[4], 4)  # two of its four rows
    assert not low[5:].any()


def test_a_model_of_any_size_has_none_without_an_image(make: Make) -> None:
    predictor = SAMPredictor(make(fixed_input_size=False))
    for ask in (predictor.input_size, predictor.mask_size):
        with pytest.raises(InputError, match="set_image"):
            ask()


# Resizers


@pytest.mark.parametrize(
    ("src", "dst", "pad_only", "expected"),
    [
        ((20, 10), (30, 40), False, 1.5),
        ((10, 20), (30, 40), False, 2.0),
        ((50, 83), (64, 64), False, 64 / 83),
        ((50, 83), (64, 96), True, 1.0),
    ],
)
def test_scale(src: tuple[int, int], dst: tuple[int, int], pad_only: bool, expected: float) -> None:
    assert ImageResizer(src, dst, pad_only).scale == pytest.approx(expected)


@pytest.mark.parametrize("channels_last", [True, False])
def test_any_image_that_fits_is_padded(channels_last: bool) -> None:
    image = np.random.default_rng(0).normal(size=(2, 7, 9, 3)).astype(np.float32)
    expected = np.zeros((2, 64, 64, 3), np.float32)
    expected[:, :7, :9] = image
    if not channels_last:
        image, expected = image.transpose(0, 3, 1, 2), expected.transpose(0, 3, 1, 2)
    padded = ImageResizer((50, 100), (64, 64)).pad_image(image, channels_last)
    np.testing.assert_array_equal(padded, expected)
