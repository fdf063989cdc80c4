"""Prompts as plain values, and back."""

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompts.strategies import any_prompt
from pycocotools import mask as coco

from samkit.errors import PromptError
from samkit.prompts import Prompt


class TestDict:
    @given(any_prompt())
    def test_round_trip_is_exact(self, prompt: Prompt) -> None:
        values = prompt.to_dict()
        for again in (values, json.loads(json.dumps(values, allow_nan=False))):
            assert Prompt.from_dict(again) == prompt
            assert set(again) <= {"points", "labels", "box", "mask"}
        if prompt.mask_input is not None:
            assert Prompt.from_dict(values).mask_input.dtype == prompt.mask_input.dtype

    def test_what_is_absent_is_left_out(self) -> None:
        assert Prompt.point(1.5, 2).to_dict() == {"points": [[1.5, 2]], "labels": [1]}
        assert Prompt.box(1, 2, 3, 4).to_dict() == {"box": [1, 2, 3, 4]}
        assert list(Prompt.mask(np.ones((2, 3), bool)).to_dict()) == ["mask"]

    def test_binary_masks_are_run_lengths_of_coco(self) -> None:
        mask = np.random.default_rng(0).random((9, 13)) < 0.5
        values = Prompt.mask(mask).to_dict()["mask"]
        expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert values == {"size": [9, 13], "counts": expected["counts"].decode()}
        plain = {"size": [2, 2], "counts": [1, 1, 1, 1]}
        assert Prompt.from_dict({"mask": plain}) == Prompt.mask([[False, False], [True, True]])

    def test_logits_are_little_endian_floats(self) -> None:
        values = Prompt.mask([[1.5, -2, 3], [0, 0.1, -7]]).to_dict()["mask"]
        assert values["size"] == [2, 3]
        found = struct.unpack("<6f", base64.b64decode(values["logits"]))
        assert found == struct.unpack("<6f", struct.pack("<6f", 1.5, -2, 3, 0, 0.1, -7))

    def test_none_counts_as_left_out(self) -> None:
        values = {"points": [[1, 2]], "labels": None, "box": None, "mask": None}
        assert Prompt.from_dict(values) == Prompt.point(1, 2)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (None, "expected a dict with some of points, labels, box, mask, got NoneType"),
            ([1, 2], "expected a dict"),
            ({}, "expected points, a box or a mask"),
            ({"box": None}, "expected points, a box or a mask"),
            ({"boxes": [1, 2, 3, 4]}, "unknown boxes; expected some of points, labels, box, mask"),
            ({10**5000: 2, "box": [1, 2, 3, 4]}, "unknown int; expected"),
            ({"labels": [1]}, "labels: they go with points"),
            ({"labels": [1], "box": [1, 2, 3, 4]}, "labels: they go with points"),
            ({"points": []}, "at least one point"),
            ({"points": [1, 2]}, r"\(P, 2\), got \(2,\)"),
            ({"points": {"x": 1}}, "point coordinates: expected real numbers"),
            ({"points": [["a", 1]]}, "point coordinates: expected real numbers"),
            ({"points": [[1, 2], [3]]}, "point coordinates: expected an array of numbers"),
            ({"points": [[10**400, 1.5]]}, "point coordinates: expected"),
            ({"points": [[1, 2]], "labels": [2]}, "point labels: expected 1"),
            ({"points": [[1, 2]], "labels": [1, 0]}, r"point labels: expected shape \(1,\)"),
            ({"box": [1, 2, 3]}, r"box: expected \[x0, y0, x1, y1\], got 3 values"),
            ({"box": "abcd"}, r"box: expected \[x0, y0, x1, y1\], got str"),
            ({"box": [1, 2, 3, "4"]}, "box: expected real numbers"),
            ({"box": [1, 2, 3, [4]]}, "box: expected an array of numbers"),
            ({"box": [9, 2, 3, 4]}, "box: corners are swapped"),
            ({"mask": "mask.png"}, "mask: expected a dict with size, and counts or logits"),
            ({"mask": {"size": [2, 2]}}, "mask: expected a dict with size, and counts or logits"),
            ({"mask": {"size": [1, 1], "counts": "0", "logits": ""}}, "counts or logits, got keys"),
            ({"mask": {"size": 4, "counts": "4"}}, r"mask: expected size \[height, width\]"),
            ({"mask": {"size": [2, 2.0], "counts": "4"}}, r"expected size \[height, width\]"),
            ({"mask": {"size": [True, 2], "counts": "2"}}, r"expected size \[height, width\]"),
            ({"mask": {"size": [0, 2], "counts": "0"}}, r"expected size \[height, width\]"),
            ({"mask": {"size": [-2, -2], "counts": "4"}}, r"expected size \[height, width\]"),
            ({"mask": {"size": [10**6, 10**4], "counts": [10**10]}}, "at most 536870912 pixels"),
            ({"mask": {"size": [10**5000, 1], "logits": ""}}, "at most 536870912 pixels"),
            ({"mask": {"size": [2, 2], "counts": "5"}}, "fill 2 x 2 pixels"),
            ({"mask": {"size": [2, 2], "counts": [[4], [1, 2]]}}, "string or a list of integers"),
            ({"mask": {"size": [2, 2], "counts": {}}}, "string or a list of integers"),
            ({"mask": {"size": [2, 2], "counts": [10**5000]}}, "string or a list of integers"),
            ({"mask": {"size": [1, 1], "logits": "AAAA*"}}, "mask: expected logits as base64"),
            ({"mask": {"size": [1, 1], "logits": "é"}}, "mask: expected logits as base64"),
            ({"mask": {"size": [1, 1], "logits": [1.0]}}, "mask: expected logits as base64"),
            ({"mask": {"size": [1, 2], "logits": "AAAAAA=="}}, "1 x 2 float32 numbers, got 4"),
            ({"mask": {"size": [1, 1], "logits": "AADAfw=="}}, "mask: expected finite"),
        ],
    )
    def test_what_is_no_prompt(self, values: object, message: str) -> None:
        with pytest.raises(PromptError, match=message):
            Prompt.from_dict(values)  # type: ignore[arg-type]

    @pytest.mark.parametrize("depth", [70, 100_000])
    def test_deeply_nested(self, depth: int) -> None:
        nested: object = 1
        for _ in range(depth):
            nested = [nested]
        for values in (
            *({key: nested} for key in ("points", "box", "mask")),
            {"points": [[1, 2]], "labels": nested},
            {"box": [nested, 2, 3, 4]},
            *({"mask": {"size": [1, 1], key: nested}} for key in ("counts", "logits")),
            {"mask": {"size": nested, "counts": "1"}},
        ):
            with pytest.raises(PromptError):
                Prompt.from_dict(values)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        ["points", "labels", "box", "mask", "size", "counts", "logits"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
        )
    )
    def test_any_json_is_a_prompt_or_refused(self, values: object) -> None:
        try:
            prompt = Prompt.from_dict(values)  # type: ignore[arg-type]
        except PromptError:
            return
        assert Prompt.from_dict(prompt.to_dict()) == prompt
