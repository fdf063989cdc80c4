from dataclasses import replace

import numpy as np
import pytest

from samkit.errors import InputError
from samkit.training import ClipConfig, SceneConfig, load_library, make_clip

STILL = ClipConfig(
    speed=0, wander=0, turn=0, zoom=0, bend=0, entry=0, camera=0, flicker=0, max_objects=5
)


@pytest.fixture
def library(config):
    return load_library(config)


def clip_of(library, seed=0, *, scenes=None, motion=None, size=(48, 64), frames=6):
    rng = np.random.default_rng(seed)
    return make_clip(library, scenes or SceneConfig(), motion or ClipConfig(), size, frames, rng)


def test_a_clip_has_frames_and_masks_of_what_can_be_seen(library):
    for seed in range(10):
        clip = clip_of(library, seed)
        assert clip.frames.shape == (6, 48, 64, 3)
        assert clip.frames.dtype == np.uint8
        assert clip.masks.dtype == np.float32
        assert clip.masks.shape[0] == 6
        assert clip.masks.shape[1] == clip.visible.shape[1] > 0
        assert clip.masks.min() >= 0
        assert clip.masks.max() <= 1
        assert clip.visible.any(0).all(), "an object that never shows is no target"


def test_a_seed_names_a_clip(library):
    assert np.array_equal(clip_of(library, 3).frames, clip_of(library, 3).frames)
    assert not np.array_equal(clip_of(library, 3).frames, clip_of(library, 4).frames)


def test_without_motion_all_frames_are_alike(library):
    scenes = SceneConfig(noise=0)
    for seed in range(5):
        clip = clip_of(library, seed, scenes=scenes, motion=STILL)
        assert (clip.frames == clip.frames[:1]).all()
        assert (clip.masks == clip.masks[:1]).all()


def test_things_move_smoothly(library):
    """From one frame to the next a mask changes little, from the first to the last it changes."""
    near, far = [], []
    for seed in range(20):
        masks = clip_of(library, seed, frames=12).masks.astype(np.float64)
        near.append(np.abs(np.diff(masks, axis=0)).sum((2, 3)).mean())
        far.append(np.abs(masks[-1] - masks[0]).sum((1, 2)).mean())
    assert np.mean(near) < 0.4 * np.mean(far)
    assert np.mean(far) > 0.02 * 48 * 64


def test_in_calm_clips_less_changes(library):
    def change(calm):
        moved = []
        for seed in range(20):
            masks = clip_of(library, seed, motion=ClipConfig(calm=calm)).masks
            moved.append(np.abs(masks[-1] - masks[0]).sum((1, 2)).mean())
        return np.mean(moved)

    assert change(1.0) < 0.6 * change(0.0)


def test_objects_enter_and_leave(library):
    motion = replace(STILL, entry=1.0, calm=0)
    scenes = SceneConfig(procedural_background=1, shape=1, max_pastes=1, paste_side=(0.2, 0.3))
    entered = left = 0
    for seed in range(20):
        visible = clip_of(library, seed, scenes=scenes, motion=motion, frames=9).visible[:, 0]
        assert visible[4:6].any() or visible.sum() > 0
        entered += not visible[0] and visible[-1]
        left += visible[0] and not visible[-1]
    assert entered >= 4
    assert left >= 4
    assert entered + left >= 15


def test_masks_follow_the_pixels(library):
    """A uniform shape over a black background is found again by its brightness."""
    scenes = SceneConfig(
        procedural_background=0, max_pastes=0, shadow=0, grey=0, blur=0, noise=0, brightness=0,
        contrast=0, saturation=0, hue=0,
    )  # fmt: skip
    for seed in range(5):
        clip = clip_of(library, seed, scenes=scenes, motion=ClipConfig(flicker=0))
        bright = clip.frames.max(-1) > 100  # discs are brighter than 120 in a channel, noise < 60
        inside = (clip.masks > 0.95).any(1)
        assert bright[inside].mean() > 0.97


def test_pasted_objects_hide_each_other(library):
    scenes = SceneConfig(procedural_background=1, shape=1, max_pastes=4)
    for seed in range(10):
        assert clip_of(library, seed, scenes=scenes).masks.sum(1).max() <= 1 + 1e-5


def test_one_frame_and_no_object(library):
    assert clip_of(library, frames=1).frames.shape == (1, 48, 64, 3)
    with pytest.raises(InputError, match="no clip shows an object"):
        clip_of(library, scenes=SceneConfig(min_area=0.99, max_pastes=0), size=(32, 32), frames=1)


@pytest.mark.parametrize("size", [(0, 9), (9, -4), 64, (1.5, 2)])
def test_a_clip_without_pixels_is_an_error(library, size):
    with pytest.raises(InputError, match=r"size: expected \(height, width\)"):
        clip_of(library, size=size)


@pytest.mark.parametrize("frames", [0, -1])
def test_a_clip_without_frames_is_an_error(library, frames):
    with pytest.raises(InputError, match=f"frames: expected at least one, got {frames}"):
        clip_of(library, frames=frames)
