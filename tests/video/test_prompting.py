"""Prompts on frames: what they say on their own, and how they correct what was tracked."""

import numpy as np
import pytest

from samkit import Prompt, VideoPredictor
from samkit.errors import InputError

BOX, CLICK = Prompt.box(5, 10, 20, 30), Prompt.point(40, 20)
NOT_HERE = Prompt.point(50, 40, label=0)


def logits_of(results):
    return {frame: masks.logits for frame, masks in results}


def test_a_correction_takes_effect(predictor, video):
    plain = VideoPredictor(predictor, video)
    plain.prompt(0, 1, BOX)
    expected = logits_of(plain.track(stop=12))
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    for frame, masks in tracker.track(stop=12):
        if frame <= 6:
            assert np.array_equal(masks.logits, expected[frame])
        else:
            assert not np.array_equal(masks.logits, expected[frame]), frame
        if frame == 6:
            corrected = tracker.prompt(6, 1, Prompt.point(50, 40, label=0))
            assert not np.array_equal(corrected.logits, masks.logits)


def test_clicks_on_one_frame_add_up(predictor, video):
    one_by_one = VideoPredictor(predictor, video)
    one_by_one.prompt(0, 1, CLICK)
    second = one_by_one.prompt(0, 1, Prompt.point(30, 30, label=0))
    assert len(one_by_one._session.objects[1].prompted[0].prompt.point_coords) == 2
    alone = VideoPredictor(predictor, video).prompt(0, 1, Prompt.point(30, 30, label=0))
    assert not np.array_equal(second.logits, alone.logits)
    anew = one_by_one.prompt(0, 1, BOX)
    assert np.array_equal(anew.logits, VideoPredictor(predictor, video).prompt(0, 1, BOX).logits)


def test_a_mask_is_taken_as_it_is(predictor, video):
    mask = np.zeros((48, 64), bool)
    mask[8:32, 16:48] = True
    tracker = VideoPredictor(predictor, video)
    masks = tracker.prompt(0, 1, Prompt.mask(mask))
    assert (masks.masks[0] == mask).mean() > 0.97
    assert masks.presence[0] > 0.99
    assert masks.scores[0] == 1
    assert len(list(tracker.track(stop=3))) == 3


@pytest.mark.parametrize(
    "prompt",
    [
        CLICK,
        NOT_HERE,
        BOX,
        BOX + CLICK + NOT_HERE,
        Prompt.points([[6, 12], [9, 15], [12, 20], [14, 25]]),
        Prompt.points([[-5, 3], [200, 20]], labels=[1, 0]),
        Prompt.mask(np.eye(48, 64, dtype=bool)),
        Prompt.mask(np.linspace(-4, 4, 48 * 64).reshape(48, 64)),
        Prompt.mask(np.tri(20, 9, dtype=bool)) + CLICK,
        Prompt.mask(np.tri(20, 9, dtype=bool)) + BOX,
    ],
    ids=repr,
)
def test_prompts_of_every_kind_on_new_and_tracked_frames(predictor, video, prompt):
    tracker = VideoPredictor(predictor, video)
    first = tracker.prompt(0, 1, prompt)
    assert np.isfinite(first.logits).all()
    for frame, _ in tracker.track(stop=5):
        if frame == 3:
            corrected = tracker.prompt(3, 1, prompt)
            assert corrected.object_ids.tolist() == [1]
            assert np.isfinite(corrected.logits).all()
    assert frame == 4


def test_a_box_counts_also_where_a_mask_is_given(predictor, video):
    mask = Prompt.mask(np.tri(48, 64, dtype=bool))
    tracker = VideoPredictor(predictor, video)
    alone = tracker.prompt(0, 1, mask)
    assert not np.array_equal(tracker.prompt(0, 1, mask + BOX).logits, alone.logits)


def test_a_mask_without_a_pixel_says_that_nothing_is_there(predictor, video):
    tracker = VideoPredictor(predictor, video)
    masks = tracker.prompt(0, 1, Prompt.mask(np.zeros((48, 64), bool)))
    assert not masks.masks.any()
    assert masks.presence[0] < 0.01
    assert len(list(tracker.track(stop=3))) == 3


