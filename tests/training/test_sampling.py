from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from samkit.errors import InputError
from samkit.nn import TokenLabel
from samkit.training import DataSource, PromptConfig, SceneConfig, Stage
from samkit.training.data import load_library
from samkit.training.sampling import correction_clicks, make_batch, simulated_prompt
from samkit.training.synthesis import scenes
from samkit.training.tracking import make_clip_batch


@pytest.fixture
def mask():
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:50] = True
    return mask


def test_an_exact_box(mask):
    exact = PromptConfig(box=1, jitter_box=0)
    xy, labels = simulated_prompt(mask, exact, np.random.default_rng(0))
    assert xy.tolist() == [[30, 10], [50, 20]]
    assert labels == (TokenLabel.BOX_TOP_LEFT, TokenLabel.BOX_BOTTOM_RIGHT)


def test_a_jittered_box_is_near(mask):
    rng = np.random.default_rng(0)
    boxes = [simulated_prompt(mask, PromptConfig(box=1, jitter_box=1), rng)[0] for _ in range(50)]
    errors = np.abs(np.array(boxes) - [[30, 10], [50, 20]])
    assert errors[..., 0].max() <= 2
    assert errors[..., 1].max() <= 1
    assert errors.min(axis=0).max() < 0.5 < errors.max()


@pytest.mark.parametrize("centre", [0.0, 1.0])
def test_a_click_is_inside(mask, centre):
    rng = np.random.default_rng(0)
    clicks = [
        simulated_prompt(mask, PromptConfig(box=0, centre_click=centre), rng) for _ in range(30)
    ]
    for xy, labels in clicks:
        x, y = xy[0].astype(int)
        assert mask[y, x]
        assert labels == (TokenLabel.FOREGROUND, TokenLabel.ABSENT)
    different = len({tuple(xy[0]) for xy, _ in clicks})
    assert different == 1 if centre else different > 20


def test_an_object_too_thin_for_its_size_still_gets_a_prompt():
    xy, _ = simulated_prompt(np.zeros((8, 8), bool), PromptConfig(box=0), np.random.default_rng(0))
    assert np.isfinite(xy).all()


def test_targets_lie_where_prompts_say(config):
    library = load_library(config)
    for step in range(5):
        batch = make_batch(library, config, Stage(size=64, images=2, prompts=6), step)
        for target, points, labels in zip(
            batch.targets.reshape(-1, 16, 16),
            batch.points.reshape(-1, 2, 2),
            batch.labels.reshape(-1, 2),
            strict=True,
        ):
            if labels[0] == TokenLabel.FOREGROUND:
                x, y = (points[0] // 4).astype(int)
                assert target[y, x] > 0


def test_rough_masks_are_near_their_targets_but_not_equal(config):
    config = replace(config, prompts=PromptConfig(mask=1.0))
    library = load_library(config)
    overlaps = []
    for step in range(5):
        batch = make_batch(library, config, Stage(size=128, images=2, prompts=6), step)
        assert batch.has_mask.all()
        assert (batch.labels == TokenLabel.ABSENT).all()
        rough, target = batch.masks > 127, batch.targets > 127
        assert rough.any((2, 3)).all()
        overlaps.append((rough & target).sum((2, 3)) / (rough | target).sum((2, 3)))
    assert 0.5 < np.mean(overlaps) < 0.95
    plain = make_batch(
        library, replace(config, prompts=PromptConfig(mask=0)), Stage(size=64, images=2), 0
    )
    assert not plain.has_mask.any()
    assert not plain.masks.any()


def test_parts_of_a_batch_are_the_batch(config):
    batch = make_batch(load_library(config), config, Stage(size=64, images=4, prompts=3), 0)
    parts = batch.split(2)
    for name in ("images", "targets", "points", "labels", "masks", "has_mask"):
        pieces = [getattr(part, name) for part in parts]
        assert np.array_equal(np.concatenate(pieces), getattr(batch, name))


@pytest.mark.parametrize(("grown", "label"), [(True, 0), (False, 1)])
def test_corrections_point_at_errors(mask, grown, label):
    other = mask.copy()
    if grown:
        other[20:30] = True
    else:
        other[:, 40:] = False
    count = 20
    points, labels = correction_clicks(
        np.stack([other] * count), np.stack([mask] * count), np.random.default_rng(0)
    )
    assert points.shape == (count, 2)
    assert (labels == label).all()
    x, y = ((points + 0.5) / 4).astype(int).T
    assert (mask[y, x] != other[y, x]).all()


def test_a_perfect_mask_is_confirmed(mask):
    points, labels = correction_clicks(mask[None], mask[None], np.random.default_rng(0))
    x, y = ((points + 0.5) / 4).astype(int)[0]
    assert mask[y, x]
    assert labels.tolist() == [1]


def test_objects_too_thin_for_their_target_are_no_targets(config, tmp_path, monkeypatch):
    """A line of one pixel covers at most a quarter of a cell."""
    monkeypatch.setattr(scenes, "_ATTEMPTS", 200)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    line = np.zeros((400, 400), np.uint8)
    line[200, 50:350] = 1
    Image.fromarray(np.repeat(line[..., None] * 200, 3, 2)).save(tmp_path / "images" / "a.png")
    Image.fromarray(line).save(tmp_path / "masks" / "a.png")
    config = replace(
        config,
        sources=(DataSource(path=str(tmp_path)),),
        scenes=SceneConfig(min_area=0.0, max_pastes=0, procedural_background=0, cache_side=400),
    )
    library = load_library(config)
    with pytest.raises(InputError, match="too thin"):
        make_batch(library, config, Stage(size=64, images=1, prompts=2), 0)
    with pytest.raises(InputError, match="too thin"):
        make_clip_batch(library, config, Stage(size=64, images=1, prompts=2, frames=2), 0)
