import base64
import inspect
import io
import json
import pickle
import struct
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image
from pycocotools import mask as coco

from samkit.errors import InputError, PromptError, SamkitError
from samkit.prompts import Prompt, as_prompts, checks

finite = st.floats(-1e6, 1e6, width=32)
nan, inf = float("nan"), float("inf")


def box_mask() -> Prompt:
    return Prompt.box(1, 2, 3, 4) + Prompt.mask(np.eye(4, dtype=bool))


class TestPoints:
    def test_point(self) -> None:
        prompt = Prompt.point(420, 310)
        np.testing.assert_array_equal(prompt.point_coords, [[420, 310]])
        np.testing.assert_array_equal(prompt.point_labels, [1])
        assert prompt.point_coords.dtype == np.float32
        assert prompt.point_labels.dtype == np.int32
        assert prompt.box_xyxy is None
        assert prompt.mask_input is None

    def test_background_point(self) -> None:
        assert Prompt.point(5, 6, label=0).point_labels.tolist() == [0]

    def test_points_default_to_foreground(self) -> None:
        assert Prompt.points([[1, 2], [3, 4]]).point_labels.tolist() == [1, 1]

    @pytest.mark.parametrize("labels", [[1, 0], (1.0, 0.0), [True, False], np.array([1, 0], "u1")])
    def test_labels_of_any_numeric_type(self, labels: object) -> None:
        assert Prompt.points([[1, 2], [3, 4]], labels).point_labels.tolist() == [1, 0]

    def test_a_tensor_works(self) -> None:
        tensor = torch.tensor([[1.0, 2.0]])
        assert Prompt.points(tensor) == Prompt.point(1, 2)

    def test_outside_the_image_is_allowed(self) -> None:
        assert Prompt.point(-10, 1e6).point_coords.tolist() == [[-10, 1e6]]

    @given(npst.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(2)), elements=finite))
    def test_points_are_kept_exactly(self, xy: np.ndarray) -> None:
        np.testing.assert_array_equal(Prompt.points(xy).point_coords, xy)

    @pytest.mark.parametrize("bad", [nan, inf, -inf, 1e300])
    def test_not_finite(self, bad: float) -> None:
        with pytest.raises(PromptError, match="finite"):
            Prompt.point(bad, 1)
        with pytest.raises(PromptError, match="1 of 4"):
            Prompt.points([[1, 2], [3, bad]])

    @pytest.mark.parametrize(
        "bad", ["a", None, [1, 2], 1j, True, torch.ones(1, requires_grad=True)]
    )
    def test_not_a_number(self, bad: object) -> None:
        with pytest.raises(PromptError):
            Prompt.point(bad, bad)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("xy", "shape"),
        [
            ([1, 2], r"\(2,\)"),
            ([[1, 2, 3]], r"\(1, 3\)"),
            (np.zeros((2, 1, 2)), r"\(2, 1, 2\)"),
            (5, r"\(\)"),
        ],
    )
    def test_wrong_shape_is_named(self, xy: object, shape: str) -> None:
        with pytest.raises(PromptError, match=rf"expected shape \(P, 2\), got {shape}"):
            Prompt.points(xy)  # type: ignore[arg-type]

    @pytest.mark.parametrize("xy", [[], np.zeros((0, 2)), [[]]])
    def test_no_points(self, xy: object) -> None:
        with pytest.raises(PromptError, match="at least one point"):
            Prompt.points(xy)  # type: ignore[arg-type]

    def test_ragged(self) -> None:
        with pytest.raises(PromptError, match="array of numbers"):
            Prompt.points([[1, 2], [3]])  # type: ignore[list-item]

    @pytest.mark.parametrize("label", [-1, 2, 3, 0.5, nan])
    def test_wrong_label(self, label: float) -> None:
        with pytest.raises(PromptError, match=r"1 \(foreground\) or 0 \(background\), got"):
            Prompt.point(1, 2, label=label)  # type: ignore[arg-type]

    @pytest.mark.parametrize("labels", [["1"], [None]])
    def test_label_of_wrong_type(self, labels: object) -> None:
        with pytest.raises(PromptError, match="expected integers"):
            Prompt.points([[1, 2]], labels)  # type: ignore[arg-type]

    @pytest.mark.parametrize("labels", [[1], [1, 0, 1], 1, [[1, 0]]])
    def test_label_count(self, labels: object) -> None:
        with pytest.raises(PromptError, match=r"expected shape \(2,\)"):
            Prompt.points([[1, 2], [3, 4]], labels)  # type: ignore[arg-type]


