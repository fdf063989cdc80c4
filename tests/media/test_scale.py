"""Which values become 0 and 255."""

import io
from typing import Any

import numpy as np
import pytest
from media.tiffs import RNG, tiff_of, u8, u16
from PIL import Image

from samkit.errors import ImageError, InputError
from samkit.media import read_image


def test_signed_values_are_refused_unless_scaled() -> None:
    values = RNG.integers(-128, 128, (9, 11)).astype(np.int8)
    values[0, :2] = -128, 127
    for source in (tiff_of(values), values):
        with pytest.raises(ImageError, match=r"values 0\.\.255, got -128\.\.127"):
            read_image(source)
        expected = np.rint((values.astype(int) + 128) / 255 * 255)
        assert np.array_equal(read_image(source, scale="minmax")[:, :, 0], expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats(dtype: Any) -> None:
    rgb = RNG.random((9, 11, 3)).astype(dtype)
    data = tiff_of(rgb, photometric="rgb")
    assert np.array_equal(read_image(data), read_image(rgb))
    wide = (rgb * 1000 - 20).astype(dtype)
    with pytest.raises(ImageError, match=r"values 0\.\.1"):
        read_image(tiff_of(wide, photometric="rgb"))
    low, high = float(wide.min()), float(wide.max())
    expected = np.rint((wide.astype(float) - low) / (high - low) * 255)
    assert np.array_equal(read_image(tiff_of(wide, photometric="rgb"), scale="minmax"), expected)


@pytest.mark.parametrize(
    "scale",
    ["max", "", None, 3, (1,), (1, 1), (2, 1), (0, np.inf), (np.nan, 1), ("0", "1"), (0, 10**400)],
)
def test_scales_that_cannot_be(scale: Any) -> None:
    with pytest.raises(InputError, match=r'scale: expected "full", "minmax", "percentile"'):
        read_image(u8(4, 5, 3), scale=scale)


def test_a_warning_of_integers_that_use_little_of_their_range() -> None:
    grey = u16(9, 11) // 16
    grey[0, :2] = 0, 4095
    for source in (grey, tiff_of(grey), Image.fromarray(grey)):
        with pytest.warns(UserWarning, match="values are 0 to 4095, of 0 to 65535") as caught:
            dark = read_image(source)
        assert caught[0].filename == __file__
        assert dark.max() == 16
        assert read_image(source, scale="minmax").max() == 255  # and no warning
    eight = np.array([[3, 12]], np.uint8)
    png = io.BytesIO()
    Image.fromarray(eight).save(png, "PNG")
    for source in (png.getvalue(), tiff_of(eight)):
        with pytest.warns(UserWarning, match="values are 3 to 12, of 0 to 255"):
            read_image(source)
    read_image(eight)  # what was read is not told of again
    read_image(np.zeros((4, 5), np.uint16))  # nothing to stretch
    read_image(np.array([[0, 16]], np.uint8))


def test_percentiles_leave_out_what_is_far() -> None:
    values = np.linspace(1000, 2000, 10_000).reshape(100, 100).astype(np.uint16)
    values[0, 0], values[-1, -1] = 0, 65535
    stretched = read_image(values, scale="percentile")[:, :, 0]
    expected = np.rint((np.clip(values.astype(float), 1010, 1990) - 1010) / 980 * 255)
    assert np.abs(stretched - expected).max() <= 1
    assert np.array_equal(read_image(values, scale=(1010, 1990))[:, :, 0], expected)


def test_percentiles_are_of_all_channels() -> None:
    # So large that a sample is taken: every third value would be of red.
    rgb = np.zeros((1024, 1024, 3), np.uint16)
    rgb[..., 1] = np.arange(1024)[:, None]
    stretched = read_image(rgb, scale="percentile")
    assert stretched[:, :, 0].max() == 0
    assert stretched[512, 0, 1] == pytest.approx(512 / (0.97 * 1024) * 255, abs=2)


def test_percentiles_of_a_few_bright_spots() -> None:
    spots = np.zeros((40, 50), np.uint16)
    spots[3, 4] = 900
    assert read_image(spots, scale="percentile")[3, 4, 0] == 255
    assert read_image(spots * 0, scale="percentile").max() == 0


def test_a_range_in_numbers_of_numpy() -> None:
    grey = u8(9, 11)
    assert np.array_equal(read_image(grey, scale=(np.float32(0), np.float32(255)))[:, :, 0], grey)


def test_numbers_that_are_none() -> None:
    values = np.array([[0.0, np.nan, 5.0], [np.inf, -np.inf, 10.0]])
    for scale in ("minmax", (0, 10)):
        assert read_image(values, scale=scale)[:, :, 0].tolist() == [[0, 0, 128], [255, 0, 255]]
    with pytest.raises(ImageError, match="some finite value"):
        read_image(np.full((3, 4), np.nan), scale="percentile")
    widest = np.array([[-1.7e308, 0.0, 1.7e308]])
    assert read_image(widest, scale="minmax")[0, :, 0].tolist() == [0, 128, 255]
    assert read_image(np.array([[0, 5e-324]]), scale="minmax")[0, :, 0].tolist() == [0, 255]
