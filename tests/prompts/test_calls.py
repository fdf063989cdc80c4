"""Prompts in the forms of other calls, and lists of them."""

import inspect

import numpy as np
import pytest
import torch

from samkit.errors import PromptError
from samkit.prompts import Prompt, as_prompts, checks


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