class TestCalls:
    """Calls that Python itself would refuse with a TypeError."""

    @pytest.mark.parametrize(
        ("call", "reason", "form"),
        [
            (lambda: Prompt.point(1), "missing .* 'y'", "Prompt.point(x, y) or"),
            (lambda: Prompt.point((1, 2)), "missing .* 'y'", "of a pair Prompt.point(*xy)"),
            (lambda: Prompt.point(), "missing .* 'x'", "Prompt.point(x, y, label)"),
            (lambda: Prompt.point(1, 2, 1, 0), "too many", "Prompt.point(x, y, label)"),
            (lambda: Prompt.point(1, 2, lable=0), "unexpected .* 'lable'", "(x, y, label)"),
            (lambda: Prompt.points(), "missing .* 'xy'", "Prompt.points(xy)"),
            (lambda: Prompt.points([[1, 2]], [1], [0]), "too many", "Prompt.points(xy, labels)"),
            (lambda: Prompt.box(1, 2, 3), "missing .* 'y1'", "Prompt.box(x0, y0, x1, y1)"),
            (lambda: Prompt.box([1, 2, 3, 4]), "missing .* 'y0'", "of a list Prompt.box(*xyxy)"),
            (lambda: Prompt.box(1, 2, 3, 4, 5), "too many", "Prompt.box(x0, y0, x1, y1)"),
            (lambda: Prompt.mask(), "missing .* 'array'", "Prompt.mask(array)"),
            (lambda: Prompt.from_dict(), "missing .* 'values'", "Prompt.from_dict(values)"),
            (lambda: Prompt(points=[[1, 2]]), "unexpected .* 'points'", "Prompt.points(xy)"),
            (lambda: Prompt(1, 2, 3, 4, 5), "too many", "Prompt.point(x, y)"),
            (lambda: Prompt(), "an empty prompt", "Prompt.mask(array)"),
        ],
    )  # fmt: skip
    def test_the_right_call_is_shown(self, call, reason: str, form: str) -> None:
        with pytest.raises(PromptError, match=f"{reason}.*; write ") as caught:
            call()
        assert form in str(caught.value)
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: Prompt.point("a", 3), "point(x, y): expected real numbers, got ('a', 3)"),
            (lambda: Prompt.point(None, 3), "point(x, y): expected real numbers, got (None, 3)"),
            (lambda: Prompt.point((1, 2), 3), "Prompt.point(x, y): expected an array of numbers"),
            (lambda: Prompt.box(1, 2, 3, "4"), "Prompt.box(x0, y0, x1, y1): expected real numbers"),
            (lambda: Prompt("cup"), "expected real numbers, got 'cup'"),
            (lambda: Prompt(5), "for a single point write Prompt.point(x, y)"),
            (lambda: Prompt.mask("a.png"), "got 'a.png'; of a file write Prompt.mask(PIL"),
        ],
    )  # fmt: skip
    def test_values_that_are_no_numbers(self, call, message: str) -> None:
        with pytest.raises(PromptError) as caught:
            call()
        assert message in str(caught.value)

    def test_an_error_within_a_call_stays_what_it_is(self, monkeypatch) -> None:
        """Only arguments that a function does not have are a wrong call."""
        monkeypatch.setattr(checks, "coordinates", lambda *_: len(3))
        with pytest.raises(TypeError, match="has no len"):
            Prompt.point(1, 2)

    def test_calls_are_described_as_they_were(self) -> None:
        assert str(inspect.signature(Prompt.point)).startswith("(x: 'float', y: 'float'")
        assert "One click" in (Prompt.point.__doc__ or "")
        assert "box_xyxy" in inspect.signature(Prompt).parameters