def test_a_mask_of_another_size_covers_the_whole_frame(predictor, video):
    large = np.zeros((96, 128), bool)
    large[16:64, 32:96] = True
    tracker = VideoPredictor(predictor, video)
    found = tracker.prompt(0, 1, Prompt.mask(large))
    assert found.masks.shape == (1, 48, 64)
    assert (found.masks[0] == large[::2, ::2]).mean() > 0.97


def test_one_object_is_prompted_and_the_other_stays(predictor, video):
    """The masks of a frame hold all objects that are known in it."""
    tracker = VideoPredictor(predictor, video)
    first = tracker.prompt(0, 1, BOX)
    both = tracker.prompt(0, 2, CLICK)
    assert both.object_ids.tolist() == [1, 2]
    assert np.array_equal(both.logits[0], first.logits[0])
    assert tracker.prompt(7, 2, CLICK).object_ids.tolist() == [2]


def test_a_correction_refines_the_mask_that_was_there(predictor, video):
    """It is neither what the click alone says, nor what it says to another mask."""
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    for frame, _ in tracker.track(stop=6):
        if frame == 5:
            corrected = tracker.prompt(5, 1, NOT_HERE).logits
    alone = VideoPredictor(predictor, video).prompt(5, 1, NOT_HERE).logits
    assert not np.array_equal(corrected, alone)
    other = VideoPredictor(predictor, video)
    other.prompt(0, 1, BOX)
    for frame, _ in other.track(stop=6):
        if frame == 5:
            other.prompt(5, 1, Prompt.mask(np.eye(48, 64, dtype=bool)))
            assert not np.array_equal(other.prompt(5, 1, NOT_HERE).logits, corrected)


