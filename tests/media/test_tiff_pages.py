"""Pages of TIFF files, and stacks of them as frames."""

import contextlib
import io
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from media.tiffs import by_257, tiff_of, u8, u16

from samkit.errors import ImageError, InputError
from samkit.media import read_image
from samkit.media.frames import open_frames


@pytest.mark.parametrize("kind", ["shaped", "plain", "imagej", "ome", "compressed", "sizes"])
def test_a_stack_is_never_its_first_page(kind: str) -> None:
    pages = [u16(20, 30) for _ in range(7)]
    options: dict[str, Any] = {
        "shaped": {},
        "plain": {"metadata": None},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "ome": {"ome": True, "metadata": {"axes": "TYX"}},
        "compressed": {"compression": "zlib"},
    }
    if kind == "sizes":
        pages[3] = u16(25, 30)
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as writer:
            for page in pages:
                writer.write(page, metadata=None)
        data = file.getvalue()
        # tifffile puts pages of one shape together.
        pages = [*pages[:3], *pages[4:], pages[3]]
    else:
        data = tiff_of(np.stack(pages), **options[kind])
    with pytest.raises(ImageError, match=r"7 pages: choose one .*page=.* or go through all"):
        read_image(data)
    for i, page in enumerate(pages):
        assert np.array_equal(read_image(data, page=i)[:, :, 0], by_257(page)), i
    with pytest.raises(ImageError, match="expected a page below 7, got 7"):
        read_image(data, page=7)


def test_one_page_that_stands_for_many() -> None:
    stack = u8(5, 20, 30)
    for options in ({}, {"imagej": True, "metadata": {"axes": "ZYX"}}):
        data = tiff_of(stack, truncate=True, **options)
        assert np.array_equal(read_image(data, page=3)[:, :, 0], stack[3])


def test_channels_are_bands_of_a_page() -> None:
    planes = u16(4, 3, 20, 30)
    for axes, options in (("ZCYX", {"imagej": True}), ("TCYX", {"ome": True})):
        data = tiff_of(planes, metadata={"axes": axes}, **options)
        with pytest.raises(ImageError, match="3 bands"):
            read_image(data, page=2)
        expected = by_257(planes[2, [2, 0, 1]].transpose(1, 2, 0))
        assert np.array_equal(read_image(data, page=2, bands=(2, 0, 1)), expected)


def test_levels_of_a_pyramid_do_not_count() -> None:
    full = u8(64, 64, 3)
    for subifds in (0, 1):
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as writer:
            writer.write(full, photometric="rgb", subifds=subifds)
            writer.write(full[::2, ::2], photometric="rgb", subfiletype=1)
        assert np.array_equal(read_image(file.getvalue()), full)


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
        data = tiff_of(pages[0], photometric=photometric)
        with pytest.raises(ImageError, match=r"cannot read .*: colours .* of 8 bits"):
            read_image(data, bands=0)


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
        data = tiff_of(u8(9, 11), description=text, metadata=None)
        tracemalloc.start()
        with contextlib.suppress(ImageError):
            read_image(data, page=0)
        assert tracemalloc.get_traced_memory()[1] < 2**24
        tracemalloc.stop()


def test_a_page_larger_than_those_that_belong_to_it() -> None:
    stack = u16(3, 40, 60)
    data = bytearray(tiff_of(stack, imagej=True))
    for place in range(len(data) - 500, len(data)):  # pages after the first, one byte at a time
        kept, data[place] = data[place], 0x68
        with contextlib.suppress(ImageError):
            assert read_image(bytes(data), page=0).shape == (40, 60, 3)
        data[place] = kept


def test_planes_in_another_file() -> None:
    data = tiff_of(u8(9, 11), description=_OME.format(3), metadata=None)
    read_image(data, page=0)
    with pytest.raises(ImageError, match="page 2 is in another file"):
        read_image(data, page=2)


@pytest.mark.parametrize("page", [-1, 1.5, True, "0", [0]])
def test_pages_that_cannot_be(page: Any) -> None:
    with pytest.raises(InputError, match="page: expected a number from 0 on"):
        read_image(tiff_of(u8(4, 5)), page=page)
    with pytest.raises(InputError, match="page: expected a file of several pages"):
        read_image(u8(4, 5), page=0)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_stack_as_frames(tmp_path: Path, compression: Any) -> None:
    stack = u16(7, 20, 30) // 16
    path = tmp_path / "stack.tif"
    path.write_bytes(tiff_of(stack, compression=compression))
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
    one.write_bytes(tiff_of(stack[0]))
    single = open_frames(one, scale="minmax")
    assert (single.count, single.name(0)) == (1, "one.tif")
    assert single.read(0).max() == 255


def test_frames_of_many_bands(tmp_path: Path) -> None:
    stack = u8(3, 9, 11, 5)
    path = tmp_path / "stack.tif"
    path.write_bytes(tiff_of(stack, photometric="minisblack", planarconfig="contig"))
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
        open_frames(iter([u8(4, 5, 3)]), scale="minmax")