class TestBox:
    def test_box(self) -> None:
        prompt = Prompt.box(9, 9.5, 300, 400)
        assert prompt.box_xyxy is not None
        assert prompt.box_xyxy.dtype == np.float32
        assert prompt.box_xyxy.tolist() == [9, 9.5, 300, 400]
        assert prompt.point_coords.shape == (0, 2)
        assert prompt.point_labels.shape == (0,)

    def test_over_the_border_is_allowed(self) -> None:
        Prompt.box(-20, -5, 10_000, 10_000)

    @pytest.mark.parametrize(
        ("corners", "message"),
        [
            ((30, 1, 10, 5), "x0 30 is right of x1 10"),
            ((1, 50, 2, 5.5), "y0 50 is below y1 5.5"),
            ((3, 4, 1, 2), "x0 3 is right of x1 1 and y0 4 is below y1 2"),
        ],
    )
    def test_swapped_corners(self, corners: tuple[float, ...], message: str) -> None:
        with pytest.raises(PromptError, match=f"swapped, {message};"):
            Prompt.box(*corners)

    @pytest.mark.parametrize(
        ("corners", "what"),
        [
            ((1, 2, 1, 5), "width"),
            ((1, 2, 4, 2), "height"),
            ((1, 2, 1, 2), "width and height"),
            ((1e9, 0, 1e9 + 1, 5), "width"),  # nothing is left of it in float32
        ],
    )
    def test_zero_area(self, corners: tuple[float, ...], what: str) -> None:
        with pytest.raises(PromptError, match=f"whose {what} is 0"):
            Prompt.box(*corners)

    @pytest.mark.parametrize("bad", [nan, inf])
    def test_not_finite(self, bad: float) -> None:
        with pytest.raises(PromptError, match=r"Prompt\.box\(x0, y0, x1, y1\): expected finite"):
            Prompt.box(0, 0, bad, 5)

    @pytest.mark.parametrize("value", [[1, 2, 3], [[1, 2, 3, 4]], np.zeros((0, 4))])
    def test_wrong_shape(self, value: object) -> None:
        with pytest.raises(PromptError, match=r"expected shape \(4,\)"):
            Prompt(box_xyxy=np.asarray(value))


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


class TestCombine:
    def test_points_keep_their_order(self) -> None:
        prompt = (
            Prompt.point(1, 2) + Prompt.points([[3, 4], [5, 6]], [0, 1]) + Prompt.point(7, 8, 0)
        )
        assert prompt.point_coords.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
        assert prompt.point_labels.tolist() == [1, 0, 1, 0]

    def test_all_kinds(self) -> None:
        mask = Prompt.mask(np.eye(3, dtype=bool))
        prompt = Prompt.point(1, 2) + Prompt.box(0, 0, 5, 5) + mask
        assert prompt == mask + Prompt.box(0, 0, 5, 5) + Prompt.point(1, 2)

    def test_parts_are_not_changed(self) -> None:
        point, box = Prompt.point(1, 2), Prompt.box(0, 0, 5, 5)
        _ = point + box
        assert point == Prompt.point(1, 2)
        assert box == Prompt.box(0, 0, 5, 5)

    def test_two_boxes(self) -> None:
        with pytest.raises(PromptError, match="two boxes"):
            _ = Prompt.box(1, 2, 3, 4) + (Prompt.point(1, 2) + Prompt.box(1, 2, 3, 4))

    def test_two_masks(self) -> None:
        with pytest.raises(PromptError, match="two masks"):
            _ = box_mask() + Prompt.mask(np.ones((1, 1), bool))

    @pytest.mark.parametrize("other", [(1, 2), None, np.zeros(2), "x"])
    def test_something_else(self, other: object) -> None:
        with pytest.raises(PromptError, match="only with another Prompt"):
            _ = Prompt.point(1, 2) + other  # type: ignore[operator]

    def test_nothing_at_all(self) -> None:
        with pytest.raises(PromptError, match="empty prompt"):
            Prompt()

    @pytest.mark.parametrize("dtype", ["f8", "c16", "U4", "O"])
    def test_no_points_of_any_type(self, dtype: str) -> None:
        box = Prompt.box(0, 0, 5, 5)
        assert Prompt(np.zeros((0, 2), dtype), np.zeros(0), box.box_xyxy) == box