def test_a_correction_stays_when_its_frame_is_tracked_again(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    for frame, _ in tracker.track(stop=12):
        if frame == 6:
            corrected = tracker.prompt(6, 1, NOT_HERE).logits
    expected = tracker._session.objects[1].prediction_in(11).logits
    again = logits_of(tracker.track(stop=12))
    assert np.array_equal(again[6], corrected)
    assert np.array_equal(again[11], expected)
    from_there = logits_of(tracker.track(start=6, stop=12))
    assert np.array_equal(from_there[6], corrected)


def test_a_frame_that_was_tracked_long_ago_is_corrected_too(predictor, video):
    """What was found there is found again, and what follows from there is another."""
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    before = logits_of(tracker.track())
    corrected = tracker.prompt(9, 1, NOT_HERE)
    alone = VideoPredictor(predictor, video).prompt(9, 1, NOT_HERE)
    assert not np.array_equal(corrected.logits, alone.logits)
    after = logits_of(tracker.track(start=9, stop=14))
    assert np.array_equal(after[9], corrected.logits)
    assert all(not np.array_equal(after[t], before[t]) for t in range(10, 14))
    second = tracker.prompt(9, 1, CLICK)  # refines the first correction
    assert not np.array_equal(second.logits, corrected.logits)
    assert len(tracker._session.objects[1].prompted[9].prompt.point_coords) == 2


def test_what_is_corrected_is_found_again(predictor, video):
    """As if tracking were on that frame once more."""
    found = []
    for goes_there in (False, True):
        tracker = VideoPredictor(predictor, video)
        tracker.prompt(0, 1, BOX)
        list(tracker.track())
        if goes_there:
            next(tracker.track(start=9))
        found.append(tracker.prompt(9, 1, NOT_HERE).logits)
    assert np.array_equal(*found)


def test_a_click_on_a_prompted_frame_refines_its_mask_also_later(predictor, video):
    """Whatever was prompted elsewhere meanwhile."""
    plain = VideoPredictor(predictor, video)
    plain.prompt(0, 1, BOX)
    expected = plain.prompt(0, 1, NOT_HERE)
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    tracker.prompt(20, 1, CLICK)
    assert np.array_equal(tracker.prompt(0, 1, NOT_HERE).logits, expected.logits)


def test_a_correction_going_backward(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(12, 1, BOX)
    expected = logits_of(tracker.track("backward"))
    found = {}
    for frame, masks in tracker.track("backward"):
        found[frame] = masks.logits
        if frame == 8:
            tracker.prompt(8, 1, NOT_HERE)
    for frame in expected:
        assert np.array_equal(found[frame], expected[frame]) == (frame >= 8), frame


@pytest.mark.parametrize("corrects_at_once", [True, False])
def test_corrections_backward_mirror_those_forward(predictor, video, corrects_at_once):
    """In a video that is played the other way round; while tracking is there, or long after."""
    video = video[:24]
    found = []
    for frames, direction in ((video, "forward"), (video[::-1], "backward")):
        tracker = VideoPredictor(predictor, frames)
        at = range(24) if direction == "forward" else range(23, -1, -1)
        tracker.prompt(at[3], 1, BOX)
        for frame, masks in tracker.track(direction):
            last = masks.logits
            if frame == at[7] and corrects_at_once:
                last = tracker.prompt(frame, 1, NOT_HERE).logits
                found.append(last)
        found.append(last if corrects_at_once else tracker.prompt(at[12], 1, BOX).logits)
    half = len(found) // 2
    for forward, backward in zip(found[:half], found[half:], strict=True):
        assert np.array_equal(forward, backward)


def test_a_frame_that_was_not_tracked_is_prompted_without_memory(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    list(tracker.track(stop=5))
    alone = VideoPredictor(predictor, video).prompt(30, 1, CLICK)
    assert np.array_equal(tracker.prompt(30, 1, CLICK).logits, alone.logits)


def test_looking_elsewhere_does_not_disturb_a_correction(predictor, video):
    """A prompt on another frame of the video, while tracking is here."""
    found = []
    for elsewhere in (False, True):
        tracker = VideoPredictor(predictor, video)
        tracker.prompt(0, 1, BOX)
        for frame, _ in tracker.track(stop=6):
            if frame == 5:
                if elsewhere:
                    tracker.prompt(30, 2, CLICK)
                found.append(tracker.prompt(5, 1, NOT_HERE).logits[0])
    assert np.array_equal(*found)


def test_a_correction_in_a_live_video(predictor, video):
    live = VideoPredictor(predictor)
    live.step(video[0], {1: BOX})
    followed = live.step(video[1])
    corrected = live.prompt(1, 1, NOT_HERE)
    assert not np.array_equal(corrected.logits, followed.logits)
    plain = VideoPredictor(predictor)
    plain.step(video[0], {1: BOX})
    plain.step(video[1])
    assert not np.array_equal(live.step(video[2]).logits, plain.step(video[2]).logits)
    with pytest.raises(InputError, match="frame 1 is not at hand"):
        live.prompt(1, 1, NOT_HERE)


@pytest.mark.parametrize("network", ["predictor", "pico_predictor"])
def test_a_live_video_is_corrected_like_any_other(request, video, network):
    """Though what was corrected is not kept once the frame has gone by."""
    predictor = request.getfixturevalue(network)  # pico is given the mask of the frame before
    live = VideoPredictor(predictor)
    streamed = VideoPredictor(predictor, iter(video))
    streamed.prompt(0, 1, BOX)
    expected = VideoPredictor(predictor, video)
    expected.prompt(0, 1, BOX)
    passes = zip(streamed.track(), expected.track(stop=12), strict=False)
    for (_, masks), (frame, wanted) in passes:
        stepped = live.step(video[frame], {1: BOX} if frame == 0 else None)
        assert np.array_equal(stepped.logits, masks.logits)
        assert np.array_equal(masks.logits, wanted.logits)
        if frame in (4, 5):
            found = [t.prompt(frame, 1, NOT_HERE).logits for t in (live, streamed, expected)]
            assert np.array_equal(found[0], found[1])
            assert np.array_equal(found[1], found[2])
    assert list(live._session.objects[1].prompted) == [0]
