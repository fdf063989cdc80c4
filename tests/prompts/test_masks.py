"""Masks and logits as prompts."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as npst
from PIL import Image

from samkit.errors import PromptError
from samkit.prompts import Prompt

nan, inf = float("nan"), float("inf")


class TestMask:
    expected = np.array([[True, False, True], [False, False, True]])

    @pytest.mark.parametrize("dtype", ["?", "u1", "i4", "u8", "f2", "f4", "f8"])
    def test_binary_of_any_type(self, dtype: str) -> None:
        mask = Prompt.mask(self.expected.astype(dtype)).mask_input
        assert mask is not None
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(mask, self.expected)

    @pytest.mark.parametrize("inside", [1, 7, 255])
    def test_any_positive_value_is_inside(self, inside: int) -> None:
        prompt = Prompt.mask(self.expected.astype(np.uint8) * np.uint8(inside))
        assert prompt == Prompt.mask(self.expected)

    @pytest.mark.parametrize("mode", ["1", "L"])
    def test_pil(self, mode: str) -> None:
        image = Image.fromarray(self.expected.astype(np.uint8) * np.uint8(255)).convert(mode)
        assert Prompt.mask(image) == Prompt.mask(self.expected)  # type: ignore[arg-type]

    @pytest.mark.parametrize("mode", ["P", "RGB", "RGBA", "I;16", "F"])
    def test_pil_of_another_mode(self, mode: str) -> None:
        with pytest.raises(PromptError, match=f'got mode "{mode}"'):
            Prompt.mask(Image.new(mode, (4, 4)))  # type: ignore[arg-type]

    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
    def test_logits(self, dtype: str) -> None:
        values = np.array([[-4.5, 0.0], [1.0, 8.25]], dtype)
        mask = Prompt.mask(values).mask_input
        assert mask is not None
        assert mask.dtype == np.float32
        np.testing.assert_array_equal(mask, values)

    @pytest.mark.parametrize("inside", [1, 1.5, 2, 255, 65535])
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    def test_floats_of_one_positive_value_are_binary(self, inside: float, dtype: str) -> None:
        values = self.expected.astype(dtype) * inside
        assert Prompt.mask(values) == Prompt.mask(self.expected)
        assert Prompt.mask(values - 1e-3).mask_input.dtype == np.float32  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        "values", [[0, 0.5], [0.5, 0.5], [0.1, 0.9], [0, 1, 255], [0, 254, 255], [3, 4], [0, 1, 2]]
    )
    def test_floats_that_may_be_anything(self, values: list[float]) -> None:
        array = np.array([values], np.float64)
        with pytest.raises(PromptError, match=r"array > 0\.5.*array > 127.*mask_input=np\.float32"):
            Prompt.mask(array)
        logits = Prompt(mask_input=np.float32(array)).mask_input  # as the message says
        assert logits is not None
        assert logits.dtype == np.float32

    def test_tensor(self) -> None:
        assert Prompt.mask(torch.tensor(self.expected)) == Prompt.mask(self.expected)

    def test_nothing_and_everything_are_masks(self) -> None:
        for fill in (0, 1):
            for dtype in ("?", "u1", "f4"):
                mask = Prompt.mask(np.full((2, 3), fill, dtype)).mask_input
                assert mask is not None
                assert (mask == bool(fill)).all()

    def test_the_field_takes_the_type_at_its_word(self) -> None:
        prompt = Prompt(mask_input=np.zeros((2, 2), ">f4"))
        assert prompt.mask_input is not None
        assert prompt.mask_input.dtype == np.float32
        with pytest.raises(PromptError, match="bool or float32, got uint8"):
            Prompt(mask_input=np.zeros((2, 2), np.uint8))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.zeros((0, 5), bool), r"at least one pixel, got shape \(0, 5\)"),
            (np.zeros((5, 0)), "at least one pixel"),
            (np.zeros(5, bool), r"expected shape \(H, W\), got \(5,\)"),
            (np.zeros((1, 4, 4), bool), r"got \(1, 4, 4\)"),
            (3, r"got \(\)"),
            (np.array([[0, nan]]), "finite"),
            (np.array([[0, inf]]), "finite"),
            (np.array([[0, 1e300]]), "finite"),
            (np.array([[0, 1], [2, 1]]), r"got 3 values \(0, 1, 2\)"),
            (np.arange(9).reshape(3, 3), r"got 9 values \(0, 1, 2, 3, 4, ...\)"),
            (np.array([[0, -1]]), "one positive value"),
            (np.array([[1, 2]]), "one positive value"),
            (np.array([[1j]]), "complex"),
            (np.array([["a"]]), "got <U1"),
            (np.array([[None]]), "object"),
            (np.ma.masked_equal([[0, 1]], 1), "no masked values"),
            (np.broadcast_to(np.uint8(0), (2**20, 2**20)), "at most 536870912 pixels"),
            ([[1, 2], [3]], "array of numbers"),
        ],
    )
    def test_bad(self, array: object, message: str) -> None:
        with pytest.raises(PromptError, match=message):
            Prompt.mask(array)  # type: ignore[arg-type]

    def test_a_picture_that_is_cut_off(self) -> None:
        file = io.BytesIO()
        Image.fromarray(np.eye(64, dtype=np.uint8)).save(file, "PNG")
        picture = Image.open(io.BytesIO(file.getvalue()[:-30]))
        with pytest.raises(PromptError, match="truncated"):
            Prompt.mask(picture)

    @given(npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, max_side=6)))
    def test_every_bool_mask_is_kept(self, array: np.ndarray) -> None:
        np.testing.assert_array_equal(Prompt.mask(array).mask_input, array)