class TestValue:
    def test_errors_belong_to_our_tree(self) -> None:
        assert issubclass(PromptError, InputError)
        assert issubclass(PromptError, SamkitError)
        assert issubclass(PromptError, ValueError)

    def test_inputs_are_copied(self) -> None:
        xy, labels = np.ones((1, 2), np.float32), np.ones(1, np.int32)
        box, mask = np.array([0, 0, 1, 1], np.float32), np.eye(3, dtype=bool)
        logits = np.full((2, 2), -0.5, np.float32)
        prompt = Prompt(xy, labels, box, mask)
        refined = Prompt.mask(logits)
        before = pickle.dumps((prompt, refined))
        for array in (xy, labels, box, mask, logits):
            assert array.flags.writeable
            array[...] = 0
        assert pickle.dumps((prompt, refined)) == before

    def test_immutable(self) -> None:
        prompt = Prompt.point(1, 2) + box_mask()
        for value in (prompt, pickle.loads(pickle.dumps(prompt))):
            assert value == prompt
            for array in (
                value.point_coords,
                value.point_labels,
                value.box_xyxy,
                value.mask_input,
            ):
                with pytest.raises(ValueError, match="read-only"):
                    array[...] = 0
        with pytest.raises(FrozenInstanceError):
            prompt.box_xyxy = None  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            (Prompt.point(1, 2), Prompt.points([[1, 2]], [1])),
            (Prompt.point(0, -0.0), Prompt.point(-0.0, 0)),
            (Prompt.box(1, 2, 3, 4), Prompt.box(1.0, 2.0, 3.0, 4.0)),
            (box_mask(), box_mask()),
        ],
    )
    def test_equal(self, a: Prompt, b: Prompt) -> None:
        assert a == b
        assert hash(a) == hash(b)
        assert len({a, b}) == 1

    @pytest.mark.parametrize(
        "other",
        [
            Prompt.point(1, 3),
            Prompt.point(1, 2, label=0),
            Prompt.points([[1, 2], [1, 2]]),
            Prompt.point(1, 2) + Prompt.box(1, 2, 3, 4),
            Prompt.point(1, 2) + Prompt.mask([[True]]),
            (1, 2),
        ],
    )
    def test_different(self, other: object) -> None:
        assert Prompt.point(1, 2) != other

    def test_masks_of_other_shape_or_type_differ(self) -> None:
        assert Prompt.mask([[True, False]]) != Prompt.mask([[True], [False]])
        assert Prompt(mask_input=np.ones((1, 1), np.float32)) != Prompt.mask([[1]])

    @pytest.mark.parametrize(
        ("prompt", "text"),
        [
            (Prompt.point(420, 310.5), "Prompt.point(420, 310.5)"),
            (Prompt.point(0.1, 6, label=0), "Prompt.point(0.1, 6, label=0)"),
            (Prompt.points([[1, 2], [3, 4]]), "Prompt.points([[1, 2], [3, 4]])"),
            (
                Prompt.points([[1, 2], [3, 4]], [0, 1]) + Prompt.box(1, 2, 3, 4),
                "Prompt.points([[1, 2], [3, 4]], labels=[0, 1]) + Prompt.box(1, 2, 3, 4)",
            ),
            (Prompt.points(np.ones((40, 2))), "Prompt.points(<40 points, 40 foreground>)"),
            (Prompt.mask(np.eye(3)), "Prompt.mask(<3 x 3 binary>)"),
            (Prompt.mask(np.full((2, 4), -0.5)), "Prompt.mask(<2 x 4 logits>)"),
        ],
    )
    def test_repr(self, prompt: Prompt, text: str) -> None:
        assert repr(prompt) == text

    @given(
        st.lists(st.tuples(finite, finite, st.integers(0, 1)), min_size=1, max_size=6),
        st.booleans(),
    )
    def test_repr_of_points_and_boxes_can_be_evaluated(
        self, clicks: list[tuple[float, float, int]], with_box: bool
    ) -> None:
        prompt = Prompt.points([c[:2] for c in clicks], [c[2] for c in clicks])
        if with_box:
            prompt += Prompt.box(0.1, 0.2, 1e5, 3)
        assert eval(repr(prompt), {"Prompt": Prompt}) == prompt


