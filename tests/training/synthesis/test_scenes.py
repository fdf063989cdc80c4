from dataclasses import replace

import numpy as np
import pytest

from samkit.errors import InputError
from samkit.training import SceneConfig, Stage
from samkit.training.data import load_library
from samkit.training.sampling import make_batch
from samkit.training.synthesis import make_scene
from samkit.training.synthesis.cutouts import shape_cutout


@pytest.fixture
def library(config):
    return load_library(config)


@pytest.mark.parametrize("background", [0.0, 1.0])
@pytest.mark.parametrize("shape", [0.0, 1.0])
def test_masks_are_of_what_can_be_seen(library, background, shape):
    scenes = SceneConfig(procedural_background=background, shape=shape)
    for seed in range(10):
        scene = make_scene(library, scenes, (48, 64), np.random.default_rng(seed))
        assert scene.image.shape == (48, 64, 3)
        assert scene.image.dtype == np.uint8
        assert scene.masks.dtype == np.float32
        assert len(scene.masks) == len(scene.weights) > 0
        assert scene.masks.min() >= 0
        assert scene.masks.max() <= 1
        assert (scene.masks.sum((1, 2)) >= scenes.min_area * 48 * 64).all()


def test_pasted_objects_hide_each_other(library):
    scenes = SceneConfig(procedural_background=1.0, shape=1.0, max_pastes=4)
    for seed in range(10):
        scene = make_scene(library, scenes, (48, 64), np.random.default_rng(seed))
        assert scene.masks.sum(0).max() <= 1 + 1e-5


def test_a_plain_scene_is_the_photograph(library):
    plain = SceneConfig(
        crop_area=(1.0, 1.0), crop_aspect=1.0, procedural_background=0.0, max_pastes=0, grey=0,
        blur=0, noise=0, brightness=0, contrast=0, saturation=0, hue=0,
    )  # fmt: skip
    scene = make_scene(replace(library, images=library.images[:1], weights=(1.0,)), plain, (64, 64),
                       np.random.default_rng(0))  # fmt: skip
    for mask in scene.masks:
        assert scene.image[mask > 0.9].max(1).mean() > 100
    outside = scene.image[scene.masks.sum(0) == 0]
    assert outside.mean() < 60


def test_shadows_darken_the_ground_beside_an_object(library):
    """The same scene with and without shadows: darker in some places, never brighter."""
    still = SceneConfig(
        procedural_background=1, shape=1, max_pastes=1, grey=0, blur=0, noise=0, brightness=0,
        contrast=0, saturation=0, hue=0,
    )  # fmt: skip
    darker = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        cutout = shape_cutout(library, replace(still, shadow=1.0), 64, rng)
        ground = np.full((64, 64, 3), 200, np.float32)
        colours, alpha = cutout.warp_affine(np.array([[1.0, 0, 20], [0, 1, 20]]), (64, 64))
        with_shadow = cutout.composite(ground, colours, alpha)
        without = replace(cutout, shadow=(0.0, 0.0, 0.0)).composite(ground, colours, alpha)
        assert (with_shadow <= without + 1e-3).all()
        inside = alpha > 0.99
        assert np.abs(with_shadow - without)[inside].max(initial=0) < 3
        darker += (with_shadow < without - 5).any()
    assert darker >= 8


def test_no_object_large_enough_is_an_error(library):
    impossible = SceneConfig(min_area=0.99, max_pastes=0)
    with pytest.raises(InputError, match=r"no scene shows an object.*99\.00%"):
        make_scene(library, impossible, (32, 32), np.random.default_rng(0))


@pytest.mark.parametrize("size", [(0, 8), (8, -1), 64, (64,), (1.5, 2), (64, 64, 3), None])
def test_a_scene_without_pixels_is_an_error(library, size):
    with pytest.raises(InputError, match=r"size: expected \(height, width\)"):
        make_scene(library, SceneConfig(), size, np.random.default_rng(0))


def test_seed_step_and_rank_determine_a_batch(library, config):
    stage = Stage(size=64, width=96, images=2, prompts=5)
    batch = make_batch(library, config, stage, 3)
    assert batch.images.shape == (2, 64, 96, 3)
    assert batch.targets.shape == (2, 5, 16, 24)
    assert batch.points.shape == (2, 5, 2, 2)
    assert batch.labels.shape == (2, 5, 2)
    again = make_batch(library, config, stage, 3)
    assert np.array_equal(batch.images, again.images)
    assert np.array_equal(batch.points, again.points)
    others = [
        make_batch(library, config, stage, 4),
        make_batch(library, config, stage, 3, rank=1),
        make_batch(library, replace(config, seed=1), stage, 3),
    ]
    assert not any(np.array_equal(batch.images, other.images) for other in others)


def test_without_pastes_there_are_none(library):
    bare = SceneConfig(procedural_background=1.0, max_pastes=0)
    with pytest.raises(InputError, match="no scene shows an object"):
        make_scene(library, bare, (32, 32), np.random.default_rng(0))
