"""Taking back the prompts of an object in a frame."""

import copy

import numpy as np
import pytest
from video.same import assert_same, assert_same_trackers

from samkit import Prompt, VideoPredictor
from samkit.errors import InputError

BOX, CLICK = Prompt.box(5, 10, 20, 30), Prompt.point(40, 20)
NOT_HERE = Prompt.point(50, 40, label=0)


def snapshot(tracker):
    network = tracker._session.network
    return copy.deepcopy(tracker._session, {id(network): network})


def test_the_only_prompt_of_an_object(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    tracker.prompt(0, 2, CLICK)
    assert tracker.clear_prompts(0, 1).object_ids.tolist() == [2]
    assert tracker.object_ids == (2,)
    with pytest.raises(InputError, match="object_id"):
        tracker.clear_prompts(0, 1)


def test_several_clicks_in_a_frame_are_taken_back_together(predictor, video):
    """The object is then prompted anew, as one that was never seen there."""
    tracker, fresh = (VideoPredictor(predictor, video) for _ in range(2))
    tracker.prompt(0, 1, CLICK)
    tracker.prompt(0, 1, NOT_HERE)
    tracker.clear_prompts(0, 1)
    assert np.array_equal(tracker.prompt(0, 1, BOX).logits, fresh.prompt(0, 1, BOX).logits)
    assert_same_trackers(tracker, fresh)


def test_one_of_two_frames(predictor, video):
    """What follows is what it would be without these prompts."""
    tracker, fresh = (VideoPredictor(predictor, video) for _ in range(2))
    tracker.prompt(0, 1, BOX)
    tracker.prompt(6, 1, CLICK)
    fresh.prompt(0, 1, BOX)
    assert len(tracker.clear_prompts(6, 1)) == 0
    assert_same_trackers(tracker, fresh)
    for (_, found), (_, expected) in zip(tracker.track(), fresh.track(), strict=True):
        assert np.array_equal(found.logits, expected.logits)


def test_a_frame_that_was_tracked_is_prompted_anew_after_clearing(predictor, video):
    tracker = VideoPredictor(predictor, video[:12])
    tracker.prompt(0, 1, BOX)
    tracker.prompt(6, 1, BOX)
    list(tracker.track())
    tracker.clear_prompts(6, 1)
    state = tracker._session.objects[1]
    assert state.tracked == ((0, 5), (7, 11))
    alone = VideoPredictor(predictor, video[:12]).prompt(6, 1, CLICK)
    assert np.array_equal(tracker.prompt(6, 1, CLICK).logits, alone.logits)
    assert sorted(state.bank.prompted) == [0, 6]


def test_the_first_prompt_when_only_a_correction_is_left(predictor, video):
    tracker = VideoPredictor(predictor, video[:12])
    tracker.prompt(0, 1, BOX)
    for frame, _ in tracker.track(stop=9):
        if frame == 4:
            corrected = tracker.prompt(4, 1, CLICK)
    tracker.clear_prompts(0, 1)
    state = tracker._session.objects[1]
    assert list(state.bank.prompted) == [4]
    found = dict(tracker.track())  # from the first prompt that is left
    assert list(found) == list(range(4, 12))
    assert np.array_equal(found[4].logits, corrected.logits)
    tracker.prompt(2, 1, NOT_HERE)


def test_prompts_of_the_object_cannot_be_undone_any_more(predictor, video, tmp_path):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    tracker.prompt(0, 2, CLICK)
    tracker.prompt(6, 1, CLICK)
    tracker.clear_prompts(6, 1)
    tracker.save(tmp_path / "session.safetensors")
    loaded = VideoPredictor.load(tmp_path / "session.safetensors", predictor, video)
    for one in (tracker, loaded):
        one.undo()
        assert one.object_ids == (1,)
        with pytest.raises(InputError, match="nothing to undo"):
            one.undo()


def test_nothing_to_clear(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    before = snapshot(tracker)
    assert len(tracker.clear_prompts(3, 1)) == 0
    assert_same(tracker._session, before)
    tracker.undo()
    assert tracker.object_ids == ()


def test_other_objects_do_not_change(predictor, video):
    tracker = VideoPredictor(predictor, video)
    first = tracker.prompt(0, 1, BOX)
    tracker.prompt(0, 2, CLICK)
    assert np.array_equal(tracker.clear_prompts(0, 2).logits, first.logits)
