"""Prompts in all their shapes."""

import numpy as np
import pytest
import torch

from samkit import Prompt
from samkit.compat.ultralytics import SAM2Predictor
from samkit.compat.ultralytics.prompts import PromptArrays
from samkit.errors import PromptError
from samkit.transforms import ImageTransform

SAM2 = ImageTransform(image_size=(50, 83), input_size=(128, 128), keep_aspect=False)
SAM = ImageTransform(image_size=(50, 83), input_size=(128, 128), keep_aspect=True)


def prompts(transform: ImageTransform = SAM2, **given: object) -> list[Prompt]:
    return PromptArrays.from_arguments(**given).to_prompts(transform)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"bboxes": [1, 2, 3, 4]}, [Prompt.box(1, 2, 3, 4)]),
        (
            {"bboxes": [[1, 2, 3, 4], [5, 6, 7, 8]]},
            [Prompt.box(1, 2, 3, 4), Prompt.box(5, 6, 7, 8)],
        ),
        ({"points": [9, 8]}, [Prompt.point(9, 8)]),
        ({"points": [9, 8], "labels": 0}, [Prompt.point(9, 8, label=0)]),
        ({"points": [9, 8], "labels": [0]}, [Prompt.point(9, 8, label=0)]),
        ({"points": [[9, 8], [7, 6]]}, [Prompt.point(9, 8), Prompt.point(7, 6)]),
        (
            {"points": [[9, 8], [7, 6]], "labels": [1, 0]},
            [Prompt.point(9, 8), Prompt.point(7, 6, label=0)],
        ),
        (
            {"points": [[9, 8], [7, 6]], "labels": [[1], [0]]},
            [Prompt.point(9, 8), Prompt.point(7, 6, label=0)],
        ),
        (
            {"points": [[[9, 8], [7, 6]]], "labels": [[1, 0]]},
            [Prompt.points([[9, 8], [7, 6]], [1, 0])],
        ),
        (
            {"points": [[[9, 8], [7, 6]]], "labels": [1, 0]},
            [Prompt.points([[9, 8], [7, 6]], [1, 0])],
        ),
        (
            {"bboxes": [1, 2, 30, 40], "points": [[[9, 8], [7, 6]]]},
            [Prompt.box(1, 2, 30, 40) + Prompt.points([[9, 8], [7, 6]])],
        ),
        (
            {"bboxes": torch.tensor([1.0, 2, 3, 4], dtype=torch.bfloat16)},
            [Prompt.box(1, 2, 3, 4)],
        ),
        ({"masks": np.eye(5)}, [Prompt.mask(np.eye(5, dtype=bool))]),
        (
            {"masks": [np.eye(5, dtype=bool), np.ones((3, 7), np.uint8)]},
            [Prompt.mask(np.eye(5, dtype=bool)), Prompt.mask(np.ones((3, 7), bool))],
        ),
        (
            {"masks": torch.full((2, 4, 4), -3.0)},
            [Prompt.mask(np.full((4, 4), -3.0)), Prompt.mask(np.full((4, 4), -3.0))],
        ),
    ],
)
def test_shapes(given: dict[str, object], expected: list[Prompt]) -> None:
    assert prompts(**given) == expected
    assert all(prompt.point_coords.dtype == np.float32 for prompt in expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bboxes": [1, 2, 3]}, r"\(4,\) or \(N, 4\), got \(3,\)"),
        ({"bboxes": []}, r"bboxes: expected at least one, got an empty array \(0,\)"),
        ({"bboxes": np.zeros((0, 4))}, r"at least one, got an empty array \(0, 4\)"),
        ({"bboxes": [np.nan, 2, 3, 4]}, "finite"),
        ({"bboxes": [30, 2, 3, 4]}, "swapped"),
        ({"bboxes": ["a", "b", "c", "d"]}, "numbers"),
        ({"points": []}, "at least one"),
        ({"points": [1, 2, 3]}, r"\(2,\), \(N, 2\) or \(N, P, 2\), got \(3,\)"),
        ({"points": [[np.inf, 1]]}, "finite"),
        ({"points": [[[1, 2], [3, 4]], [[5, 6]]]}, "array of numbers"),
        ({"points": [[1, 2], [3, 4]], "labels": [1]}, r"expected shape \(2, 1\).*got \(1,\)"),
        ({"points": [[[1, 2], [3, 4]]], "labels": 1}, "labels"),
        ({"points": [1, 2], "labels": [2]}, "1 .foreground. or 0"),
        ({"points": [1, 2], "labels": [-1]}, "1 .foreground. or 0"),
        ({"bboxes": [1, 2, 3, 4], "labels": [1]}, "points"),
        ({"labels": [1]}, "points"),
        ({}, "got none"),
        ({"bboxes": [1, 2, 3, 4], "points": [[1, 2], [3, 4]]}, r"1 bboxes, 2 points.*\(1, P, 2\)"),
        ({"masks": np.zeros((1, 1, 4, 4))}, r"\(N, H, W\)"),
        ({"masks": []}, r"\(N, H, W\)"),
        ({"masks": np.full((1, 4, 4), np.nan)}, "finite"),
        ({"masks": np.arange(16).reshape(1, 4, 4)}, "label map"),
    ],
)
def test_bad_prompts(given: dict[str, object], message: str) -> None:
    with pytest.raises(PromptError, match=message) as caught:
        prompts(**given)
    assert isinstance(caught.value, ValueError)


