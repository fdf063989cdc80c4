"""Taking prompts back: the session is bitwise what it was before."""

import copy

import numpy as np
import pytest
from video.same import assert_same, assert_same_trackers

from samkit import Prompt, VideoPredictor
from samkit.errors import InputError
from samkit.video.session import UNDO_STEPS

BOX, CLICK = Prompt.box(5, 10, 20, 30), Prompt.point(40, 20)
NOT_HERE = Prompt.point(50, 40, label=0)


def snapshot(tracker):
    """A deep copy of the state. The network is shared, because it is never changed."""
    network = tracker._session.network
    return copy.deepcopy(tracker._session, {id(network): network})


def test_the_first_prompt_of_an_object(predictor, video):
    tracker = VideoPredictor(predictor, video)
    first = tracker.prompt(0, 1, BOX)
    before = snapshot(tracker)
    tracker.prompt(0, 2, CLICK)
    masks = tracker.undo()
    assert masks.object_ids.tolist() == [1]
    assert np.array_equal(masks.logits, first.logits)
    assert_same(tracker._session, before)
    assert len(tracker.undo()) == 0
    assert tracker.object_ids == ()
    with pytest.raises(InputError, match="nothing to undo"):
        tracker.undo()


def test_a_second_click(predictor, video):
    tracker = VideoPredictor(predictor, video)
    first = tracker.prompt(0, 1, CLICK)
    before = snapshot(tracker)
    tracker.prompt(0, 1, NOT_HERE)
    assert np.array_equal(tracker.undo().logits, first.logits)
    assert_same(tracker._session, before)


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_a_correction_while_tracking(predictor, video, direction):
    """It leaves no trace in what follows."""
    results = []
    for corrects in (False, True):
        tracker = VideoPredictor(predictor, video[:24])
        tracker.prompt(12, 1, BOX)
        tracker.prompt(12, 2, CLICK)
        found = {}
        for frame, masks in tracker.track(direction):
            found[frame] = masks.logits
            if corrects and frame in (3, 18):
                before = snapshot(tracker)
                tracker.prompt(frame, 1, NOT_HERE)
                tracker.prompt(frame, 1, BOX)
                tracker.undo()
                assert np.array_equal(tracker.undo().logits, masks.logits)
                assert_same(tracker._session, before)
        results.append(found)
    plain, undone = results
    assert sorted(plain) == sorted(undone)
    for frame in plain:
        assert np.array_equal(plain[frame], undone[frame]), frame


def test_a_prompt_on_a_frame_that_was_tracked_long_ago(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    list(tracker.track())
    before = snapshot(tracker)
    tracker.prompt(9, 1, NOT_HERE)
    assert len(tracker.undo()) == 0  # what was found there is not at hand
    assert_same(tracker._session, before)


def test_what_was_tracked_with_a_wrong_prompt_is_forgotten(predictor, video):
    """The object is where it was; the other one goes on from where it is."""
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    tracker.prompt(0, 2, CLICK)
    for frame, _ in tracker.track(stop=12):
        if frame == 6:
            before = snapshot(tracker)
            tracker.prompt(6, 1, NOT_HERE)
    other = copy.deepcopy(tracker._session.objects[2])
    assert tracker.undo().object_ids.tolist() == [1, 2]
    assert_same(tracker._session.objects[1], before.objects[1])
    assert_same(tracker._session.objects[2], other)
    untouched = VideoPredictor(predictor, video)
    untouched.prompt(0, 1, BOX)
    untouched.prompt(0, 2, CLICK)
    expected = [masks.logits[0] for _, masks in untouched.track(stop=12)][6:]
    again = [masks.logits[0] for _, masks in tracker.track(start=6, stop=12)]
    np.testing.assert_allclose(np.stack(again), np.stack(expected), rtol=1e-3, atol=1e-3)


def test_prompts_of_removed_objects_are_passed_over(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    before = snapshot(tracker)
    tracker.prompt(3, 1, CLICK)
    tracker.prompt(5, 2, CLICK)
    tracker.remove(2)
    assert len(tracker.undo()) == 0  # on frame 3 nothing is known without it
    assert_same(tracker._session, before)
    tracker.prompt(5, 2, BOX)  # the id is used again: only this prompt is taken back
    tracker.undo()
    tracker.undo()
    assert tracker.object_ids == ()
    with pytest.raises(InputError, match="nothing to undo"):
        tracker.undo()


def test_a_prompt_of_a_live_video(predictor, video):
    live = VideoPredictor(predictor)
    live.step(video[0], {1: BOX})
    live.step(video[1])
    before = snapshot(live)
    followed = live._session.masks(1)
    live.prompt(1, 1, NOT_HERE)
    assert np.array_equal(live.undo().logits, followed.logits)
    assert_same(live._session, before)
    assert live.step(video[2], {2: CLICK}).object_ids.tolist() == [1, 2]
    assert live.undo().object_ids.tolist() == [1]


def test_only_so_many_can_be_taken_back(predictor, video):
    tracker = VideoPredictor(predictor, video)
    for x in range(UNDO_STEPS + 2):
        tracker.prompt(0, 1, Prompt.point(3 * x, 20))
    for _ in range(UNDO_STEPS):
        tracker.undo()
    with pytest.raises(InputError, match=f"the last {UNDO_STEPS} prompts"):
        tracker.undo()
    plain = VideoPredictor(predictor, video)
    for x in range(2):
        plain.prompt(0, 1, Prompt.point(3 * x, 20))
    assert_same_trackers(plain, tracker)
