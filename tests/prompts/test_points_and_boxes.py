"""Points and boxes, from all that holds numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from prompts.strategies import finite

from samkit.errors import PromptError
from samkit.prompts import Prompt

nan, inf = float("nan"), float("inf")


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


@pytest.mark.parametrize("value", [3e38, -1e10])
def test_coordinates_beyond_any_image(value: float) -> None:
    with pytest.raises(PromptError, match="at most 1e"):
        Prompt.point(value, 1)
    Prompt.point(1e8, -1e8)
