"""Outlines that are smooth in time: drawn objects with jumping outlines, and a tiny tracker."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from samkit import Masks, Prompt, VideoPredictor
from samkit.errors import InputError
from samkit.evaluation.metrics import mask_iou
from samkit.video.smoothing import smoothed

SIZE = (96, 128)


def scene(frames, speed=3):
    """Pictures of a textured square over another texture, and where it is."""
    rng = np.random.default_rng(1)
    ground, thing = (
        cv2.resize(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8), SIZE[::-1]) for _ in range(2)
    )
    pictures, masks = [], []
    for t in range(frames):
        picture, mask = ground.copy(), np.zeros(SIZE, bool)
        where = np.s_[30:70, 10 + speed * t : 50 + speed * t]
        picture[where] = thing[:40, :40]
        mask[where] = True
        pictures.append(picture)
        masks.append(mask)
    return pictures, masks


def as_logits(mask):
    """With a slope at the outline, as networks give them."""
    inside, outside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5) for part in (mask, ~mask)
    )
    return (inside - outside).clip(-8, 8)


def results_of(masks, ids=(1,), numbers=None):
    """What a tracker yields: for each frame the masks of its objects."""
    results = []
    for t, of_objects in enumerate(masks):
        pixels = np.stack(of_objects)
        logits = np.stack([as_logits(mask) for mask in of_objects])
        frame = t if numbers is None else numbers[t]
        results.append(
            (frame, Masks(pixels, np.ones(len(ids)), object_ids=list(ids), logits=logits))
        )
    return results


def run(results, pictures, given=(), **options):
    options = {"reach": 1, **options}
    return list(smoothed(results, lambda t: pictures[t], lambda *one: one in given, **options))


def jumps(masks):
    return np.mean([(a ^ b).sum() for a, b in pairwise(masks)])


def jumping(masks):
    """The same up or down by a pixel or more in every frame, in no order."""
    shifts = np.random.default_rng(5).choice([-3, -2, -1, 1, 2, 3], len(masks))
    return [np.roll(mask, shift, axis=0) for mask, shift in zip(masks, shifts, strict=True)]


@pytest.mark.parametrize("reach", [1, 2, 5])
def test_outlines_jump_less_and_are_nearer_to_the_truth(reach):
    pictures, truth = scene(20, speed=1)
    before = jumping(truth)
    found = run(results_of([[m] for m in before]), pictures, reach=reach)
    assert [t for t, _ in found] == list(range(20))
    after = [masks.masks[0] for _, masks in found]
    moving = jumps(truth)
    assert jumps(after) - moving < 0.7 * (jumps(before) - moving)
    inner = slice(1, -1)

    def mean_iou(masks):
        return np.mean([mask_iou(*pair) for pair in zip(masks[inner], truth[inner], strict=True)])

    assert mean_iou(after) > mean_iou(before) + 0.01


def test_steady_outlines_stay():
    pictures, truth = scene(6, speed=0)
    for _, masks in run(results_of([[m] for m in truth]), pictures, reach=3):
        assert (masks.masks[0] == truth[0]).all()


def test_what_the_masks_say_besides_pixels_stays():
    pictures, truth = scene(4)
    results = results_of([[m] for m in jumping(truth)])
    for (_, before), (_, after) in zip(results, run(results, pictures), strict=True):
        assert np.array_equal(after.scores, before.scores)
        assert np.array_equal(after.object_ids, before.object_ids)
        assert np.array_equal(after.logits, before.logits)
        y, x = np.nonzero(after.masks[0])
        assert after.boxes[0].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_absent_objects_stay_absent_and_have_no_share():
    pictures, truth = scene(5, speed=0)
    masks = [[m] for m in truth]
    masks[2] = [np.zeros(SIZE, bool)]
    found = [one.masks[0] for _, one in run(results_of(masks), pictures, reach=2)]
    assert not found[2].any()
    for t in (0, 1, 3, 4):
        assert (found[t] == truth[t]).all()


def test_given_masks_stay():
    pictures, truth = scene(5, speed=0)
    before = [np.roll(mask, 3 * (t == 2), axis=0) for t, mask in enumerate(truth)]
    results = results_of([[m] for m in before])
    for given in ({}, {(2, 1)}):
        found = run(results, pictures, given=given, reach=2)[2][1].masks[0]
        assert (found == before[2]).all() == bool(given)


def test_a_cut_is_no_motion():
    """Behind a cut, nothing is drawn in from before it."""
    pictures, truth = scene(4, speed=0)
    pictures = [pictures[0], pictures[1], 255 - pictures[2][::-1], 255 - pictures[3][::-1]]
    masks = [truth[0], truth[1], np.roll(truth[2], 40, 1), np.roll(truth[3], 40, 1)]
    for t, one in run(results_of([[m] for m in masks]), pictures, reach=2):
        assert mask_iou(one.masks[0], masks[t]) > 0.98


def test_only_frames_one_apart_are_neighbours():
    pictures, truth = scene(3, speed=0)
    before = jumping(truth)
    results = results_of([[m] for m in before], numbers=[0, 2, 4])
    for (_, found), mask in zip(
        run(results, dict(zip([0, 2, 4], pictures, strict=True))), before, strict=True
    ):
        assert (found.masks[0] == mask).all()


def test_objects_do_not_overlap_where_they_must_not():
    pictures, truth = scene(5, speed=0)
    left, right = truth[0], np.roll(truth[0], 38, axis=1) & ~truth[0]
    masks = [
        [np.roll(left, t % 2, 1), np.roll(right & ~np.roll(left, 1, 1), t % 2, 1)] for t in range(5)
    ]
    results = results_of(masks, ids=(4, 9))
    for _, found in run(results, pictures, reach=2, non_overlapping=True):
        assert found.object_ids.tolist() == [4, 9]
        assert not found.masks.all(0).any()
        assert found.areas.min() > 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_frames(count):
    pictures, truth = scene(2)
    results = results_of([[m] for m in truth[:count]])
    assert [t for t, _ in run(results, pictures, reach=4)] == list(range(count))


def test_tiny_pictures_and_no_objects():
    masks = Masks(np.ones((1, 3, 5), bool), [1.0], logits=np.ones((1, 2, 2), np.float32))
    tiny = [np.zeros((3, 5, 3), np.uint8)] * 2
    assert all(one.masks.all() for _, one in run([(0, masks), (1, masks)], tiny))
    nothing = Masks(np.zeros((0, 3, 5), bool), [], logits=np.zeros((0, 2, 2), np.float32))
    assert [len(one) for _, one in run([(0, nothing), (1, masks)], tiny)] == [0, 1]


def test_frames_before_a_failure_come_first():
    pictures, truth = scene(5)

    def failing():
        yield from results_of([[m] for m in truth])
        raise InputError("cut off")

    came = []

    def receive():
        for t, _ in smoothed(failing(), lambda t: pictures[t], lambda *_: False, reach=3):
            came.append(t)

    with pytest.raises(InputError, match="cut off"):
        receive()
    assert came == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_a_tracker_gives_the_same_frames_and_prompted_masks(predictor, video, direction):
    def track(**options):
        tracker = VideoPredictor(predictor, video)
        tracker.prompt(5, 1, Prompt.box(5, 10, 20, 30))
        tracker.prompt(7, 2, Prompt.point(40, 20))
        return list(tracker.track(direction, start=6, stop=None, **options))

    plain, smooth = track(), track(smooth=2)
    assert [t for t, _ in smooth] == [t for t, _ in plain]
    for (t, before), (_, after) in zip(plain, smooth, strict=True):
        assert np.array_equal(after.logits, before.logits)
        if t == 5:
            assert np.array_equal(after.masks[0], before.masks[0])
        if t == 7:
            assert np.array_equal(after.masks[1], before.masks[1])
    changed = [
        not np.array_equal(a.masks, b.masks) for (_, a), (_, b) in zip(plain, smooth, strict=True)
    ]
    assert any(changed)


@pytest.mark.parametrize("smooth", [-1, 17, 1.5, "2", True, None])
def test_bad_reach(predictor, video, smooth):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, Prompt.point(10, 20))
    with pytest.raises(InputError, match="smooth"):
        tracker.track(smooth=smooth)
