"""Label Studio's run lengths of what a brush painted: bits, packed into bytes.

The values are those of an RGBA picture in one row, four of them for each pixel, row by row. First
come 32 bits with their number, 5 with the width of a value less one, and 4 times 4 with the widths
of lengths, each less one. Each record that follows begins with a bit: 1 for a run of one value, 0
for values one by one. Two bits choose the width of the length, which follows, less one; then come
the values. What is painted is where the fourth value of a pixel, its opacity, is not 0.
"""

import numpy as np
import numpy.typing as npt

from samkit.errors import InputError, shown

__all__ = ["decode_brush", "encode_brush"]

_VALUE_BITS = 8
_LENGTH_BITS = np.array([3, 4, 8, 16])
_CHANNELS = 4
_HEADER_BITS = 32 + 5 + 4 * 4
_MOST_VALUES = 2**32 - 1


def encode_brush(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Encode a mask (H, W) as Label Studio's own tools do, to the bit: bytes 0 to 255.

    Raises:
        InputError: it has 2**30 pixels or more, whose number does not fit.
    """
    row = mask.ravel()
    if row.size * _CHANNELS > _MOST_VALUES:
        raise InputError(f"expected fewer than 2**30 pixels for Label Studio, got {row.size}")
    starts = np.concatenate([[0], np.flatnonzero(row[1:] != row[:-1]) + 1])
    lengths = np.diff(starts, append=row.size) * _CHANNELS
    width = np.searchsorted(1 << _LENGTH_BITS[:3], lengths)  # which of the widths
    # Runs that are longer than the widest length become several, of which all but one are full.
    longest = 1 << int(_LENGTH_BITS[3])
    pieces = -(-lengths // longest)
    of = np.repeat(np.arange(len(lengths)), pieces)
    is_last = np.append(of[1:] != of[:-1], True)
    lengths = np.where(is_last, (lengths - (pieces - 1) * longest)[of], longest)
    width, values = width[of], row[starts][of] * np.int64(255)
    bits = _LENGTH_BITS[width]
    records = (4 + width) << bits | (lengths - 1)  # 4: the first bit of a run
    header = row.size * _CHANNELS << 5 | (_VALUE_BITS - 1)
    for bits_of_length in _LENGTH_BITS.tolist():
        header = header << 4 | (bits_of_length - 1)
    packed: list[int] = _packed(
        np.concatenate([[header], records << _VALUE_BITS | values]),
        np.concatenate([[_HEADER_BITS], 3 + bits + _VALUE_BITS]),
    ).tolist()
    return packed


def _packed(numbers: npt.NDArray[np.int64], widths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Numbers as bits, the highest first, each in its width, one after the other."""
    of = np.repeat(np.arange(len(numbers)), widths)
    place = np.cumsum(widths)[of] - 1 - np.arange(len(of))
    bits = (numbers[of] >> place & 1).astype(np.uint8)
    # As Label Studio's tools: where the last byte is full, another one follows.
    return np.packbits(np.append(bits, np.uint8(0)))


def decode_brush(data: object, image_size: tuple[int, int], what: str) -> npt.NDArray[np.bool_]:
    """Decode to a mask (H, W).

    Args:
        data: the bytes as a list of whole numbers.
        image_size: (height, width) that it has to have.
        what: the beginning of error messages.

    Raises:
        InputError: these are no bytes, or damaged, or of another size.
    """
    try:
        packed = bytes(data) if isinstance(data, list) else None
    except (TypeError, ValueError):
        packed = None
    if packed is None:
        raise InputError(f"{what}: expected a list of bytes 0 to 255, got {shown(data)}")
    bits = _Bits(packed, what)
    count = bits.take(32)
    height, width = image_size
    if count != height * width * _CHANNELS:
        raise InputError(
            f"{what}: expected run lengths of {height} x {width} pixels with {_CHANNELS} values, "
            f"got {count} values"
        )
    value_bits = bits.take(5) + 1
    length_bits = [bits.take(4) + 1 for _ in range(4)]
    mask = np.zeros(height * width, np.bool_)
    at = 0
    while at < count:
        is_run = bits.take(1)
        end = at + 1 + bits.take(length_bits[bits.take(2)])
        if end > count:
            raise InputError(f"{what}: expected {count} values, got a run to the {end}th")
        # Pixel i is painted if value 4 i + 3 is not 0.
        first, last = at // _CHANNELS, end // _CHANNELS
        if is_run:
            if bits.take(value_bits):
                mask[first:last] = True
        else:
            painted = bits.take_many(end - at, value_bits)
            mask[first:last] = painted[_CHANNELS * first + _CHANNELS - 1 - at :: _CHANNELS]
        at = end
    return mask.reshape(height, width)


class _Bits:
    """Bits of bytes, taken one after the other."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._what = data, what
        self._at = 0

    def take(self, count: int) -> int:
        """A number of at most 32 bits."""
        first, skipped = divmod(self._at, 8)
        some = self._data[first : first + 5]
        left = 8 * len(some) - skipped - count
        if left < 0:
            raise self._cut_off()
        self._at += count
        return int.from_bytes(some, "big") >> left & ((1 << count) - 1)

    def take_many(self, count: int, bits: int) -> npt.NDArray[np.bool_]:
        """Whether each of so many numbers is not 0."""
        first, skipped = divmod(self._at, 8)
        end = self._at + count * bits
        if end > 8 * len(self._data):
            raise self._cut_off()
        some = np.frombuffer(self._data, np.uint8)[first : -(-end // 8)]
        self._at = end
        flags = np.unpackbits(some)[skipped : skipped + count * bits]
        return np.asarray(flags.reshape(count, bits).any(1))

    def _cut_off(self) -> InputError:
        return InputError(f"{self._what}: the run lengths are cut off")
