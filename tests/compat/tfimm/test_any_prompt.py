"""Prompts that tfimm takes: none at all, and boxes with any corners."""

from typing import Any

import numpy as np
import pytest
import torch

from samkit.compat.tfimm import SAMPredictor, SegmentAnythingModel
from samkit.image_predictor import ImagePredictor
from samkit.nn import PromptTensors

NONE: list[dict[str, Any]] = [
    {},
    {"points": np.zeros((0, 2))},
    {"points": np.zeros((0, 2)), "labels": np.zeros(0), "boxes": np.zeros((0, 4))},
    {"points": [[1, 2]], "labels": [-1]},
    {"masks": np.zeros((0, 16, 16))},
]


def decoded(
    model: SegmentAnythingModel, photo: np.ndarray, places: Any, labels: list[int]
) -> np.ndarray:
    """Logits (K, H', W') of these tokens, from the network itself."""
    prompts = PromptTensors(
        points=torch.tensor(places, dtype=torch.float32).reshape(1, -1, 2),
        labels=torch.tensor([labels], dtype=torch.int64),
    )
    core = ImagePredictor(model.network, device="cpu", dtype="float32")
    with torch.inference_mode():
        prediction = model.network.decode_masks(core.embed(photo).features, prompts)
    return prediction.logits[0, 1:].numpy()


@pytest.mark.parametrize("given", NONE)
def test_no_prompt(
    model: SegmentAnythingModel, predictor: SAMPredictor, photo: np.ndarray, given: dict[str, Any]
) -> None:
    got = predictor(**given)
    assert got.masks.shape == (3, 50, 83)
    np.testing.assert_allclose(got.logits, decoded(model, photo, [], []), rtol=1e-4, atol=1e-5)
    assert predictor(**given, multimask_output=False).masks.shape == (1, 50, 83)


def test_an_object_without_a_prompt_beside_others(predictor: SAMPredictor) -> None:
    both = predictor([[[30, 20]], [[0, 0]]], [[1], [-1]])
    for i, alone in enumerate((predictor([[30, 20]]), predictor())):
        np.testing.assert_allclose(both.logits[i], alone.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("box", [[60, 40, 10, 5], [10, 40, 60, 5], [30, 20, 30, 20]])
def test_corners_are_taken_as_given(
    model: SegmentAnythingModel, predictor: SAMPredictor, photo: np.ndarray, box: list[float]
) -> None:
    got = predictor(boxes=[box])
    # 50 x 83 pixels become 39 x 64.
    places = np.array(box).reshape(2, 2) * [64 / 83, 39 / 50]
    np.testing.assert_allclose(
        got.logits, decoded(model, photo, places, [2, 3]), rtol=1e-4, atol=1e-5
    )
    ordered = predictor(boxes=[[10, 5, 60, 40]])
    assert np.abs(got.logits - ordered.logits).max() > 1e-3


def test_corners_in_the_model(model: SegmentAnythingModel, images: np.ndarray) -> None:
    swapped = model({"images": images[:1], "boxes": [[[60, 40, 10, 5]]]})
    prompts = PromptTensors(
        points=torch.tensor([[[60.0, 40.0], [10.0, 5.0]]]), labels=torch.tensor([[2, 3]])
    )
    with torch.inference_mode():
        features = model.network.encode_image(torch.from_numpy(images[:1]).permute(0, 3, 1, 2))
        expected = model.network.decode_masks(features, prompts).logits[:, :1].numpy()
    np.testing.assert_allclose(swapped.logits, expected, rtol=1e-4, atol=1e-5)
