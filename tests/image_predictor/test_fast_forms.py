"""The masks of the whole way in its fast forms are those of the plain ones."""

from pathlib import Path

import numpy as np
import pytest
from tiny import make, tiny_sam, tiny_sam2

import samkit
from samkit import AutomaticMaskGenerator, ImagePredictor, Prompt
from samkit.nn.fast import plain

COFFEE = Path(__file__).parents[2] / "examples" / "coffee.jpg"
PROMPTS = [Prompt.point(220, 260), Prompt.box(150, 150, 420, 380), Prompt.point(300, 90)]


def assert_alike(found: samkit.Masks, expected: samkit.Masks) -> None:
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    assert found.logits is not None
    assert expected.logits is not None
    scale = np.abs(expected.logits).max()
    np.testing.assert_allclose(found.logits, expected.logits, rtol=0, atol=2e-5 * scale)
    both = (found.masks & expected.masks).sum((1, 2))
    either = (found.masks | expected.masks).sum((1, 2))
    assert (both >= 0.9999 * either).all()


def test_pico_on_a_photograph() -> None:
    predictor = samkit.load("pico")
    with plain():
        expected = predictor.predict(COFFEE, PROMPTS)
        proposals = predictor.predict(COFFEE, PROMPTS[0], candidates=3)
    assert (expected.areas > 1000).all()
    embedding = predictor.embed(COFFEE)
    for _ in range(2):
        assert_alike(predictor.predict(embedding, PROMPTS), expected)
        assert_alike(predictor.predict(embedding, PROMPTS[0]), expected[0])
    assert_alike(predictor.predict(embedding, PROMPTS[0], candidates=3), proposals)


def test_everything_of_pico() -> None:
    predictor = samkit.load("pico")
    generator = AutomaticMaskGenerator(predictor, points_per_side=6)
    found = generator(COFFEE)
    with plain():
        expected = generator(COFFEE)
    assert len(found) == len(expected) > 3
    np.testing.assert_array_equal(found.prompt_index, expected.prompt_index)
    both = (found.masks & expected.masks).sum((1, 2))
    assert (both >= 0.9999 * (found.masks | expected.masks).sum((1, 2))).all()


@pytest.mark.parametrize("config", [tiny_sam(), tiny_sam2()], ids=["sam", "sam2"])
def test_clicks_one_after_the_other(config: samkit.sizes.NetworkConfig) -> None:
    predictor = ImagePredictor(make(config), device="cpu", dtype="float32")
    image = np.random.default_rng(0).integers(0, 256, (50, 80, 3), np.uint8)
    embedding = predictor.embed(image)
    for x in (3, 20, 41, 70):
        prompt = Prompt.point(x, 25)
        with plain():
            expected = predictor.predict(embedding, prompt)
        assert_alike(predictor.predict(embedding, prompt), expected)
