"""Images that are damaged, lie about their size, or are no images."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from hostile.harness import pick
from hostile.mutations import HOSTILE_VALUES, damaged
from PIL import Image

from samkit import read_image

SUFFIXES = (
    "png", "jpg", "tif", "webp", "gif", "bmp", "ppm", "tga", "ico", "jp2", "avif", "dds", "pcx",
    "sgi", "im", "icns",
)  # fmt: skip
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "F",
         "I;16", "I;16B", "I;16L", "RGBX", "La")  # fmt: skip
DTYPES = (
    "?", "u1", "i1", "<u2", ">u2", "<i2", ">i4", "u4", "i8", ">u8", "f2", "f4", ">f4", "f8", ">f8",
    "g", "c8", "O", "S3", "U2", "M8[s]", "m8[s]", "V4",
)  # fmt: skip

# Bits and colour type; the last ones do not exist.
PNG_KINDS = (
    (1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (8, 3), (8, 4), (16, 4),
    (8, 6), (16, 6), (16, 3), (3, 0), (8, 255),
)  # fmt: skip

# Tag -> values that it may have, of which many fit nothing.
TIFF_VALUES = {
    256: (0, 1, 8, 5000, 2**20, 2**31),
    257: (0, 1, 6, 3000, 2**20, 2**31),
    258: (1, 2, 4, 8, 10, 12, 16, 24, 32, 64, 128),
    259: (2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34887, 34892, 34925, 50000, 50001, 50002, 9),
    262: (0, 1, 2, 3, 4, 5, 6, 8, 9, 32803, 34892, 65535),
    266: (1, 2),
    277: (0, 1, 2, 3, 4, 5, 300, 65535),
    284: (1, 2, 3),
    317: (1, 2, 3, 34892, 9),
    320: (0, 65535),
    322: (0, 8, 16, 4096, 2**31),
    323: (0, 8, 16, 4096, 2**31),
    324: (400, 0, 2**32 - 1),
    325: (0, 144, 2**31),
    338: (0, 1, 2, 9),
    339: (1, 2, 3, 4, 5, 6, 0),
    347: (400,),
    530: (1, 2, 65535),
}


@cache
def picture(suffix: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, Image.registered_extensions()[f".{suffix}"])
    return encoded.getvalue()


def known_suffixes() -> list[str]:
    Image.init()
    return [s for s in SUFFIXES if Image.registered_extensions().get(f".{s}") in Image.SAVE]


def damaged_files(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    suffix = pick(rng, known_suffixes())
    data = damaged(rng, picture(suffix))
    if rng.random() < 0.2:
        data = damaged(rng, data + picture(pick(rng, known_suffixes())))
    way = rng.integers(3)
    if way == 0:
        return lambda: read_image(data)
    if way == 1:
        return lambda: read_image(io.BytesIO(data))
    path = folder / f"a.{pick(rng, (suffix, suffix, *SUFFIXES))}"
    path.write_bytes(data)
    return lambda: read_image(path)


def lying_pngs(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    """Headers with any size, depth and colour type, whose checksums are right."""
    sides = (0, 1, 2, 32, 2000, 4096, 2**16, 2**20, 2**29, 2**31 - 1, 2**31, 2**32 - 1)
    header = struct.pack(
        ">IIBBBBB",
        pick(rng, sides),
        pick(rng, sides),
        *pick(rng, PNG_KINDS),
        *pick(rng, ((0, 0, 0), (0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0), (0, 0, 2))),
    )
    rows = zlib.compress(bytes(int(pick(rng, (0, 100, 10**4, 10**7)))))
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    if rng.random() < 0.3:
        text = b"a\0\0" + zlib.compress(bytes(10**7))
        extra = [(b"zTXt", text), (b"iCCP", text), (b"PLTE", b"abc"), (b"tRNS", b"\0" * 300)]
        extra += [(b"eXIf", b"II*\0" + rng.bytes(30)), (b"acTL", rng.bytes(8))]
        chunks.insert(1, pick(rng, extra))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return lambda: read_image(data)


def odd_tiffs(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    """A TIFF of any kind of pixels, of which some tags say something else than what is stored."""
    order = pick(rng, "<>")
    width, height, bands = pick(rng, ((8, 6, 1), (8, 6, 3), (8, 6, 4), (9, 1, 2), (4, 5, 5)))
    bits = int(pick(rng, (8, 8, 16, 16, 32, 64, 1, 12)))
    count = width * height * bands * max(bits, 8) // 8
    tags = {
        256: [width],
        257: [height],
        258: [bits] * bands,
        259: [1],
        262: [2 if bands in (3, 4) else pick(rng, (0, 1))],
        273: [400],
        277: [bands],
        278: [height],
        279: [count],
        284: [pick(rng, (1, 1, 2))],
        339: [pick(rng, (1, 1, 2, 3))] * bands,
    }
    if tags[284] == [2]:
        tags[273] = [400 + i * count // bands for i in range(bands)]
        tags[279] = [count // bands] * bands
    for _ in range(rng.integers(0, 4)):
        tag = int(pick(rng, (*TIFF_VALUES, *tags)))
        if rng.random() < 0.15:
            tags.pop(tag, None)
        else:
            value = pick(rng, TIFF_VALUES.get(tag, (0, 1, 400, 10**6, 2**31, 2**32 - 1)))
            tags[tag] = [value] * int(pick(rng, (1, 1, bands, 7)))
    entries, behind = b"", b""
    for tag, values in sorted(tags.items()):
        data = struct.pack(f"{order}{len(values)}I", *values)
        where = data
        if len(data) > 4:
            where, behind = struct.pack(f"{order}I", 5000 + len(behind)), behind + data
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + where
    following = pick(rng, (0, 0, 0, 0, 8, 400, 2**32 - 1))
    directory = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", following)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    data = (start + directory).ljust(400, b"\0") + rng.bytes(count).ljust(4600, b"\0") + behind
    path = folder / "a.tif"
    path.write_bytes(data)
    return lambda: read_image(path)


def odd_arrays(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    axes = rng.integers(0, 6)
    shape = tuple(int(pick(rng, (0, 1, 2, 3, 4, 5, 9))) for _ in range(axes))
    if rng.random() < 0.5:
        shape = (7, 9, *pick(rng, ((), (1,), (2,), (3,), (4,), (5,))))
    raw = rng.integers(0, 256, (*shape, 16), np.uint8)
    dtype = np.dtype(pick(rng, DTYPES))
    if dtype.kind == "O":
        array = np.empty(shape, object)
        array[...] = pick(rng, (None, 3, "x", 10**400))
    elif rng.random() < 0.3:
        array = np.frombuffer(raw[..., : dtype.itemsize].tobytes(), dtype).reshape(shape)
    else:
        with np.errstate(all="ignore"):
            array = (raw[..., 0] / pick(rng, (1, 255, 1000, 1e-300))).astype("f8")
            array = array.astype(dtype) if dtype.kind not in "VmM" else np.zeros(shape, dtype)
    way = rng.integers(6)
    if way == 0 and array.ndim:
        array = array[::-1, ...]
    elif way == 1 and array.ndim > 1:
        array = array.swapaxes(0, 1)
    elif way == 2:
        array = np.broadcast_to(array, (2, *array.shape))
    elif way == 3:
        array = np.ma.masked_array(array)
    elif way == 4 and array.ndim:
        array.flags.writeable = False
    return lambda: read_image(array)


def odd_tensors(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    dtypes = (
        torch.bool, torch.uint8, torch.int8, torch.int64, torch.float16, torch.bfloat16,
        torch.float32, torch.float64, torch.complex64, torch.uint16, torch.float8_e4m3fn,
    )  # fmt: skip
    shape = pick(rng, ((), (3,), (5, 6), (3, 5, 6), (5, 6, 3), (1, 3, 5, 6), (0, 3, 3), (2, 5, 6)))
    dtype = pick(rng, dtypes)
    if rng.random() < 0.15:
        tensor = torch.empty(shape, dtype=dtype, device="meta")
    else:
        values = np.asarray(rng.random(shape)) * pick(rng, (1, 255, -1, 1e30, np.nan))
        tensor = torch.as_tensor(values).float().to(dtype)
    way = rng.integers(5)
    if way == 0 and tensor.ndim > 1 and not tensor.is_meta and dtype == torch.float32:
        tensor = tensor.to_sparse()
    elif way == 1 and tensor.is_floating_point() and tensor.element_size() > 1:
        tensor = tensor.requires_grad_()
    elif way == 2 and tensor.is_complex():
        tensor = tensor.conj()
    return lambda: read_image(tensor)


def odd_pil_images(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    mode = pick(rng, MODES)
    size = pick(rng, ((4, 3), (1, 1), (0, 3), (5, 0), (300, 2)))
    image = Image.new(mode, size)
    if mode == "P" and rng.random() < 0.7:
        image.putpalette(rng.bytes(int(pick(rng, (0, 3, 30, 768)))))
    way = rng.integers(5)
    if way == 0:
        image.info["transparency"] = pick(rng, HOSTILE_VALUES)
    elif way == 1:
        image.info["exif"] = pick(rng, (b"", b"Exif\0\0MM", rng.bytes(40), "x", None))
    elif way == 2:
        image.getexif()[0x0112] = pick(rng, HOSTILE_VALUES)
    elif way == 3:
        image.close()
    return lambda: read_image(image)


def no_images(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    class Reads:
        def __init__(self, value: object) -> None:
            self.value = value

        def read(self, *sizes: int) -> object:
            if isinstance(self.value, Exception):
                raise self.value
            return self.value

    closed = io.BytesIO(b"x")
    closed.close()
    pipe = folder / "pipe.png"
    os.mkfifo(pipe)
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to(folder / "loop.png")
    answers = (None, "text", b"", 3, [1], OSError(5, "broken"), ValueError("no"), bytearray(b"x"))
    options = (
        *HOSTILE_VALUES, closed, pipe, folder, folder / "folder.png", folder / "loop.png",
        b"", bytearray(), memoryview(b"x"), memoryview(b"abcdef")[::2], object(), type, print,
        Path("/dev/null"), "/dev/zero", "/dev/full", "file://", "file:///nowhere", b"/etc/passwd",
        "x" * 5000 + ".png", range(3), (i for i in ()), *map(Reads, answers), io.StringIO("x"),
    )  # fmt: skip
    source = pick(rng, options)
    return lambda: read_image(source)


WAYS = (
    (damaged_files, 5), (lying_pngs, 1), (odd_tiffs, 2), (odd_arrays, 2), (odd_tensors, 1),
    (odd_pil_images, 1), (no_images, 1),
)  # fmt: skip
ALL = [way for way, weight in WAYS for _ in range(weight)]


def test_images(hostile) -> None:
    hostile("images", lambda rng, folder: pick(rng, ALL)(rng, folder), 650)
