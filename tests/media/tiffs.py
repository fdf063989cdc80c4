"""TIFF files of random values, written by tifffile."""

import io
from typing import Any

import numpy as np
import tifffile

RNG = np.random.default_rng(0)


def u8(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def u16(*shape: int) -> np.ndarray:
    return RNG.integers(0, 65536, shape, dtype=np.uint16)


def tiff_of(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def packed(values: np.ndarray, bits: int, **options: Any) -> bytearray:
    """Values (H, W) of so many bits each, rows from whole bytes on, without tifffile's packing."""
    places = np.arange(bits - 1, -1, -1)
    rows = (values[:, :, None] >> places & 1).astype(np.uint8).reshape(len(values), -1)
    options |= {"photometric": "minisblack", "metadata": None}
    data = bytearray(tiff_of(np.packbits(rows, axis=1), **options))
    set_tags(data, {256: values.shape[1], 258: bits})
    return data


def set_tags(data: bytearray, values: dict[int, int]) -> None:
    """Change tags of a little-endian file in place, to values below 256."""
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        for tag, value in values.items():
            data[file.pages[0].tags[tag].valueoffset] = value


def by_257(array: np.ndarray) -> np.ndarray:
    return np.rint(array / 257).astype(np.uint8)
