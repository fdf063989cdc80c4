"""Prompts on a window of an image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tiny import make, tiny_sam2

from samkit.errors import InputError, PromptError
from samkit.image_predictor import ImagePredictor
from samkit.prompts import Prompt

IMAGE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
WINDOW = (20, 10, 100, 70)
PROMPTS = [
    Prompt.point(50, 30),
    Prompt.box(20, 10, 60.5, 50) + Prompt.point(40, 30) + Prompt.point(90, 60, label=0),
]
INNER = [
    Prompt.point(30, 20),
    Prompt.box(0, 0, 40.5, 40) + Prompt.point(20, 20) + Prompt.point(70, 50, label=0),
]


@pytest.fixture(scope="module")
def predictor() -> ImagePredictor:
    return ImagePredictor(make(tiny_sam2()), device="cpu", dtype="float32")


@pytest.mark.parametrize("candidates", [1, 3])
def test_masks_are_those_of_the_window_in_the_whole(
    predictor: ImagePredictor, candidates: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE, photometric="rgb", tile=(16, 16), compression="zlib")
    x0, y0, x1, y1 = WINDOW
    part = predictor.predict(IMAGE[y0:y1, x0:x1], INNER, candidates=candidates)
    expected = np.zeros((len(part), 90, 120), bool)
    expected[:, y0:y1, x0:x1] = part.masks
    assert expected.any()
    for image in (IMAGE, path):
        masks = predictor.predict(image, PROMPTS, candidates=candidates, window=WINDOW)
        assert masks.image_size == (90, 120)
        assert masks.is_compressed
        assert masks.logits is None
        assert np.array_equal(masks.masks, expected)
        assert np.array_equal(masks.scores, part.scores)
        assert np.array_equal(masks.prompt_index, part.prompt_index)
        assert np.array_equal(masks.boxes, np.add(part.boxes, [x0, y0, x0, y0]))
    assert len(predictor.predict(IMAGE, [], window=WINDOW)) == 0


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt.point(19.5, 30), r"prompt 0: .* inside the window \(20, 10, 100, 70\).* x 19.5"),
        (Prompt.point(50, 70.5), "inside the window"),
        (Prompt.point(50, 30) + Prompt.point(5, 5, label=0), "inside the window"),
        (Prompt.box(15, 20, 60, 50), "inside the window"),
        (Prompt.box(30, 20, 101, 50), "inside the window"),
        (Prompt.mask(np.eye(4, dtype=bool)), "got a mask"),
    ],
)
def test_prompts_outside(predictor: ImagePredictor, prompt: Prompt, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        predictor.predict(IMAGE, prompt, window=WINDOW)


@pytest.mark.parametrize("window", [(20, 10, 121, 70), (100, 10, 20, 70), (0, 0, 0, 9), "abcd", 5])
def test_windows_outside(predictor: ImagePredictor, window: Any) -> None:
    with pytest.raises(InputError, match="window: expected"):
        predictor.predict(IMAGE, PROMPTS, window=window)


def test_what_a_window_does_not_go_with(predictor: ImagePredictor) -> None:
    masks = predictor.predict(IMAGE, PROMPTS)
    for image, prior in ((predictor.embed(IMAGE), None), (IMAGE, masks)):
        with pytest.raises(InputError, match="embed the window itself"):
            predictor.predict(image, PROMPTS, prior=prior, window=WINDOW)
