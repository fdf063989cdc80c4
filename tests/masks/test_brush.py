"""Run lengths of Label Studio: as its tools write and read them, and of others that are damaged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samkit.errors import InputError
from samkit.masks.brush import decode_brush, encode_brush

RNG = np.random.default_rng(0)


class Bits:
    """Numbers of chosen widths in a row, as bytes."""

    def __init__(
        self, count: int, value_bits: int = 8, length_bits: tuple[int, ...] = (3, 4, 8, 16)
    ):
        self.value_bits, self.length_bits = value_bits, length_bits
        self.text = f"{count:032b}{value_bits - 1:05b}"
        self.text += "".join(f"{bits - 1:04b}" for bits in length_bits)

    def run(self, width: int, length: int, value: int) -> "Bits":
        self.text += f"1{width:02b}{length - 1:0{self.length_bits[width]}b}"
        self.text += f"{value:0{self.value_bits}b}"
        return self

    def each(self, width: int, values: list[int]) -> "Bits":
        self.text += f"0{width:02b}{len(values) - 1:0{self.length_bits[width]}b}"
        self.text += "".join(f"{value:0{self.value_bits}b}" for value in values)
        return self

    def bytes(self) -> list[int]:
        padded = self.text + "0" * (-len(self.text) % 8)
        return [int(padded[i : i + 8], 2) for i in range(0, len(padded), 8)]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([[1]], [0, 0, 0, 4, 57, 27, 252, 127, 224]),
        ([[0]], [0, 0, 0, 4, 57, 27, 252, 96, 0]),
        (
            np.eye(3),
            [0, 0, 0, 36, 57, 27, 252, 127, 246, 192, 35, 255, 182, 1, 31, 248],
        ),
        (
            np.arange(300).reshape(3, 100) < 200,
            [0, 0, 4, 176, 57, 27, 255, 3, 31, 255, 224, 49, 224, 0],
        ),
    ],
)  # fmt: skip
def test_the_bytes_that_label_studio_writes(mask, expected: list[int]) -> None:
    """Made with `label_studio_sdk.converter.brush.mask2rle` of masks of 0 and 255."""
    mask = np.asarray(mask, bool)
    assert encode_brush(mask) == expected
    assert np.array_equal(decode_brush(expected, mask.shape, "it"), mask)


def written_by(count: int, runs: list[tuple[int, int]]) -> Bits:
    """Lengths and values in the narrowest width; what is longer than any, in pieces."""
    bits = Bits(count)
    for length, value in runs:
        width = sum(length > most for most in (8, 16, 256))
        for start in range(0, length, 2**16):
            bits.run(width, min(length - start, 2**16), value)
    return bits


@pytest.mark.parametrize("lengths", [(2, 2), (4, 60), (64, 65), (16384, 16385, 1), (50_000, 3)])
def test_widths_of_lengths_change_where_they_should(lengths: tuple[int, ...]) -> None:
    mask = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)[None]
    bits = written_by(4 * mask.size, [(4 * n, 255 * (i % 2)) for i, n in enumerate(lengths)])
    expected = bits.bytes() + [0] * (len(bits.text) % 8 == 0)
    assert encode_brush(mask) == expected
    assert np.array_equal(decode_brush(expected, mask.shape, "it"), mask)


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(0, 1),
    st.integers(1, 30),
    st.integers(0, 2**32 - 1),
)
def test_what_is_encoded_is_decoded(size, share: float, grain: int, seed: int) -> None:
    small = np.random.default_rng(seed).random(size) < share
    mask = np.repeat(np.repeat(small, grain, axis=0), grain, axis=1)
    data = encode_brush(mask)
    assert np.array_equal(decode_brush(data, mask.shape, "it"), mask)


@pytest.mark.parametrize("grain", [1, 3, 40])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_label_studio_reads_it_and_writes_the_same(grain: int, share: float) -> None:
    brush = pytest.importorskip(
        "label_studio_sdk.converter.brush", reason="label-studio-sdk needs tens of packages"
    )
    mask = np.kron(RNG.random((9, 11)) < share, np.ones((grain, grain))) > 0
    data = encode_brush(mask)
    assert data == brush.mask2rle(mask.astype(np.uint8) * 255)
    assert np.array_equal(brush.decode_rle(data).reshape(*mask.shape, 4)[..., 3] > 0, mask)


@given(st.data())
def test_records_of_any_kind(data: st.DataObject) -> None:
    """Also values one by one, other widths, and borders of records within a pixel."""
    value_bits = data.draw(st.integers(1, 32))
    length_bits = tuple(data.draw(st.lists(st.integers(1, 16), min_size=4, max_size=4)))
    pixels = data.draw(st.integers(1, 60))
    bits, values = Bits(4 * pixels, value_bits, length_bits), []
    value = st.one_of(st.just(0), st.integers(0, 2**value_bits - 1))
    while (left := 4 * pixels - len(values)) > 0:
        width = data.draw(st.integers(0, 3))
        length = data.draw(st.integers(1, min(left, 2 ** length_bits[width])))
        if data.draw(st.booleans()):
            one = data.draw(value)
            bits.run(width, length, one)
            values += [one] * length
        else:
            some = data.draw(st.lists(value, min_size=length, max_size=length))
            bits.each(width, some)
            values += some
    expected = np.array(values[3::4]) > 0
    assert np.array_equal(decode_brush(bits.bytes(), (1, pixels), "it")[0], expected)


@given(st.lists(st.integers(0, 255), max_size=30), st.booleans())
def test_noise_is_refused_or_a_mask(noise: list[int], has_header: bool) -> None:
    data = [0, 0, 0, 48, 57, 27, 252, *noise] if has_header else noise
    try:
        mask = decode_brush(data, (3, 4), "it")
    except InputError:
        return
    assert mask.shape == (3, 4)
    assert mask.dtype == bool


GOOD = encode_brush(RNG.random((6, 7)) < 0.5)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "expected a list of bytes"),
        ("rle", "expected a list of bytes"),
        (b"123", "expected a list of bytes"),
        (7, "expected a list of bytes"),
        ([1, 256], "expected a list of bytes"),
        ([-1], "expected a list of bytes"),
        ([0.5], "expected a list of bytes"),
        ([[1]], "expected a list of bytes"),
        ([10**30], "expected a list of bytes"),
        ([], "cut off"),
        ([0, 0, 0], "cut off"),
        (GOOD[:5], "cut off"),
        (GOOD[:-3], "cut off"),
        (encode_brush(np.zeros((6, 8), bool)), "expected run lengths of 6 x 7 pixels"),
        ([255] * 50, "expected run lengths of 6 x 7 pixels with 4 values, got 4294967295"),
        (Bits(168).run(3, 169, 1).bytes(), "expected 168 values, got a run to the 169th"),
        (Bits(168).each(2, [1] * 100).bytes()[:60], "cut off"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_damaged_run_lengths(data, reason: str) -> None:
    with pytest.raises(InputError, match=f"^region 3: .*{reason}"):
        decode_brush(data, (6, 7), "region 3")
