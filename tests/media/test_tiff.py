"""TIFF files of all kinds; what is written by tifffile or Pillow is told from the array."""

import contextlib
import io
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from samkit.errors import ImageError, InputError
from samkit.media import read_image
from samkit.media.frames import open_frames

RNG = np.random.default_rng(0)


def _u8(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def _u16(*shape: int) -> np.ndarray:
    return RNG.integers(0, 65536, shape, dtype=np.uint16)


def _tiff(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def _packed(values: np.ndarray, bits: int, **options: Any) -> bytearray:
    """Values (H, W) of so many bits each, rows from whole bytes on, without tifffile's packing."""
    places = np.arange(bits - 1, -1, -1)
    rows = (values[:, :, None] >> places & 1).astype(np.uint8).reshape(len(values), -1)
    options |= {"photometric": "minisblack", "metadata": None}
    data = bytearray(_tiff(np.packbits(rows, axis=1), **options))
    _set_tags(data, {256: values.shape[1], 258: bits})
    return data


def _set_tags(data: bytearray, values: dict[int, int]) -> None:
    """Change tags of a little-endian file in place, to values below 256."""
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        for tag, value in values.items():
            data[file.pages[0].tags[tag].valueoffset] = value


def _by_257(array: np.ndarray) -> np.ndarray:
    return np.rint(array / 257).astype(np.uint8)


@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_of_16_bits(tile: Any, compression: Any, planar: str) -> None:
    rgb = _u16(37, 50, 3)
    planes = rgb.transpose(2, 0, 1) if planar == "separate" else rgb
    options = {"photometric": "rgb", "planarconfig": planar, "compression": compression}
    data = _tiff(planes, tile=tile, **options)
    assert np.array_equal(read_image(data), _by_257(rgb))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_grey_where_white_is_zero(byteorder: Any, bigtiff: bool) -> None:
    for array, full in ((_u16(9, 11), 65535), (_u8(9, 11), 255)):
        data = _tiff(array, photometric="miniswhite", byteorder=byteorder, bigtiff=bigtiff)
        expected = np.rint((full - array.astype(np.float64)) * 255 / full)
        assert np.array_equal(read_image(data)[:, :, 1], expected)


def test_bits() -> None:
    grey = _u16(9, 11) // 16
    data = bytes(_packed(grey, 12))
    assert np.array_equal(read_image(data)[:, :, 0], np.rint(grey / 4095 * 255))
    bilevel = _u8(9, 11) > 128
    file = io.BytesIO()
    Image.fromarray(bilevel).save(file, "TIFF")
    assert np.array_equal(read_image(file.getvalue())[:, :, 0], bilevel * 255)


def test_signed_values_are_refused_unless_scaled() -> None:
    values = RNG.integers(-128, 128, (9, 11)).astype(np.int8)
    values[0, :2] = -128, 127
    for source in (_tiff(values), values):
        with pytest.raises(ImageError, match=r"values 0\.\.255, got -128\.\.127"):
            read_image(source)
        expected = np.rint((values.astype(int) + 128) / 255 * 255)
        assert np.array_equal(read_image(source, scale="minmax")[:, :, 0], expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats(dtype: Any) -> None:
    rgb = RNG.random((9, 11, 3)).astype(dtype)
    data = _tiff(rgb, photometric="rgb")
    assert np.array_equal(read_image(data), read_image(rgb))
    wide = (rgb * 1000 - 20).astype(dtype)
    with pytest.raises(ImageError, match=r"values 0\.\.1"):
        read_image(_tiff(wide, photometric="rgb"))
    low, high = float(wide.min()), float(wide.max())
    expected = np.rint((wide.astype(float) - low) / (high - low) * 255)
    assert np.array_equal(read_image(_tiff(wide, photometric="rgb"), scale="minmax"), expected)


def test_lerc_and_predictor() -> None:
    grey = RNG.random((40, 50)).astype(np.float32)
    for options in ({"compression": "lerc"}, {"compression": "zlib", "predictor": True}):
        assert np.array_equal(read_image(_tiff(grey, **options)), read_image(grey))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_bands_that_are_no_colours_have_to_be_chosen(planar: str, photometric: str) -> None:
    cube = _u8(9, 11, 5)
    planes = cube.transpose(2, 0, 1) if planar == "separate" else cube
    data = _tiff(planes, photometric=photometric, planarconfig=planar)
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
    cube = _u8(9, 11, 4)
    assert np.array_equal(read_image(_tiff(cube, photometric="rgb")), cube[:, :, :3])
    with pytest.raises(ImageError, match="4 bands"):
        read_image(_tiff(cube, photometric="minisblack", planarconfig="contig"))
    grey_and_alpha = _tiff(
        cube[:, :, :2], photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]
    )
    assert np.array_equal(read_image(grey_and_alpha)[:, :, 0], cube[:, :, 0])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_few_colours(bits: int) -> None:
    indices, colours = _u8(9, 11) >> (8 - bits), _u16(3, 2**bits)
    tag = (320, "H", colours.size, tuple(map(int, colours.ravel())), True)
    data = _packed(indices, bits, extratags=[tag])
    _set_tags(data, {262: 3})  # a palette
    assert np.array_equal(read_image(bytes(data)), _by_257(colours.T[indices]))


def test_a_palette_and_ink() -> None:
    indices, colours = _u8(9, 11), _u16(3, 256)
    data = _tiff(indices, photometric="palette", colormap=colours)
    assert np.array_equal(read_image(data), _by_257(colours.T[indices]))
    ink = _u8(9, 11, 4)
    rest = (255 - ink[:, :, :3].astype(float)) * (255 - ink[:, :, 3:].astype(float)) / 255
    read = read_image(_tiff(ink, photometric="separated"))
    assert np.abs(read - rest).max() <= 1  # Pillow rounds twice
    assert np.array_equal(
        read_image(_tiff(ink, photometric="separated"), bands=3)[:, :, 0], ink[:, :, 3]
    )


@pytest.mark.parametrize("kind", ["shaped", "plain", "imagej", "ome", "compressed", "sizes"])
def test_a_stack_is_never_its_first_page(kind: str) -> None:
    pages = [_u16(20, 30) for _ in range(7)]
    options: dict[str, Any] = {
        "shaped": {},
        "plain": {"metadata": None},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "ome": {"ome": True, "metadata": {"axes": "TYX"}},
        "compressed": {"compression": "zlib"},
    }
    if kind == "sizes":
        pages[3] = _u16(25, 30)
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as writer:
            for page in pages:
                writer.write(page, metadata=None)
        data = file.getvalue()
        # tifffile puts pages of one shape together.
        pages = [*pages[:3], *pages[4:], pages[3]]
    else:
        data = _tiff(np.stack(pages), **options[kind])
    with pytest.raises(ImageError, match=r"7 pages: choose one .*page=.* or go through all"):
        read_image(data)
    for i, page in enumerate(pages):
        assert np.array_equal(read_image(data, page=i)[:, :, 0], _by_257(page)), i
    with pytest.raises(ImageError, match="expected a page below 7, got 7"):
        read_image(data, page=7)


def test_one_page_that_stands_for_many() -> None:
    stack = _u8(5, 20, 30)
    for options in ({}, {"imagej": True, "metadata": {"axes": "ZYX"}}):
        data = _tiff(stack, truncate=True, **options)
        assert np.array_equal(read_image(data, page=3)[:, :, 0], stack[3])


def test_channels_are_bands_of_a_page() -> None:
    planes = _u16(4, 3, 20, 30)
    for axes, options in (("ZCYX", {"imagej": True}), ("TCYX", {"ome": True})):
        data = _tiff(planes, metadata={"axes": axes}, **options)
        with pytest.raises(ImageError, match="3 bands"):
            read_image(data, page=2)
        expected = _by_257(planes[2, [2, 0, 1]].transpose(1, 2, 0))
        assert np.array_equal(read_image(data, page=2, bands=(2, 0, 1)), expected)


def test_levels_of_a_pyramid_do_not_count() -> None:
    full = _u8(64, 64, 3)
    for subifds in (0, 1):
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as writer:
            writer.write(full, photometric="rgb", subifds=subifds)
            writer.write(full[::2, ::2], photometric="rgb", subfiletype=1)
        assert np.array_equal(read_image(file.getvalue()), full)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    from PIL import ImageOps

    rgb = _u8(5, 7, 3)
    data = _tiff(rgb, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    upright = Image.fromarray(rgb)
    upright.getexif()[274] = orientation
    assert np.array_equal(read_image(data), np.asarray(ImageOps.exif_transpose(upright)))


def test_the_value_that_stands_for_none() -> None:
    heights = np.array([[-9999, 10, 20], [30, np.nan, 60]], np.float32)
    data = _tiff(heights, extratags=[(42113, "s", 0, "-9999", True)])
    expected = [[0, 0, 51], [102, 0, 255]]
    assert np.array_equal(read_image(data, scale="minmax")[:, :, 0], expected)


def test_the_value_that_stands_for_none_is_not_the_brightest() -> None:
    grey = np.array([[65535, 0], [40000, 65535]], np.uint16)
    data = _tiff(grey, extratags=[(42113, "s", 0, "65535", True)])
    assert read_image(data)[:, :, 0].tolist() == [[0, 0], [156, 0]]
    dark = np.array([[65535, 100], [3000, 65535]], np.uint16)
    data = _tiff(dark, extratags=[(42113, "s", 0, "65535", True)])
    with pytest.warns(UserWarning, match="values are 0 to 3000, of 0 to 65535"):
        assert read_image(data)[:, :, 0].tolist() == [[0, 0], [12, 0]]
    heights = np.array([[-9999, 0.5], [1, 0]], np.float32)
    data = _tiff(heights, extratags=[(42113, "s", 0, "-9999", True)])
    assert read_image(data)[:, :, 0].tolist() == [[0, 128], [255, 0]]


def test_colours_that_pillow_knows() -> None:
    smooth = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8)[:, :, None] + np.zeros(
        3, np.uint8
    )
    file = io.BytesIO()
    Image.fromarray(smooth).save(file, "TIFF", compression="jpeg")
    assert np.abs(read_image(file.getvalue()).astype(int) - smooth).max() < 12


def test_pages_in_colours_that_pillow_knows() -> None:
    """Pillow counts the thumbnail, and pages are put together by their kind."""
    pages = [np.full((32, 48, 3), value, np.uint8) for value in (40, 90, 200)]
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(pages[0][::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        for page in pages:  # of a single shade it is the brightness
            ycbcr = np.dstack([page[:, :, :1], page[:, :, 1:] * 0 + 128])
            writer.write(ycbcr, photometric="ycbcr", subsampling=(1, 1), metadata=None)
    for i, page in enumerate(pages):
        assert np.abs(read_image(file.getvalue(), page=i).astype(int) - page).max() <= 1, i
    for photometric in ("linear_raw", "icclab"):
        data = _tiff(pages[0], photometric=photometric)
        with pytest.raises(ImageError, match=r"cannot read .*: colours .* of 8 bits"):
            read_image(data, bands=0)


def test_bits_that_differ() -> None:
    data = bytearray(_tiff(_u8(9, 11, 3), photometric="rgb"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        place = file.pages[0].tags[258].valueoffset
    for bits in ((5, 6, 5), (8, 8, 16)):
        data[place : place + 6] = np.array(bits, "<u2").tobytes()
        with contextlib.suppress(ImageError):
            assert read_image(bytes(data)).shape == (9, 11, 3)


def test_a_palette_of_8_bits_in_16() -> None:
    indices, colours = _u8(9, 11), _u8(3, 256)
    data = _tiff(indices, photometric="palette", colormap=colours.astype(np.uint16))
    assert np.array_equal(read_image(data), colours.T[indices])


def test_none_where_white_is_zero() -> None:
    values = np.array([[0, np.nan], [-1, 10]], np.float32)
    data = _tiff(values, photometric="miniswhite", extratags=[(42113, "s", 0, "-1", True)])
    assert read_image(data, scale=(0, 10))[:, :, 0].tolist() == [[255, 0], [0, 0]]


_OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="11" '
    'SizeY="9" SizeZ="{}" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
    '<TiffData IFD="0"/></Pixels></Image></OME>'
)


@pytest.mark.parametrize("count", [10**9, 10**18, 10**30])
def test_more_planes_than_bytes(count: int) -> None:
    for text in (
        f'{{"shape": [{count}, 9, 11], "truncated": true}}',
        _OME.format(count),
        f"ImageJ=1.11a\nimages={count}\nslices={count}\n",
    ):
        data = _tiff(_u8(9, 11), description=text, metadata=None)
        tracemalloc.start()
        with contextlib.suppress(ImageError):
            read_image(data, page=0)
        assert tracemalloc.get_traced_memory()[1] < 2**24
        tracemalloc.stop()


def test_a_page_larger_than_those_that_belong_to_it() -> None:
    stack = _u16(3, 40, 60)
    data = bytearray(_tiff(stack, imagej=True))
    for place in range(len(data) - 500, len(data)):  # pages after the first, one byte at a time
        kept, data[place] = data[place], 0x68
        with contextlib.suppress(ImageError):
            assert read_image(bytes(data), page=0).shape == (40, 60, 3)
        data[place] = kept


def test_planes_in_another_file() -> None:
    data = _tiff(_u8(9, 11), description=_OME.format(3), metadata=None)
    read_image(data, page=0)
    with pytest.raises(ImageError, match="page 2 is in another file"):
        read_image(data, page=2)


def test_too_large_and_cut_off(tmp_path: Path) -> None:
    # A few hundred bytes that declare 2**40 pixels, and more bands than fit.
    for shape, reason in (((2**20, 2**20), "at most"), ((2**12, 2**12, 200), "at most")):
        data = bytearray(
            _tiff(
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
    whole = _tiff(_u8(64, 64, 3), photometric="rgb")
    for length in range(4, len(whole), 997):
        with pytest.raises(ImageError, match="cannot read"):
            read_image(whole[:length])


@pytest.mark.parametrize(("tag", "value"), [("StripByteCounts", 2**31), ("ImageLength", 2**20)])
def test_strips_that_the_file_cannot_hold(tag: str, value: int) -> None:
    """Longer ones, and more of them."""
    rows = 1 if tag == "ImageLength" else 6
    file = io.BytesIO(_tiff(_u8(6, 8), rowsperstrip=rows))
    with tifffile.TiffFile(file, mode="r+b") as opened:
        opened.pages[0].tags[tag].overwrite(value, dtype="I")
    file.seek(0)
    with pytest.raises(ImageError, match="its tags are damaged"):
        read_image(file)


@pytest.mark.parametrize("page", [-1, 1.5, True, "0", [0]])
def test_pages_that_cannot_be(page: Any) -> None:
    with pytest.raises(InputError, match="page: expected a number from 0 on"):
        read_image(_tiff(_u8(4, 5)), page=page)
    with pytest.raises(InputError, match="page: expected a file of several pages"):
        read_image(_u8(4, 5), page=0)


@pytest.mark.parametrize(
    "bands", [(), (0, 1), np.array(1), (0, 1, 2, 3), -1, (0, 1, -2), 1.0, "rgb", True]
)
def test_bands_that_cannot_be(bands: Any) -> None:
    with pytest.raises(InputError, match="bands: expected one or three numbers"):
        read_image(_u8(4, 5, 3), bands=bands)


@pytest.mark.parametrize(
    "scale",
    ["max", "", None, 3, (1,), (1, 1), (2, 1), (0, np.inf), (np.nan, 1), ("0", "1"), (0, 10**400)],
)
def test_scales_that_cannot_be(scale: Any) -> None:
    with pytest.raises(InputError, match=r'scale: expected "full", "minmax", "percentile"'):
        read_image(_u8(4, 5, 3), scale=scale)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_stack_as_frames(tmp_path: Path, compression: Any) -> None:
    stack = _u16(7, 20, 30) // 16
    path = tmp_path / "stack.tif"
    path.write_bytes(_tiff(stack, compression=compression))
    frames = open_frames(path, scale=(0, 4095))
    assert frames.count == 7
    assert frames.seekable
    for i in (0, 6, 3, 3, 1):
        assert np.array_equal(frames.read(i)[:, :, 2], np.rint(stack[i] / 4095 * 255))
    with pytest.raises(IndexError):
        frames.read(7)
    frames.close()
    with pytest.raises(InputError, match="closed"):
        frames.read(0)
    one = tmp_path / "one.tif"
    one.write_bytes(_tiff(stack[0]))
    single = open_frames(one, scale="minmax")
    assert (single.count, single.name(0)) == (1, "one.tif")
    assert single.read(0).max() == 255


def test_frames_of_many_bands(tmp_path: Path) -> None:
    stack = _u8(3, 9, 11, 5)
    path = tmp_path / "stack.tif"
    path.write_bytes(_tiff(stack, photometric="minisblack", planarconfig="contig"))
    with closing(open_frames(path)) as frames, pytest.raises(ImageError, match="5 bands"):
        frames.read(1)
    for source in (path, stack):
        with closing(open_frames(source, bands=(4, 0, 1))) as frames:
            assert np.array_equal(frames.read(1), stack[1][:, :, [4, 0, 1]])
    for wrong in ({"bands": (1, 2)}, {"scale": "max"}):
        with pytest.raises(InputError):
            open_frames(path, **wrong)


def test_a_video_has_no_bands() -> None:
    with pytest.raises(InputError, match="bands and scale are for pictures"):
        open_frames(iter([_u8(4, 5, 3)]), scale="minmax")


def test_a_warning_of_integers_that_use_little_of_their_range() -> None:
    grey = _u16(9, 11) // 16
    grey[0, :2] = 0, 4095
    for source in (grey, _tiff(grey), Image.fromarray(grey)):
        with pytest.warns(UserWarning, match="values are 0 to 4095, of 0 to 65535") as caught:
            dark = read_image(source)
        assert caught[0].filename == __file__
        assert dark.max() == 16
        assert read_image(source, scale="minmax").max() == 255  # and no warning
    eight = np.array([[3, 12]], np.uint8)
    png = io.BytesIO()
    Image.fromarray(eight).save(png, "PNG")
    for source in (png.getvalue(), _tiff(eight)):
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
    grey = _u8(9, 11)
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