def test_arguments_take_precedence_over_stored_prompts() -> None:
    stored = PromptArrays.from_dict({"bboxes": [1, 2, 3, 4], "points": [5, 6], "labels": 0})
    assert not PromptArrays.from_arguments()
    assert PromptArrays.from_arguments(defaults=stored).to_prompts(SAM2) == [
        Prompt.box(1, 2, 3, 4) + Prompt.point(5, 6, label=0)
    ]
    other = PromptArrays.from_arguments(points=[7, 8], defaults=stored)
    assert other.to_prompts(SAM2) == [Prompt.box(1, 2, 3, 4) + Prompt.point(7, 8)]
    relabelled = PromptArrays.from_arguments(labels=1, defaults=stored)
    assert relabelled.to_prompts(SAM2) == [Prompt.box(1, 2, 3, 4) + Prompt.point(5, 6)]
    without = PromptArrays.from_dict({"bboxes": [1, 2, 3, 4]})
    for read in (
        lambda: PromptArrays.from_arguments(labels=1, defaults=without),
        lambda: PromptArrays.from_dict({"labels": 1}),
    ):
        with pytest.raises(PromptError, match="labels: expected points for them, got none"):
            read()


def test_one_object() -> None:
    one = PromptArrays.from_arguments(points=[[1, 2], [3, 4]], labels=[1, 0]).for_one_object()
    assert one.to_prompts(SAM2) == [Prompt.points([[1, 2], [3, 4]], [1, 0])]
    with pytest.raises(PromptError, match="bboxes: expected one"):
        PromptArrays.from_arguments(bboxes=np.ones((2, 4))).for_one_object()


def test_sam_masks_of_the_low_resolution_have_its_padding() -> None:
    """128 x 128 of input hold 77 x 128 of image: 19 of the 32 rows."""
    low = np.full((32, 32), -5.0, np.float32)
    low[:10] = 5.0  # the upper half of the image
    (prompt,) = prompts(SAM, masks=low[None])
    assert prompt.mask_input is not None
    assert prompt.mask_input.shape == (50, 83)
    inside = prompt.mask_input > 0
    assert inside[:24].all()
    assert not inside[28:].any()
    (binary,) = prompts(SAM, masks=low > 0)
    assert binary.mask_input is not None
    assert np.array_equal(binary.mask_input > 0, inside)
    (whole,) = prompts(SAM, masks=np.ones((1, 50, 83), bool))
    assert whole == Prompt.mask(np.ones((50, 83), bool))
    back = SAM.mask_to_input(prompt.mask_input).numpy()
    assert np.abs(back[:19] - low[:19]).mean() < 1.0
    assert (back[20:] == -10).all()


def test_tensors_that_hold_no_numbers() -> None:
    for wrong in (torch.ones(2, 2, device="meta"), torch.eye(2).to_sparse()):
        for name in ("bboxes", "points", "masks"):
            with pytest.raises(PromptError, match=f"{name}: expected an array of numbers"):
                PromptArrays.from_arguments(**{name: wrong})


def test_prompts_that_were_computed_with_a_gradient() -> None:
    points = torch.ones(1, 2, requires_grad=True) * 3
    predictor = SAM2Predictor()
    predictor.set_prompts({"points": points})
    assert predictor.prompts["points"].tolist() == [[3, 3]]
    assert predictor.prompts["points"] is not points
