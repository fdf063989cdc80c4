"""Run lengths hold the same pixels, and damaged ones never reach the decoder."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samkit import rle
from samkit.errors import InputError
from samkit.geometry import mask_boxes
from samkit.masks import Masks

stacks = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=9))


def plain(mask: np.ndarray) -> list[int]:
    """Run lengths by the definition: columns, background first."""
    pixels = mask.T.ravel().tolist()
    runs, value = [0], False
    for pixel in pixels:
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@given(stacks)
def test_round_trip(stack: np.ndarray) -> None:
    size = stack.shape[1:]
    strings = rle.encode(stack)
    np.testing.assert_array_equal(rle.decode(strings, size), stack)
    np.testing.assert_array_equal(rle.areas(strings, size), stack.sum(axis=(1, 2)))
    np.testing.assert_array_equal(rle.boxes(strings, size), mask_boxes(stack))


@given(stacks)
def test_strings_bytes_and_plain_lists_are_accepted(stack: np.ndarray) -> None:
    height, width = stack.shape[1:]
    for mask, one in zip(stack, rle.encode(stack), strict=True):
        for counts in (one, one.decode(), plain(mask), np.array(plain(mask))):
            given_ = {"size": [height, width], "counts": counts}
            assert rle.checked_counts(given_, (height, width), "it") == one


def test_run_lengths() -> None:
    """They start with background, column by column."""
    mask = np.array([[True, False], [True, True]])
    counts = rle.as_rle(rle.encode([mask])[0], (2, 2))["counts"]
    assert rle.run_lengths(counts) == [0, 2, 1, 1]


def test_large_masks() -> None:
    stack = np.zeros((2, 3000, 2000), bool)
    stack[0, 5:2900, 7:1990] = True
    stack[1, 2999, 1999] = True
    strings = rle.encode(stack)
    size = (3000, 2000)
    np.testing.assert_array_equal(rle.decode(strings, size), stack)
    for one in strings:
        assert rle.checked_counts({"size": size, "counts": one}, size, "it") == one


GOOD = Masks(np.eye(4, 5, dtype=bool)[None], [1]).to_rle()[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": [5, 4]}, r"size \[4, 5\], got \[5, 4\]"),
        ({"size": 4}, "size"),
        ({"size": None}, "size"),
        ({"counts": ""}, "fill 4 x 5"),
        ({"counts": "05"}, "fill 4 x 5"),
        ({"counts": GOOD["counts"][:-1]}, "fill 4 x 5"),
        ({"counts": GOOD["counts"] + "P"}, "cut off"),
        ({"counts": "zzz"}, "not compressed run lengths"),
        ({"counts": "\u20ac"}, "not compressed run lengths"),
        ({"counts": "P" * 9 + "0"}, "too large"),
        ({"counts": [20, 1]}, "fill 4 x 5"),
        ({"counts": [-1, 21]}, "fill 4 x 5"),
        ({"counts": [2**62, 2**62, 2**62, 2**62, 20]}, "fill 4 x 5"),
        ({"counts": []}, "list of integers|fill 4 x 5"),
        ({"counts": [0.5]}, "list of integers"),
        ({"counts": [[1]]}, "list of integers"),
        ({"counts": None}, "list of integers"),
    ],
)
def test_damaged(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Masks.from_rle([{**GOOD, **change}], (4, 5), [1])


@pytest.mark.parametrize("rle_", [None, {}, {"size": [4, 5]}, [[1, 2, 3, 4, 5, 6]], "a"])
def test_what_is_no_rle(rle_: Any) -> None:
    with pytest.raises(InputError, match="RLE 0 to be a dict"):
        Masks.from_rle([rle_], (4, 5), [1])


@given(st.binary(max_size=12) | st.text(max_size=12))
def test_noise_is_refused_or_right(counts: bytes | str) -> None:
    with contextlib.suppress(InputError):
        masks = Masks.from_rle([{"size": [4, 5], "counts": counts}], (4, 5), [1])
        assert masks.masks.sum() == masks.areas[0]
