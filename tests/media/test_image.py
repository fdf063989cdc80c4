"""Whatever an image comes as, it ends as (H, W, 3) uint8 RGB."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from samkit.errors import ImageError
from samkit.media import image as image_module
from samkit.media import read_image

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encoded(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


PNG = encoded(Image.fromarray(RGB))


def test_every_kind_of_source(tmp_path: Path) -> None:
    path = tmp_path / "with space.png"
    path.write_bytes(PNG)
    chw = torch.from_numpy(RGB.copy()).permute(2, 0, 1)
    sources: list[Any] = [
        str(path),
        path,
        path.as_uri(),
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        io.BytesIO(PNG),
        Image.open(path),
        Image.fromarray(RGB),
        RGB,
        np.asfortranarray(RGB),
        RGB.astype(np.int64),
        RGB / 255,
        (RGB / 255).astype(np.float32),
        RGB.astype(np.uint16) * 257,
        chw,
        chw.permute(1, 2, 0),
        (chw / 255).requires_grad_(),
    ]
    with path.open("rb") as file:
        sources.append(file)
        for source in sources:
            image = read_image(source)
            assert image.dtype == np.uint8
            assert image.flags.c_contiguous
            assert image.flags.writeable
            np.testing.assert_array_equal(image, RGB)


def test_the_source_is_not_shared() -> None:
    source = RGB.copy()
    read_image(source)[:] = 0
    np.testing.assert_array_equal(source, RGB)
    tensor = torch.from_numpy(source)
    read_image(tensor)[:] = 0
    np.testing.assert_array_equal(source, RGB)


def test_large_images_are_copied_once(tmp_path: Path) -> None:
    grey = np.arange(2000, dtype=np.uint8)[:, None] * np.ones(1500, np.uint8)
    stack = np.dstack([grey, grey, grey])
    Image.fromarray(stack).save(tmp_path / "a.png")
    for source in (stack, Image.fromarray(stack), tmp_path / "a.png", Image.fromarray(grey)):
        tracemalloc.start()
        read_image(source)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1.5 * stack.nbytes, source


def test_channels_of_arrays() -> None:
    grey = RGB[:, :, 0]
    three = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_image(grey), three)
    np.testing.assert_array_equal(read_image(grey[:, :, None]), three)
    np.testing.assert_array_equal(read_image(torch.from_numpy(grey.copy())), three)
    np.testing.assert_array_equal(read_image(torch.from_numpy(grey.copy())[None]), three)
    np.testing.assert_array_equal(read_image(np.dstack([RGB, grey])), RGB)
    np.testing.assert_array_equal(read_image(grey > 100), np.where(three > 100, 255, 0))


def test_an_ambiguous_tensor_has_its_channels_first() -> None:
    tensor = torch.arange(27, dtype=torch.uint8).reshape(3, 3, 3)
    np.testing.assert_array_equal(read_image(tensor), tensor.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_float_tensors(dtype: torch.dtype) -> None:
    image = read_image(torch.tensor([[0, 0.5, 1]], dtype=dtype))
    assert image[0, :, 0].tolist() == [0, 128, 255]


@given(st.integers(0, 65535))
def test_sixteen_bits_are_divided_by_257(value: int) -> None:
    array = np.full((1, 1), value, np.uint16)
    assert read_image(array)[0, 0, 0] == round(value / 257)
    assert read_image(Image.fromarray(array))[0, 0, 0] == round(value / 257)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("dtype", "scale"), [("u2", 257), ("i4", 1), ("u8", 1), ("f4", 1 / 255), ("f8", 1 / 255)]
)
def test_any_byte_order(dtype: str, scale: float, order: str) -> None:
    array = (np.array([[0, 1, 2, 200]]) * scale).astype(order + dtype)
    assert read_image(array)[0, :, 0].tolist() == [0, 1, 2, 200]


@given(st.integers(0, 255))
def test_floats_come_back_exactly(value: int) -> None:
    for dtype in (np.float16, np.float32, np.float64):
        assert read_image(np.full((1, 1), value / 255, dtype))[0, 0, 0] == value


def test_rounding_outside_the_range_is_clipped() -> None:
    assert read_image(np.array([[-0.0005, 1.0005]]))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("band", [1, 2, 5, 256])
def test_modes_of_pillow(monkeypatch: pytest.MonkeyPatch, band: int) -> None:
    monkeypatch.setattr(image_module, "_BAND", band)
    image = Image.fromarray(RGB)
    alpha = Image.fromarray(RNG.integers(0, 256, (5, 7), dtype=np.uint8))
    rgba = image.copy()
    rgba.putalpha(alpha)
    np.testing.assert_array_equal(read_image(rgba), RGB)
    np.testing.assert_array_equal(read_image(encoded(rgba)), RGB)

    grey = image.convert("L")
    three = np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)
    grey_alpha = grey.copy()
    grey_alpha.putalpha(alpha)
    np.testing.assert_array_equal(read_image(grey), three)
    np.testing.assert_array_equal(read_image(grey_alpha), three)

    palette = image.quantize(256)
    np.testing.assert_array_equal(read_image(palette), RGB)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(
            read_image(encoded(palette, transparency=bytes(range(35)))), RGB
        )

    one_bit = grey.convert("1")
    assert set(np.unique(read_image(one_bit))) == {0, 255}
    assert (
        read_image(encoded(one_bit))[:, :, 0].tolist() == np.asarray(one_bit.convert("L")).tolist()
    )

    np.testing.assert_array_equal(
        read_image(Image.fromarray(255 - np.dstack([RGB, RGB[:, :, 0] * 0 + 255]), "CMYK")), RGB
    )
    for mode in ("YCbCr", "HSV", "RGBX"):
        assert np.abs(read_image(image.convert(mode)).astype(int) - RGB).mean() < 3
    assert read_image(rgba.convert("RGBa")).shape == RGB.shape


@pytest.mark.parametrize("file_format", ["PNG", "PPM", "TIFF"])
def test_sixteen_bit_files(file_format: str) -> None:
    array = np.array([[0, 257, 65535]], np.uint16)
    data = encoded(Image.fromarray(array), file_format)
    assert read_image(data)[0, :, 0].tolist() == [0, 1, 255]


def test_sixteen_bit_colours() -> None:
    """All bits count, where Pillow keeps the upper eight."""
    rgba = np.random.default_rng(0).integers(0, 4096, (5, 7, 4)).astype(np.uint16)
    rgba[0, 0], rgba[0, 1] = 0, 4095
    for count, shown in ((3, rgba[:, :, :3]), (4, rgba[:, :, :3]), (2, rgba[:, :, [0, 0, 0]])):
        data = imagecodecs.png_encode(np.ascontiguousarray(rgba[:, :, :count]))
        expected = np.rint(shown / 4095 * 255)
        assert np.array_equal(read_image(data, scale=(0, 4095)), expected)
        assert np.array_equal(read_image(data, scale=(0, 65535)), np.rint(shown / 257))
        with pytest.warns(UserWarning, match="0 to 4095"):
            read_image(data)
    assert np.array_equal(
        read_image(data, bands=1, scale=(0, 4095))[:, :, 0], np.rint(rgba[:, :, 1] / 4095 * 255)
    )
    turned = Image.Exif()
    turned[0x0112] = 6
    exif = turned.tobytes()[6:]  # without the mark of JPEG
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    data = imagecodecs.png_encode(rgba)
    data = data[:33] + chunk + data[33:]
    upright = np.rot90(np.rint(rgba[:, :, :3] / 4095 * 255), -1)
    assert np.array_equal(read_image(data, scale=(0, 4095)), upright)


def _pnm(kind: str, top: int, values: np.ndarray) -> bytes:
    head = f"{kind} # of a camera\n{values.shape[1]} {values.shape[0]}\n{top}\n".encode()
    if kind in ("P2", "P3"):
        return head + b" ".join(b"%d" % value for value in values.ravel()) + b" # end\n"
    return head + values.astype(np.uint8 if top < 256 else ">u2").tobytes()


def _fits(values: np.ndarray, bits: int, **cards: float) -> bytes:
    named = {"SIMPLE": "T", "BITPIX": bits, "NAXIS": 2, "NAXIS1": 7, "NAXIS2": 5, **cards}
    text = "".join(f"{name:8}= {value!s:>20}".ljust(80) for name, value in named.items())
    return (text + "END").ljust(2880).encode() + values.tobytes().ljust(2880, b"\0")


@pytest.mark.parametrize("top", [100, 1000, 4095, 65535])
@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
def test_any_largest_value_of_pnm(kind: str, top: int) -> None:
    values = RNG.integers(0, top + 1, (5, 7, 3) if kind in ("P3", "P6") else (5, 7, 1))
    data = _pnm(kind, top, values)
    expected = np.broadcast_to(np.rint(values / top * 255), (5, 7, 3))
    assert np.array_equal(read_image(data), expected)
    assert np.array_equal(read_image(data, scale=(0, top)), expected)
    assert np.array_equal(read_image(data, bands=0)[:, :, 1], expected[:, :, 0])
    if top < 65535:
        with pytest.raises(ImageError, match=f"values 0..{top}|cannot read"):
            read_image(_pnm(kind, top, values * 0 + top + 1))
    with pytest.raises(ImageError, match="cannot read"):
        read_image(data[:-12])


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_jpeg_2000_of_many_bits(bits: int, shape: tuple[int, ...]) -> None:
    values = RNG.integers(0, 2**bits, shape).astype(np.uint16)
    values[0, 0] = 2**bits - 1  # white, which Pillow reads as black in colours
    data = imagecodecs.jpeg2k_encode(values, level=0, reversible=True, bitspersample=bits)
    rgb = np.rint(np.atleast_3d(values)[:, :, :3] / (2**bits - 1) * 255)
    expected = np.broadcast_to(rgb, (5, 7, 3))
    assert np.array_equal(read_image(data), expected)
    assert np.array_equal(read_image(data, scale=(0, 2**bits - 1)), expected)
    size = data.index(b"\xff\x4f\xff\x51") + 8  # declares more than its header
    with pytest.raises(ImageError, match="cannot read"):
        read_image(data[:size] + (2**20).to_bytes(4, "big") + data[size + 4 :])


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_of_many_bits(bits: int) -> None:
    values = np.add.outer(np.arange(64), np.arange(48)) * (2**bits // 128)
    rgb = np.dstack([values] * 3).astype(np.uint16)
    data = imagecodecs.avif_encode(rgb, level=100, bitspersample=bits)
    for scale in ("full", (0, 2**bits - 1)):
        expected = np.rint(rgb / (2**bits - 1) * 255)
        assert np.abs(read_image(data, scale=scale) - expected).max() <= 1


def test_fits_of_16_bits() -> None:
    values = RNG.integers(0, 65536, (5, 7)).astype(np.uint16)
    stored = (values.astype(int) - 32768).astype(">i2")
    data = _fits(stored, 16, BZERO=32768.0, BSCALE=1)
    assert np.array_equal(read_image(data)[::-1, :, 0], read_image(values)[:, :, 0])
    with pytest.raises(ImageError, match=r"int16 with values 0\.\.255, got -"):
        read_image(_fits(stored, 16))
    for cards in ({"BSCALE": 0.5}, {"BZERO": 7}, {"NAXIS": 3, "NAXIS3": 2}):
        with pytest.raises(ImageError, match="is not read: open it with another library"):
            read_image(_fits(np.tile(stored, (3, 1)), 16, **cards))


def test_sgi_of_16_bits() -> None:
    head = struct.pack(">hbbHHHH", 474, 0, 2, 3, 7, 5, 3).ljust(512, b"\0")
    with pytest.raises(ImageError, match="convert it to PNG or TIFF"):
        read_image(head + bytes(210))
    assert np.array_equal(read_image(encoded(Image.fromarray(RGB), "SGI")), RGB)


def test_float_and_wide_integer_files() -> None:
    for array in (np.array([[0, 1 / 255, 1]], np.float32), np.array([[0, 1, 255]], np.int32)):
        data = encoded(Image.fromarray(array), "TIFF")
        assert read_image(data)[0, :, 0].tolist() == [0, 1, 255]
    with pytest.raises(ImageError, match=r"values 0\.\.255, got 0\.\.256"):
        read_image(encoded(Image.fromarray(np.array([[0, 256]], np.int32)), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    # How a viewer turns each stored picture upright, written out with arrays.
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }[orientation](RGB)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(RGB), exif=exif.tobytes())
    np.testing.assert_array_equal(read_image(data), upright)
    np.testing.assert_array_equal(read_image(Image.open(io.BytesIO(data))), upright)


def test_a_pil_image_that_its_owner_changed_is_taken_as_it_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = Image.open(io.BytesIO(encoded(Image.fromarray(RGB), exif=exif.tobytes())))
    turned = opened.rotate(-90, expand=True)  # upright now, but the tag is still there
    assert turned.getexif()[0x0112] == 6
    for image in (turned, opened.convert("RGB"), ImageOps.exif_transpose(opened)):
        np.testing.assert_array_equal(read_image(image), np.asarray(image))


def test_damaged_exif_is_ignored() -> None:
    data = encoded(Image.fromarray(RGB), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(read_image(data), RGB)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"channels first: use array.transpose\(1, 2, 0\)"),
        (np.zeros((2, 8, 9, 3), np.uint8), "one by one"),
        (np.zeros((8, 9, 2), np.uint8), r"got array \(8, 9, 2\)"),
        (np.zeros(5, np.uint8), r"got array \(5,\)"),
        (np.zeros((0, 4, 3), np.uint8), "at least 1 x 1"),
        (np.zeros((4, 0), np.uint8), "at least 1 x 1"),
        (np.full((2, 2), np.nan), "finite"),
        (np.full((2, 2), np.inf, np.float32), "finite"),
        (np.full((2, 2), 255.0), r"0\.\.1, got 255\.\.255"),
        (np.full((2, 2), -0.1), r"0\.\.1, got"),
        (np.full((2, 2), -1, np.int32), r"0\.\.255, got -1"),
        (np.full((2, 2), 256, np.int64), r"0\.\.255, got 256"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.zeros((2, 2), "m8[s]"), "timedelta64"),
        (np.full((2, 2), None), "object"),
        (np.zeros((2, 2), "M8[s]"), "datetime64"),
        (np.zeros((2, 2), [("r", "u1")]), "of bool, integers or floats"),
        (np.ma.zeros((2, 2), [("r", "u1")]), "of bool, integers or floats"),
        (np.broadcast_to(np.uint8(0), (2**20, 2**20)), "at most 536870912 pixels"),
        (np.broadcast_to(np.float32(0), (4, 2**25, 3)), "sides of at most"),
        (torch.zeros(1).expand(3, 2**20, 2**20), "at most 536870912 pixels"),
        (torch.zeros(2, 3, 8, 9), "one by one"),
        (torch.zeros(0, 3), "at least 1 x 1"),
        (torch.full((3, 2, 2), torch.nan), "finite"),
        (torch.zeros(3, 2, 2, device="meta"), "cannot read the values"),
        (None, "NoneType"),
        ([[0, 1]], "list"),
        (3, "int"),
    ],
)
def test_what_is_no_image(array: Any, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_image(array)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_what_is_masked_counts_for_nothing(dtype: Any) -> None:
    values = np.ma.masked_array(np.array([[1, 5], [9999, 11]], dtype), [[0, 0], [1, 0]])
    for scale in ("minmax", (1, 11)):
        assert read_image(values, scale=scale)[:, :, 0].tolist() == [[0, 102], [0, 255]]
    assert read_image(values, scale="percentile")[1, 0, 0] == 0
    whole = np.ma.masked_array(np.array([[0, 1], [99, 1]]), [[0, 0], [1, 0]]) * 0.5
    assert read_image(whole)[:, :, 0].tolist() == [[0, 128], [0, 128]]


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_an_array() -> None:
    assert np.array_equal(read_image(np.matrix(RGB[:, :, 0])), read_image(RGB[:, :, 0].copy()))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    big = encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), "JPEG")
    files = {
        "text.png": (b"no image", "not an image of a known format"),
        "empty.png": (b"", "it is empty"),
        "cut.jpg": (big[: len(big) // 2], "truncated"),
        "cut.png": (PNG[:60], ""),
        "header.png": (PNG[:20], ""),
    }
    for name, (data, reason) in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ImageError, match=f"{name}: .*{reason}"):
            read_image(path)
        with pytest.raises(ImageError, match=f"bytes: .*{reason}"):
            read_image(data)
        with pytest.raises(ImageError, match=f"BytesIO: .*{reason}"):
            read_image(io.BytesIO(data))
    for path, reason in (
        (tmp_path / "none.png", "no such file"),
        (tmp_path, "got a folder"),
        (tmp_path / "text.png" / "a.png", "Not a directory"),
    ):
        with pytest.raises(ImageError, match=reason):
            read_image(path)


@given(st.binary(max_size=40), st.integers(8, len(PNG)))
def test_damaged_bytes_raise_nothing_else(noise: bytes, start: int) -> None:
    damaged = PNG[:start] + noise + PNG[start + len(noise) :]
    for data in (damaged, noise):
        with contextlib.suppress(ImageError):
            assert read_image(data).shape[2] == 3


def test_text_and_closed_files(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="mode 'rb'"):
        read_image(io.StringIO("text"))
    closed = io.BytesIO(PNG)
    closed.close()
    with pytest.raises(ImageError, match="closed file"):
        read_image(closed)


@pytest.mark.parametrize("error", [EOFError, zlib.error, RuntimeError, TimeoutError, TypeError])
def test_file_objects_that_fail(error: type[Exception]) -> None:
    class Stream:
        def read(self) -> bytes:
            raise error("cut off")

    with pytest.raises(ImageError, match="cannot read file object Stream: cut off"):
        read_image(Stream())


def test_addresses_are_not_fetched() -> None:
    with pytest.raises(ImageError, match="download it first"):
        read_image("https://example.org/a.png")


def test_huge_images(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Image.MAX_IMAGE_PIXELS
    # More than Pillow itself would open, and not a warning either.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    opener, accept = Image.OPEN["PNG"]
    limits = []

    def watched(*args: Any) -> Image.Image:
        limits.append(Image.MAX_IMAGE_PIXELS)
        return opener(*args)

    monkeypatch.setitem(Image.OPEN, "PNG", (watched, accept))
    np.testing.assert_array_equal(read_image(PNG), RGB)
    # Others who open images meanwhile keep the limit that is theirs.
    assert limits == [10]
    monkeypatch.setenv("SAMKIT_MAX_IMAGE_PIXELS", "34")
    with pytest.raises(ImageError, match="at most 34 pixels, got 7 x 5"):
        read_image(PNG)
    monkeypatch.undo()
    assert before == Image.MAX_IMAGE_PIXELS


def test_torch_is_not_imported() -> None:
    code = (
        "import sys, numpy; from samkit.media import read_image;"
        "read_image(numpy.zeros((2, 2), numpy.uint8)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ.copy())
