"""What the original gets wrong."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from samkit.compat.tfimm import ImageResizer, SAMPredictor, SegmentAnythingModel


@pytest.fixture
def seen(model: SegmentAnythingModel, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Pixels that reach the network."""
    pixels: list[torch.Tensor] = []
    encode = model.network.encode_image

    def spy(x: torch.Tensor) -> object:
        pixels.append(x)
        return encode(x)

    monkeypatch.setattr(model.network, "encode_image", spy)
    return pixels


def test_padding_comes_after_normalising(
    model: SegmentAnythingModel, photo: np.ndarray, seen: list[torch.Tensor]
) -> None:
    SAMPredictor(model).set_image(photo)
    (pixels,) = seen
    assert pixels.shape == (1, 3, 64, 64)
    # 50 x 83 becomes 39 x 64 (38.55 rounded); below it is zero, which is the mean colour.
    assert (pixels[:, :, 39:] == 0).all()
    assert (pixels[:, :, 38] != 0).all()


def test_padding_comes_after_ones_own_preprocessing(
    model: SegmentAnythingModel, photo: np.ndarray, seen: list[torch.Tensor]
) -> None:
    shapes = []

    def preprocess(image: np.ndarray) -> np.ndarray:
        shapes.append(image.shape)
        return image / 100 + 7

    SAMPredictor(model, preprocess).set_image(photo)
    assert shapes == [(1, 39, 64, 3)]
    (pixels,) = seen
    assert (pixels[:, :, 39:] == 0).all()
    assert pixels[:, :, :39].min() >= 7


def test_label_minus_one_is_padding(predictor: SAMPredictor) -> None:
    alone = predictor([[30, 20]], [1])
    padded = predictor([[30, 20], [70, 40]], [1, -1])
    foreground = predictor([[30, 20], [70, 40]], [1, 1])
    np.testing.assert_allclose(padded.logits, alone.logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(padded.scores, alone.scores, rtol=1e-5, atol=1e-5)
    assert not np.allclose(padded.logits, foreground.logits, atol=1e-2)


def test_ragged_prompts_are_each_as_if_alone(predictor: SAMPredictor) -> None:
    points = np.array([[[30, 20], [np.nan, np.nan], [5, 5]], [[1, 2], [3, 4], [70, 40]]])
    labels = np.array([[1, -1, -1], [0, 1, 1]])
    both = predictor(points, labels)
    first = predictor([[30, 20]], [1])
    second = predictor(points[1], labels[1])
    for i, alone in enumerate((first, second)):
        np.testing.assert_allclose(both.logits[i], alone.logits, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(both.scores[i], alone.scores, rtol=1e-5, atol=1e-5)


def test_a_point_without_a_label_is_foreground(predictor: SAMPredictor) -> None:
    mask = np.zeros((1, 16, 16), np.float32)
    without = predictor([[30, 20]], masks=mask)
    np.testing.assert_array_equal(without.logits, predictor([[30, 20]], [1], masks=mask).logits)
    for other in (predictor(masks=mask), predictor([[30, 20]], [0], masks=mask)):
        assert not np.allclose(without.logits, other.logits, atol=1e-2)


def test_points_without_labels_in_the_model(model: SegmentAnythingModel) -> None:
    images = np.zeros((1, 64, 64, 3), np.float32)
    points = [[[30, 20]]]
    without = model({"images": images, "points": points})
    labelled = model({"images": images, "points": points, "labels": [[1]]})
    np.testing.assert_array_equal(without.logits, labelled.logits)
    assert not np.allclose(without.logits, model({"images": images}).logits, atol=1e-2)


def test_logits_are_scaled_bilinearly() -> None:
    """A slope stays a slope; an area filter would make steps of it."""
    resizer = ImageResizer((150, 300), (64, 64))
    slope = np.broadcast_to(np.arange(16, dtype=np.float32), (16, 16))
    full = resizer.postprocess_mask(slope)
    # Pixel x lies at (x + 0.5) * 16 / 300 - 0.5 of the slope.
    expected = (np.arange(300) + 0.5) * 16 / 300 - 0.5
    inner = slice(20, 280)
    np.testing.assert_allclose(full[75, inner], expected[inner], atol=1e-3)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1001, 1500), (683, 1024)),  # 683.35
        ((1002, 1500), (684, 1024)),  # 684.03
        ((1001, 499), (1024, 510)),  # 510.47
        ((1000, 1501), (682, 1024)),  # 682.21
        ((1001, 500), (1024, 511)),  # 511.49
        ((1003, 1500), (685, 1024)),  # 684.71: cut off it would be 684
        ((3, 5000), (1, 1024)),  # 0.61: cut off there would be nothing
    ],
)
def test_sizes_are_rounded(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert ImageResizer(size, (1024, 1024)).rescaled_size == expected


def test_rounding_reaches_the_network(
    make: Callable[..., SegmentAnythingModel], photo: np.ndarray
) -> None:
    """Scaled to 39 rows, not to 38: the image's last row is the last of the content."""
    model = make()
    predictor = SAMPredictor(model)
    predictor.set_image(photo)
    low = np.zeros((1, 1, 50, 83), np.float32) - 10
    low[..., 25:, :] = 10
    rows = predictor.preprocess_masks(low)[0, 0, :, 8] > 0
    # Rows 25..50 of 50 are rows 19.5..39 of the input: rows 5..9 of 4 pixels each.
    assert np.flatnonzero(rows).tolist() == [5, 6, 7, 8, 9]
