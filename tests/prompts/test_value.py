"""A prompt is a value: joined, compared, copied, never changed."""

import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompts.strategies import finite

from samkit.errors import InputError, PromptError, SamkitError
from samkit.prompts import Prompt


def box_mask() -> Prompt:
    return Prompt.box(1, 2, 3, 4) + Prompt.mask(np.eye(4, dtype=bool))


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
