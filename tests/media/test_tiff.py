"""TIFF files of all kinds; what is written by tifffile or Pillow is told from the array."""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from media.tiffs import RNG, by_257, packed, set_tags, tiff_of, u8, u16
from PIL import Image

from samkit.errors import ImageError, InputError
from samkit.media import read_image


@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_of_16_bits(tile: Any, compression: Any, planar: str) -> None:
    rgb = u16(37, 50, 3)
    planes = rgb.transpose(2, 0, 1) if planar == "separate" else rgb
    options = {"photometric": "rgb", "planarconfig": planar, "compression": compression}
    data = tiff_of(planes, tile=tile, **options)
    assert np.array_equal(read_image(data), by_257(rgb))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_grey_where_white_is_zero(byteorder: Any, bigtiff: bool) -> None:
    for array, full in ((u16(9, 11), 65535), (u8(9, 11), 255)):
        data = tiff_of(array, photometric="miniswhite", byteorder=byteorder, bigtiff=bigtiff)
        expected = np.rint((full - array.astype(np.float64)) * 255 / full)
        assert np.array_equal(read_image(data)[:, :, 1], expected)


def test_bits() -> None:
    grey = u16(9, 11) // 16
    data = bytes(packed(grey, 12))
    assert np.array_equal(read_image(data)[:, :, 0], np.rint(grey / 4095 * 255))
    bilevel = u8(9, 11) > 128
    file = io.BytesIO()
    Image.fromarray(bilevel).save(file, "TIFF")
    assert np.array_equal(read_image(file.getvalue())[:, :, 0], bilevel * 255)


def test_lerc_and_predictor() -> None:
    grey = RNG.random((40, 50)).astype(np.float32)
    for options in ({"compression": "lerc"}, {"compression": "zlib", "predictor": True}):
        assert np.array_equal(read_image(tiff_of(grey, **options)), read_image(grey))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_bands_that_are_no_colours_have_to_be_chosen(planar: str, photometric: str) -> None:
    cube = u8(9, 11, 5)
    planes = cube.transpose(2, 0, 1) if planar == "separate" else cube
    data = tiff_of(planes, photometric=photometric, planarconfig=planar)
    with pytest.raises(ImageError, match="5 bands, and does not say which are red"):
        read_image(data)
    assert np.array_equal(read_image(data, bands=(4, 0, 2)), cube[:, :, [4, 0, 2]])
    assert np.array_equal(read_image(data, bands=3)[:, :, 2], cube[:, :, 3])
    with pytest.raises(ImageError, match="bands: expected numbers below 5"):
        read_image(data, bands=(0, 1, 5))
    with pytest.raises(ImageError, match="choose one or three channels"):
        read_image(cube)
    assert np.array_equal(read_image(cube, bands=(4, 0, 2)), cube[:, :, [4, 0, 2]])


def test_four_bands() -> None:
    cube = u8(9, 11, 4)
    assert np.array_equal(read_image(tiff_of(cube, photometric="rgb")), cube[:, :, :3])
    with pytest.raises(ImageError, match="4 bands"):
        read_image(tiff_of(cube, photometric="minisblack", planarconfig="contig"))
    grey_and_alpha = tiff_of(
        cube[:, :, :2], photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]
    )
    assert np.array_equal(read_image(grey_and_alpha)[:, :, 0], cube[:, :, 0])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_few_colours(bits: int) -> None:
    indices, colours = u8(9, 11) >> (8 - bits), u16(3, 2**bits)
    tag = (320, "H", colours.size, tuple(map(int, colours.ravel())), True)
    data = packed(indices, bits, extratags=[tag])
    set_tags(data, {262: 3})  # a palette
    assert np.array_equal(read_image(bytes(data)), by_257(colours.T[indices]))


