"""Masks with all that goes with them as a numpy archive, exactly."""

import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from samkit import rle
from samkit.errors import InputError
from samkit.geometry import checked_size
from samkit.limits import check_mask_size, limits
from samkit.masks import checks
from samkit.masks.fields import FIELD_NAMES, Fields
from samkit.masks.storage import Pixels, RunLengths, Storage

__all__ = ["read_npz", "write_npz"]

_VERSION = 1
_OWN = ("samkit_masks", "packed", "image_size", "compressed")
_HEADERS: Mapping[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def write_npz(masks: Storage, fields: Fields, file: IO[bytes]) -> None:
    """See `Masks.save`."""
    height, width = masks.image_size
    packed = np.empty((len(masks), height, (width + 7) // 8), np.uint8)
    for row, mask in zip(packed, masks, strict=True):
        row[...] = np.packbits(mask, axis=1)
    arrays: dict[str, Any] = {
        "samkit_masks": np.array(_VERSION),
        "packed": packed,
        "image_size": np.array(masks.image_size),
        "compressed": np.array(isinstance(masks, RunLengths)),
        "boxes": fields.boxes_of(masks),
        **fields.arrays(),
    }
    np.savez_compressed(file, **arrays)


def read_npz(file: IO[bytes]) -> tuple[Storage, Fields]:
    """See `Masks.load`.

    Raises:
        InputError: something else, damaged, or larger than `samkit.limits` allows.
        Exception: of damaged archives, of nearly any type.
    """
    arrays = _arrays(file)
    missing = [name for name in (*_OWN, "scores") if name not in arrays]
    if missing:
        raise InputError(
            f"expected masks that were saved by samkit, without {missing[0]} it is none"
        )
    version, compressed = arrays["samkit_masks"], arrays["compressed"]
    if version.shape != () or version.dtype.kind not in "iu" or version != _VERSION:
        raise InputError(f"expected version {_VERSION} of the file, got {version!r:.80}")
    if compressed.shape != () or compressed.dtype != np.bool_:
        raise InputError(f"compressed: expected true or false, got {compressed!r:.80}")
    height, width = checked_size(arrays["image_size"], "image size")
    packed: npt.NDArray[np.uint8] = arrays["packed"]
    expected = (height, (width + 7) // 8)
    if packed.ndim != 3 or packed.shape[1:] != expected or packed.dtype != np.uint8:
        raise InputError(
            f"expected packed masks of {height} x {width}, got {packed.dtype} of {packed.shape}"
        )
    check_mask_size(len(packed), height, width, "masks")
    given = {name: arrays.get(name) for name in FIELD_NAMES[1:]}
    fields = Fields.checked(len(packed), arrays["scores"], given)
    if not compressed:
        stack = np.unpackbits(packed, axis=2, count=width).view(np.bool_)
        return Pixels(checks.frozen(stack)), fields
    one_by_one = (np.unpackbits(row, axis=1, count=width).view(np.bool_) for row in packed)
    return RunLengths(rle.encode(one_by_one), (height, width)), fields


def _arrays(file: IO[bytes]) -> dict[str, npt.NDArray[Any]]:
    """The arrays that we know, after all sizes were checked."""
    if not zipfile.is_zipfile(file):
        raise InputError("expected masks that were saved by samkit, got no whole archive")
    with zipfile.ZipFile(file) as archive:
        names = {f"{name}.npy": name for name in (*_OWN, *FIELD_NAMES)}
        entries = [entry for entry in archive.infolist() if entry.filename in names]
        unpacked, most = sum(entry.file_size for entry in entries), limits().mask_pixels
        if unpacked > most:
            raise InputError(
                f"expected arrays of at most {most} bytes, got {unpacked} (mask_pixels of "
                "samkit.limits)"
            )
        for entry in entries:
            _check_header(archive, entry)
        arrays = {}
        for entry in entries:
            with archive.open(entry) as member:
                arrays[names[entry.filename]] = np.lib.format.read_array(member, allow_pickle=False)
    return arrays


def _check_header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Check that an array takes as many bytes as its entry in the archive."""
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if version not in _HEADERS:
            raise InputError(
                f"{entry.filename}: expected version 1 or 2 of the form, got {version}"
            )
        shape, _, dtype = _HEADERS[version](member)
        held = entry.file_size - member.tell()
    declared = dtype.itemsize
    for side in shape:  # in whole numbers of Python, which do not overflow
        declared *= side
    if dtype.hasobject or declared != held:
        raise InputError(
            f"{entry.filename}: expected {shape} of {dtype} in {declared} bytes, got {held}"
        )
