"""A network whose cells are 14 pixels wide, as those of SAM 3, in every use of a predictor."""

import numpy as np
import pytest
from tiny import make, tiny_sam3

import samkit
from samkit import ImagePredictor, Prompt


@pytest.fixture
def predictor():
    return ImagePredictor(make(tiny_sam3(patch_size=14)), device="cpu", dtype="float32")


@pytest.fixture
def photograph():
    y, x = np.mgrid[:60, :90]
    return np.stack([3 * x, 4 * y, np.hypot(y - 30, x - 40) < 20], -1).astype(np.uint8)


def test_prompts_and_refinement(predictor, photograph):
    embedding = predictor.embed(photograph)
    assert embedding.features.prompt_size == (112, 112)
    masks = predictor.predict(embedding, [Prompt.point(40, 30), Prompt.box(20, 10, 60, 50)])
    assert masks.masks.shape == (2, 60, 90)
    assert masks.logits.shape == (2, 32, 32)
    refined = predictor.predict(embedding, [Prompt.point(10, 10, label=0)] * 2, prior=masks)
    assert not np.array_equal(refined.logits, masks.logits)


def test_a_mask_is_a_prompt(predictor, photograph):
    masks = predictor.predict(photograph, Prompt.mask(photograph[..., 2] > 0))
    assert masks.masks.shape == (1, 60, 90)


def test_everything_mode(predictor, photograph):
    generator = samkit.AutomaticMaskGenerator(
        predictor, points_per_side=3, stability_score_thresh=0.0
    )
    assert len(generator(photograph)) > 0


def test_memory_across_images_comes_back_from_its_file(predictor, photograph, tmp_path):
    memory = samkit.MemoryPredictor(predictor)
    memory.remember(photograph, {1: Prompt.mask(photograph[..., 2] > 0)})
    memory.save(tmp_path / "memory.safetensors")
    again = samkit.MemoryPredictor.load(tmp_path / "memory.safetensors", predictor)
    expected, found = memory.predict(photograph[::-1]), again.predict(photograph[::-1])
    assert np.array_equal(found.logits, expected.logits)