class TestAsPrompts:
    def test_zero_one_many(self) -> None:
        a, b = Prompt.point(1, 2), Prompt.box(1, 2, 3, 4)
        assert as_prompts([]) == ()
        assert as_prompts(a) == (a,)
        assert as_prompts([a]) == (a,)
        assert as_prompts([a, b, a]) == (a, b, a)
        assert as_prompts((b, a)) == (b, a)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ((420, 310), r"tuple of int; .* Prompt.point\(420, 310\)"),
            ([9, 9, 300, 400], r"list of int; .* Prompt.box\(9, 9, 300, 400\)"),
            (np.zeros(2), r"ndarray of shape \(2,\); .* Prompt.point\(0, 0\)"),
            (np.zeros((5, 2)), r"Prompt.points\(array\)"),
            ([[1, 2], [3, 4], [5, 6]], r"list of list; .*Prompt.points\(array\)"),
            (np.zeros((5, 4)), r"\[Prompt.box\(\*box\) for box in array\]"),
            (np.zeros((8, 9), bool), r"Prompt.mask\(array\)"),
            (np.zeros((1, 2, 3, 4)), r"got ndarray of shape \(1, 2, 3, 4\)$"),
            (torch.zeros(3, 4), r"Tensor of shape \(3, 4\); write boxes"),
            (None, "got NoneType$"),
            ("dog", "got str$"),
            ({1: Prompt.point(1, 2)}, "got dict$"),
            ([[1, 2], [3]], "list of list$"),
            ([Prompt.point(1, 2), None], "got NoneType at index 1"),
            ([Prompt.point(1, 2), (3, 4)], r"index 1; .* Prompt.point\(3, 4\)"),
            ([[Prompt.point(1, 2)]], "got list of list$"),
        ],
    )
    def test_anything_else_says_how_to_write_it(self, value: object, message: str) -> None:
        with pytest.raises(PromptError, match=message):
            as_prompts(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [3e38, -1e10])
def test_coordinates_beyond_any_image(value: float) -> None:
    with pytest.raises(PromptError, match="at most 1e"):
        Prompt.point(value, 1)
    Prompt.point(1e8, -1e8)


@st.composite
def any_prompt(draw: st.DrawFn) -> Prompt:
    count = draw(st.integers(0, 4))
    corner = draw(st.tuples(finite, finite))
    has_box, kind = draw(st.booleans()), draw(st.sampled_from(["", "binary", "logits"]))
    shape = npst.array_shapes(min_dims=2, max_dims=2, max_side=6)
    mask = None
    if kind:
        numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
        mask = draw(
            npst.arrays(bool, shape)
            if kind == "binary"
            else npst.arrays(np.float32, shape, elements=numbers)
        )
    return Prompt(
        point_coords=draw(npst.arrays(np.float32, (count, 2), elements=finite)),
        point_labels=draw(npst.arrays(np.int32, count, elements=st.integers(0, 1))),
        box_xyxy=np.array([*corner, corner[0] + 1e3, corner[1] + 1e3])
        if has_box or not (count or kind)
        else None,
        mask_input=mask,
    )


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
