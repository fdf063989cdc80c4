"""Windows of images: what is under them, and no more, is read."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from samkit.errors import ImageError, InputError
from samkit.media import read_image
from samkit.media.windows import WindowedImage

RNG = np.random.default_rng(0)
WINDOW = (13, 5, 44, 31)


def _write(path: Path, array: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, array, **options)
    return path


def _cut(array: np.ndarray, window: tuple[int, int, int, int] = WINDOW) -> np.ndarray:
    x0, y0, x1, y1 = window
    return array[y0:y1, x0:x1]


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 32)}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff(tmp_path: Path, layout: Any, compression: Any, planar: str, byteorder: Any) -> None:
    rgb = RNG.integers(0, 65536, (37, 50, 3), dtype=np.uint16)
    path = _write(
        tmp_path / "a.tif",
        rgb.transpose(2, 0, 1) if planar == "separate" else rgb,
        photometric="rgb",
        planarconfig=planar,
        compression=compression,
        predictor=compression is not None,
        byteorder=byteorder,
        **layout,
    )
    expected = np.rint(rgb / 257).astype(np.uint8)
    assert np.array_equal(read_image(path, window=WINDOW), _cut(expected))
    whole = (0, 0, 50, 37)
    with WindowedImage(path) as image:
        assert image.image_size == (37, 50)
        for window in (WINDOW, whole, (49, 36, 50, 37), (0, 0, 1, 37)):
            assert np.array_equal(image.read(window), _cut(expected, window))


def test_jpeg_in_tiles_with_colours_of_its_own(tmp_path: Path) -> None:
    rgb = np.zeros((64, 96, 3), np.uint8)
    rgb[:, 48:] = 200, 30, 60
    path = _write(tmp_path / "a.tif", rgb, photometric="rgb", compression="jpeg", tile=(32, 32))
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].photometric == tifffile.PHOTOMETRIC.YCBCR
    found = read_image(path, window=(40, 10, 80, 50))
    assert abs(found.astype(int) - _cut(rgb, (40, 10, 80, 50))).mean() < 3


@pytest.mark.parametrize("kind", ["array", "tensor", "pillow", "bytes", "png", "stream"])
def test_other_sources(tmp_path: Path, kind: str) -> None:
    rgb = RNG.integers(0, 256, (37, 50, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(rgb).save(path)
    source = {
        "array": lambda: rgb,
        "tensor": lambda: torch.from_numpy(rgb),
        "pillow": lambda: Image.fromarray(rgb),
        "bytes": path.read_bytes,
        "png": lambda: path,
        "stream": lambda: io.BytesIO(path.read_bytes()),
    }[kind]
    assert np.array_equal(read_image(source(), window=WINDOW), _cut(rgb))
    with WindowedImage(source()) as image:
        assert np.array_equal(image.read(WINDOW), _cut(rgb))
        assert image.has_data(WINDOW)


def test_a_turned_page_is_cut_as_it_is_seen(tmp_path: Path) -> None:
    rgb = RNG.integers(0, 256, (37, 50, 3), dtype=np.uint8)
    # Orientation 6: the first row is the right side, so the picture is turned clockwise.
    path = _write(tmp_path / "a.tif", rgb, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    seen = np.rot90(rgb, -1)
    window = (5, 13, 31, 44)
    assert np.array_equal(read_image(path, window=window), _cut(seen, window))
    with WindowedImage(path) as image:
        assert image.image_size == (50, 37)
        assert np.array_equal(image.read(window), _cut(seen, window))


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ((5, 5, 51, 9), "inside the image of 50 x 37"),
        ((-1, 5, 7, 9), "inside the image of 50 x 37"),
        ((5, 5, 7, 38), "inside the image of 50 x 37"),
        ((7, 5, 5, 9), "x0 < x1 and y0 < y1"),
        ((5, 9, 7, 9), "x0 < x1 and y0 < y1"),
        ((5, 5, 7), "whole pixels"),
        ((5, 5, 7.5, 9), "whole pixels"),
        ((True, 5, "a", 9), "whole pixels"),
        ("tile", "whole pixels"),
        ([[1], [1, 2]], "whole pixels"),
        ((10**30, 5, 7, 9), "whole pixels"),
    ],
)
def test_windows_that_cannot_be(tmp_path: Path, window: Any, message: str) -> None:
    grey = np.zeros((37, 50), np.uint8)
    path = _write(tmp_path / "a.tif", grey)
    with WindowedImage(path) as image:
        reads = [image.read, image.has_data, lambda w: read_image(path, window=w)]
        for read in [*reads, lambda w: read_image(grey, window=w)]:
            with pytest.raises(InputError, match=message):
                read(window)


def test_scales(tmp_path: Path) -> None:
    values = RNG.normal(500, 40, (60, 80)).astype(np.float32)
    values[:30] += 300
    values[50, 70] = 9000
    path = _write(tmp_path / "a.tif", values, tile=(16, 16), compression="zlib")
    window = (10, 35, 50, 55)
    part = _cut(values, window).astype(np.float64)
    own = np.rint((part - part.min()) / np.ptp(part) * 255)
    assert np.array_equal(read_image(path, window=window, scale="minmax")[..., 0], own)
    assert np.array_equal(read_image(values, window=window, scale="minmax")[..., 0], own)
    # Windows of an opened image look alike: the range is that of the whole.
    for scale, (low, high) in {
        "minmax": (values.min(), 9000),
        "percentile": np.percentile(values, (1, 99)),
    }.items():
        expected = np.rint((np.clip(part, low, high) - low) / (float(high) - low) * 255)
        with WindowedImage(path, scale=scale) as image:
            assert abs(image.read(window)[..., 0] - expected).max() <= 1


def test_where_data_are(tmp_path: Path) -> None:
    values = np.full((48, 64), 7, np.uint16)
    values[:16, :16] = 99
    nodata = [(42113, "s", 0, "7", True)]
    path = _write(tmp_path / "a.tif", values, tile=(16, 16), extratags=nodata)
    with WindowedImage(path, scale="minmax") as image:
        assert image.has_data((0, 0, 16, 16))
        assert image.has_data((15, 15, 40, 40))
        assert not image.has_data((16, 0, 64, 48))
    colours = np.zeros((3, 256), np.uint16)
    colours[0, 99] = 65535
    indices = values.astype(np.uint8)
    path = _write(
        tmp_path / "p.tif", indices, photometric="palette", colormap=colours, extratags=nodata
    )
    with WindowedImage(path) as image:
        assert image.read((15, 15, 17, 17))[..., 0].tolist() == [[255, 0], [0, 0]]
        assert image.has_data((15, 15, 40, 40))
        assert not image.has_data((16, 0, 64, 48))
    rgba = np.full((48, 64, 4), 9, np.uint8)
    rgba[:, 20:, 3] = 0
    path = _write(tmp_path / "b.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    with WindowedImage(path) as image:
        assert image.has_data((0, 0, 21, 9))
        assert not image.has_data((20, 0, 64, 48))


def test_a_mask_in_the_file_is_no_page(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    rgb = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    mask = np.zeros((48, 64), np.bool_)
    mask[:, :20] = True
    with tifffile.TiffWriter(path) as file:
        file.write(rgb, photometric="rgb", tile=(16, 16))
        file.write(mask, photometric="mask", subfiletype=4, tile=(16, 16))
    assert np.array_equal(read_image(path), rgb)
    with WindowedImage(path) as image:
        assert image.has_data((0, 0, 21, 9))
        assert not image.has_data((20, 0, 64, 48))


def test_only_what_is_under_the_window_is_read(tmp_path: Path) -> None:
    """The bytes of all other tiles are damaged."""
    rgb = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = _write(tmp_path / "a.tif", rgb, photometric="rgb", tile=(16, 16), compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        for i, (offset, size) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
            if i not in (5, 6):
                data[offset : offset + size] = b"\xff" * size
    path.write_bytes(data)
    window = (16, 16, 48, 32)
    assert np.array_equal(read_image(path, window=window), _cut(rgb, window))
    with WindowedImage(path) as image:
        assert np.array_equal(image.read(window), _cut(rgb, window))
    with pytest.raises(ImageError, match=r"cannot read .*a\.tif"):
        read_image(path, window=(15, 16, 48, 32))


def test_larger_than_the_limit(tmp_path: Path) -> None:
    """Of 40,000 x 40,000 pixels only one tile is in the file."""
    path = tmp_path / "large.tif"
    tile = np.full((256, 256), 200, np.uint8)
    count = (40_000 // 256 + 1) ** 2
    tiles = (tile if i == 0 else None for i in range(count))
    tifffile.imwrite(
        path, tiles, shape=(40_000, 40_000), dtype=np.uint8, tile=(256, 256), compression="zlib"
    )
    assert path.stat().st_size < 2**20
    assert (read_image(path, window=(0, 0, 100, 100)) == 200).all()
    assert (read_image(path, window=(39_900, 39_900, 40_000, 40_000)) == 0).all()
    with pytest.raises(ImageError, match="at most 536870912 pixels"):
        read_image(path, window=(0, 0, 40_000, 40_000))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncated_files(tmp_path: Path, compression: Any) -> None:
    rgb = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = _write(
        tmp_path / "a.tif", rgb, photometric="rgb", rowsperstrip=8, compression=compression
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ImageError, match=r"cannot read .*a\.tif"):
        read_image(path, window=(0, 48, 64, 64))
    with pytest.raises(ImageError):
        WindowedImage(tmp_path / "none.tif")


def test_a_stack_asks_for_a_page(tmp_path: Path) -> None:
    stack = RNG.integers(0, 256, (3, 37, 50), dtype=np.uint8)
    path = _write(tmp_path / "a.tif", stack, photometric="minisblack")
    with pytest.raises(ImageError, match="has 3 pages"):
        WindowedImage(path)
    with WindowedImage(path, page=2) as image:
        assert np.array_equal(image.read(WINDOW)[..., 0], _cut(stack[2]))


def test_dark_values_are_warned_of_once(tmp_path: Path) -> None:
    values = RNG.integers(0, 900, (37, 50), dtype=np.uint16)
    path = _write(tmp_path / "a.tif", values)
    with WindowedImage(path) as image:
        with pytest.warns(UserWarning, match="nearly one shade"):
            image.read(WINDOW)
        image.read(WINDOW)