def test_a_palette_and_ink() -> None:
    indices, colours = u8(9, 11), u16(3, 256)
    data = tiff_of(indices, photometric="palette", colormap=colours)
    assert np.array_equal(read_image(data), by_257(colours.T[indices]))
    ink = u8(9, 11, 4)
    rest = (255 - ink[:, :, :3].astype(float)) * (255 - ink[:, :, 3:].astype(float)) / 255
    read = read_image(tiff_of(ink, photometric="separated"))
    assert np.abs(read - rest).max() <= 1  # Pillow rounds twice
    assert np.array_equal(
        read_image(tiff_of(ink, photometric="separated"), bands=3)[:, :, 0], ink[:, :, 3]
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    from PIL import ImageOps

    rgb = u8(5, 7, 3)
    data = tiff_of(rgb, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    upright = Image.fromarray(rgb)
    upright.getexif()[274] = orientation
    assert np.array_equal(read_image(data), np.asarray(ImageOps.exif_transpose(upright)))


def test_the_value_that_stands_for_none() -> None:
    heights = np.array([[-9999, 10, 20], [30, np.nan, 60]], np.float32)
    data = tiff_of(heights, extratags=[(42113, "s", 0, "-9999", True)])
    expected = [[0, 0, 51], [102, 0, 255]]
    assert np.array_equal(read_image(data, scale="minmax")[:, :, 0], expected)


def test_the_value_that_stands_for_none_is_not_the_brightest() -> None:
    grey = np.array([[65535, 0], [40000, 65535]], np.uint16)
    data = tiff_of(grey, extratags=[(42113, "s", 0, "65535", True)])
    assert read_image(data)[:, :, 0].tolist() == [[0, 0], [156, 0]]
    dark = np.array([[65535, 100], [3000, 65535]], np.uint16)
    data = tiff_of(dark, extratags=[(42113, "s", 0, "65535", True)])
    with pytest.warns(UserWarning, match="values are 0 to 3000, of 0 to 65535"):
        assert read_image(data)[:, :, 0].tolist() == [[0, 0], [12, 0]]
    heights = np.array([[-9999, 0.5], [1, 0]], np.float32)
    data = tiff_of(heights, extratags=[(42113, "s", 0, "-9999", True)])
    assert read_image(data)[:, :, 0].tolist() == [[0, 128], [255, 0]]


def test_colours_that_pillow_knows() -> None:
    smooth = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8)[:, :, None] + np.zeros(
        3, np.uint8
    )
    file = io.BytesIO()
    Image.fromarray(smooth).save(file, "TIFF", compression="jpeg")
    assert np.abs(read_image(file.getvalue()).astype(int) - smooth).max() < 12


def test_bits_that_differ() -> None:
    data = bytearray(tiff_of(u8(9, 11, 3), photometric="rgb"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        place = file.pages[0].tags[258].valueoffset
    for bits in ((5, 6, 5), (8, 8, 16)):
        data[place : place + 6] = np.array(bits, "<u2").tobytes()
        with contextlib.suppress(ImageError):
            assert read_image(bytes(data)).shape == (9, 11, 3)


def test_a_palette_of_8_bits_in_16() -> None:
    indices, colours = u8(9, 11), u8(3, 256)
    data = tiff_of(indices, photometric="palette", colormap=colours.astype(np.uint16))
    assert np.array_equal(read_image(data), colours.T[indices])


def test_none_where_white_is_zero() -> None:
    values = np.array([[0, np.nan], [-1, 10]], np.float32)
    data = tiff_of(values, photometric="miniswhite", extratags=[(42113, "s", 0, "-1", True)])
    assert read_image(data, scale=(0, 10))[:, :, 0].tolist() == [[255, 0], [0, 0]]


def test_too_large_and_cut_off(tmp_path: Path) -> None:
    # A few hundred bytes that declare 2**40 pixels, and more bands than fit.
    for shape, reason in (((2**20, 2**20), "at most"), ((2**12, 2**12, 200), "at most")):
        data = bytearray(
            tiff_of(
                np.zeros((4, 4, *shape[2:]), np.uint8),
                photometric="minisblack",
                planarconfig="contig" if len(shape) == 3 else None,
            )
        )
        with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
            tags = file.pages[0].tags
            places = {tag: tags[tag].valueoffset for tag in (256, 257)}
            kinds = {tag: tags[tag].dtype for tag in (256, 257)}
        for tag, size in ((257, shape[0]), (256, shape[1])):
            if kinds[tag] == 3:  # SHORT: make it LONG
                entry = places[tag] - 8
                data[entry + 2 : entry + 4] = (4).to_bytes(2, "little")
            data[places[tag] : places[tag] + 4] = size.to_bytes(4, "little")
        with pytest.raises(ImageError, match=reason):
            read_image(bytes(data), bands=0)
    whole = tiff_of(u8(64, 64, 3), photometric="rgb")
    for length in range(4, len(whole), 997):
        with pytest.raises(ImageError, match="cannot read"):
            read_image(whole[:length])


@pytest.mark.parametrize(("tag", "value"), [("StripByteCounts", 2**31), ("ImageLength", 2**20)])
def test_strips_that_the_file_cannot_hold(tag: str, value: int) -> None:
    """Longer ones, and more of them."""
    rows = 1 if tag == "ImageLength" else 6
    file = io.BytesIO(tiff_of(u8(6, 8), rowsperstrip=rows))
    with tifffile.TiffFile(file, mode="r+b") as opened:
        opened.pages[0].tags[tag].overwrite(value, dtype="I")
    file.seek(0)
    with pytest.raises(ImageError, match="its tags are damaged"):
        read_image(file)


@pytest.mark.parametrize(
    "bands", [(), (0, 1), np.array(1), (0, 1, 2, 3), -1, (0, 1, -2), 1.0, "rgb", True]
)
def test_bands_that_cannot_be(bands: Any) -> None:
    with pytest.raises(InputError, match="bands: expected one or three numbers"):
        read_image(u8(4, 5, 3), bands=bands)
