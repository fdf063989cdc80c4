from dataclasses import replace

import numpy as np
import pytest

from samkit.training import SceneConfig, Stage
from samkit.training.data import load_library
from samkit.training.sampling import make_batch
from samkit.training.scenes import make_scene


@pytest.fixture
def library(config):
    return load_library(config)


@pytest.mark.parametrize("background", [0.0, 1.0])
@pytest.mark.parametrize("shape", [0.0, 1.0])
def test_masks_are_of_what_can_be_seen(library, background, shape):
    scenes = SceneConfig(procedural_background=background, shape=shape)
    for seed in range(10):
        scene = make_scene(library, scenes, 64, np.random.default_rng(seed))
        assert scene.image.shape == (64, 64, 3)
        assert scene.image.dtype == np.uint8
        assert scene.masks.dtype == np.float32
        assert len(scene.masks) == len(scene.weights) > 0
        assert scene.masks.min() >= 0
        assert scene.masks.max() <= 1
        assert (scene.masks.sum((1, 2)) >= scenes.min_area * 64**2).all()


def test_pasted_objects_hide_each_other(library):
    scenes = SceneConfig(procedural_background=1.0, shape=1.0, max_pastes=4)
    for seed in range(10):
        scene = make_scene(library, scenes, 64, np.random.default_rng(seed))
        assert scene.masks.sum(0).max() <= 1 + 1e-5


def test_a_plain_scene_is_the_photograph(library):
    plain = SceneConfig(
        crop_area=(1.0, 1.0), crop_aspect=1.0, procedural_background=0.0, max_pastes=0, grey=0,
        blur=0, noise=0, brightness=0, contrast=0, saturation=0, hue=0,
    )  # fmt: skip
    scene = make_scene(replace(library, images=library.images[:1], weights=(1.0,)), plain, 64,
                       np.random.default_rng(0))  # fmt: skip
    for mask in scene.masks:
        assert scene.image[mask > 0.9].max(1).mean() > 100
    outside = scene.image[scene.masks.sum(0) == 0]
    assert outside.mean() < 60


def test_a_batch_is_named_by_seed_step_and_part(library, config):
    stage = Stage(size=64, images=2, prompts=5)
    batch = make_batch(library, config, stage, 3)
    assert batch.images.shape == (2, 64, 64, 3)
    assert batch.targets.shape == (2, 5, 16, 16)
    assert batch.points.shape == (2, 5, 2, 2)
    assert batch.labels.shape == (2, 5, 2)
    again = make_batch(library, config, stage, 3)
    assert np.array_equal(batch.images, again.images)
    assert np.array_equal(batch.points, again.points)
    others = [
        make_batch(library, config, stage, 4),
        make_batch(library, config, stage, 3, part=1),
        make_batch(library, replace(config, seed=1), stage, 3),
    ]
    assert not any(np.array_equal(batch.images, other.images) for other in others)
