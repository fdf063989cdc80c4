"""Tracking with tiny random networks: ids, order, memory, corrections."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import samkit
from samkit import ImagePredictor, Prompt, VideoPredictor
from samkit.errors import InputError
from samkit.media.frames import open_frames
from samkit.video import MemoryBank

BOX, CLICK = Prompt.box(5, 10, 20, 30), Prompt.point(40, 20)


def logits_of(results):
    return {frame: masks.logits for frame, masks in results}


def test_all_frames_in_order_with_stable_ids(predictor, video):
    tracker = VideoPredictor(predictor, video)
    at_once = tracker.prompt(0, 7, BOX)
    assert at_once.object_ids.tolist() == [7]
    assert at_once.image_size == (48, 64)
    assert tracker.prompt(0, -3, CLICK).object_ids.tolist() == [7, -3]
    results = list(tracker.track())
    assert [frame for frame, _ in results] == list(range(40))
    for _, masks in results:
        assert masks.object_ids.tolist() == [7, -3]
        assert masks.presence.shape == (2,)
        assert masks.masks.shape == (2, 48, 64)
    assert np.array_equal(results[0][1].masks[0], at_once.masks[0])


def test_objects_together_are_as_objects_alone(predictor, video):
    """Also where one was prompted later, and so remembers less."""
    together = VideoPredictor(predictor, video)
    together.prompt(0, 1, BOX)
    together.prompt(3, 2, CLICK)
    both = logits_of(together.track(stop=14))
    for i, (frame, object_id, prompt) in enumerate([(0, 1, BOX), (3, 2, CLICK)]):
        alone = VideoPredictor(predictor, video)
        alone.prompt(frame, object_id, prompt)
        for number, masks in alone.track(start=0, stop=14):
            np.testing.assert_allclose(both[number][i], masks.logits[0], rtol=1e-3, atol=1e-3)


def test_frames_in_which_an_object_was_hardly_seen_are_left_out(predictor, video, monkeypatch):
    def run(*, select_frames):
        tracker = VideoPredictor(predictor, video, select_frames=select_frames)
        tracker.prompt(0, 1, BOX)
        return logits_of(tracker.track(stop=6))

    everything = run(select_frames=False)
    monkeypatch.setattr("samkit.memory.bank._LEAST_CONFIDENCE", -1.0)  # all were seen
    for frame, logits in run(select_frames=True).items():
        assert np.array_equal(logits, everything[frame])
    monkeypatch.setattr("samkit.memory.bank._LEAST_CONFIDENCE", 1.0)  # none was
    selected = run(select_frames=True)
    same = [frame for frame in selected if np.array_equal(selected[frame], everything[frame])]
    assert same == [0, 1, 2]  # up to there, what is before is the prompt and the last frame


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_forgetting_changes_no_bit(predictor, video, monkeypatch, direction):
    def run():
        tracker = VideoPredictor(predictor, video)
        tracker.prompt(18, 1, BOX)
        tracker.prompt(30, 1, CLICK)
        tracker.prompt(22, 2, CLICK)
        return tracker, logits_of(tracker.track(direction, start=20))

    tracker, bounded = run()
    assert all(len(thing.bank.tracked) <= 31 for thing in tracker._session.objects.values())
    monkeypatch.setattr(MemoryBank, "prune", lambda *args, **options: None)
    _, unbounded = run()
    first, last = (20, 39) if direction == "forward" else (0, 20 if direction == "backward" else 39)
    assert sorted(bounded) == sorted(unbounded) == list(range(first, last + 1))
    for frame in bounded:
        assert np.array_equal(bounded[frame], unbounded[frame]), frame


def test_what_is_kept_does_not_grow(predictor, video):
    live = VideoPredictor(predictor)
    live.step(video[0], {1: BOX, 2: CLICK})
    sizes = []
    for t in range(1, 60):
        live.step(video[t % 40])
        sizes.append([len(thing.bank) for thing in live._session.objects.values()])
    assert sizes[20] == sizes[-1] == [1 + 15 + 1] * 2  # prompted, in reach, and the last frame


def test_live_is_like_a_video_of_unknown_length(predictor, video):
    live = VideoPredictor(predictor)
    steps = [live.step(video[0], {1: BOX})]
    steps += [live.step(frame) for frame in video[1:25]]
    stream = VideoPredictor(predictor, iter(video[:25]))
    stream.prompt(0, 1, BOX)
    for masks, (_, tracked) in zip(steps, stream.track(), strict=True):
        assert np.array_equal(masks.logits, tracked.logits)


def test_a_new_object_while_tracking_leaves_the_others_alone(predictor, video):
    plain = VideoPredictor(predictor, video)
    plain.prompt(0, 1, BOX)
    expected = logits_of(plain.track(stop=20))
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    counts = []
    for frame, masks in tracker.track(stop=20):
        counts.append(len(masks))
        np.testing.assert_allclose(masks.logits[0], expected[frame][0], rtol=1e-3, atol=1e-3)
        if frame == 8:
            tracker.prompt(8, 2, CLICK)
        if frame == 12:
            tracker.remove(2)
    assert counts == [1] * 9 + [2] * 4 + [1] * 7


def test_an_id_can_be_used_again(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    list(tracker.track(stop=5))
    tracker.remove(1)
    assert tracker.object_ids == ()
    tracker.prompt(5, 1, CLICK)
    again = logits_of(tracker.track(start=5, stop=9))
    fresh = VideoPredictor(predictor, video)
    fresh.prompt(5, 1, CLICK)
    for frame, logits in logits_of(fresh.track(start=5, stop=9)).items():
        assert np.array_equal(again[frame], logits)


def test_an_absent_object_is_empty_and_flagged(absent_predictor, video):
    tracker = VideoPredictor(absent_predictor, video)
    tracker.prompt(0, 1, Prompt.mask(np.ones((48, 64), bool)))
    results = dict(tracker.track(stop=3))
    assert results[0].presence[0] > 0.5
    for frame in (1, 2):
        assert results[frame].presence[0] < 0.5
        assert not results[frame].masks.any()
        assert results[frame].object_ids.tolist() == [1]


def test_masks_need_not_overlap(predictor, video):
    tracker = VideoPredictor(predictor, video, non_overlapping=True)
    mask = np.ones((48, 64), bool)
    tracker.prompt(0, 1, Prompt.mask(mask))
    assert tracker.prompt(0, 2, Prompt.mask(mask)).masks.sum(0).max() == 1
    for _, masks in tracker.track(stop=4):
        assert masks.masks.sum(0).max() <= 1


def test_start_and_stop_again(predictor, video):
    """Tracking can be left and gone on with."""
    whole = VideoPredictor(predictor, video)
    whole.prompt(0, 1, BOX)
    expected = logits_of(whole.track(stop=10))
    parts = VideoPredictor(predictor, video)
    parts.prompt(0, 1, BOX)
    found = logits_of(parts.track(stop=4)) | logits_of(parts.track(start=4, stop=10))
    assert sorted(found) == list(range(10))
    for frame in found:
        assert np.array_equal(found[frame], expected[frame])


def test_a_prompt_before_the_first_tracked_frame(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(2, 1, BOX)
    assert [frame for frame, _ in tracker.track(start=10, stop=13)] == [10, 11, 12]


def test_two_frames(predictor, video):
    tracker = VideoPredictor(predictor, video[:2])
    tracker.prompt(1, 1, BOX)
    assert [frame for frame, _ in tracker.track("both")] == [1, 0]


def test_one_frame(predictor, video):
    tracker = VideoPredictor(predictor, video[:1])
    tracker.prompt(0, 1, BOX)
    for direction in ("forward", "backward", "both"):
        assert [frame for frame, _ in tracker.track(direction)] == [0]


def test_only_a_late_frame_is_prompted(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(30, 1, BOX)
    assert [frame for frame, _ in tracker.track("both")] == [*range(30, 40), *range(29, -1, -1)]
    assert [frame for frame, _ in tracker.track("backward", stop=25)] == [30, 29, 28, 27, 26]


def test_forward_and_then_backward_is_both(predictor, video):
    at_once = VideoPredictor(predictor, video)
    at_once.prompt(9, 1, BOX)
    both = logits_of(at_once.track("both", stop=36))
    twice = VideoPredictor(predictor, video)
    twice.prompt(9, 1, BOX)
    found = logits_of(twice.track(stop=36)) | logits_of(twice.track("backward"))
    assert sorted(found) == sorted(both)
    for frame in found:
        assert np.array_equal(found[frame], both[frame]), frame


def test_an_object_that_leaves_and_returns(predictor, video):
    """While it is away it keeps its id and its place, and what is remembered says so."""
    network = copy.deepcopy(predictor.network)
    score = network.mask_decoder.pred_obj_score_head.layers[-1]
    tracker = VideoPredictor(ImagePredictor(network, device="cpu", dtype="float32"), video)
    tracker.prompt(0, 1, BOX)
    tracker.prompt(0, 2, CLICK)
    there = []
    for frame, masks in tracker.track(stop=9):
        assert masks.object_ids.tolist() == [1, 2]
        there.append((masks.presence > 0.5).tolist())
        assert masks.masks.any((1, 2)).tolist() <= there[-1]
        with torch.no_grad():
            score.bias.fill_(-99.0 if 2 <= frame < 5 else 99.0)
    assert there == [[True] * 2] * 3 + [[False] * 2] * 3 + [[True] * 2] * 3


def test_presence_and_predicted_iou_of_each_frame(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    scores, presence = zip(
        *((masks.scores[0], masks.presence[0]) for _, masks in tracker.track(stop=6)), strict=True
    )
    assert len(set(scores)) > 3
    assert len(set(presence)) > 3
    assert all(0 <= value <= 1 for value in (*scores, *presence))


def test_the_loop_ends_with_the_last_object(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(10, 1, BOX)
    frames = []
    for frame, _ in tracker.track("both"):
        frames.append(frame)
        if frame == 13:
            tracker.remove(1)
    assert frames == [10, 11, 12, 13]
    tracker.prompt(10, 1, BOX)
    for frame, _ in tracker.track(stop=14):
        if frame == 12:  # the last one goes, and another one comes
            tracker.remove(1)
            tracker.prompt(12, 2, CLICK)
    assert frame == 13
    assert tracker.object_ids == (2,)


def test_a_pass_that_was_left_and_a_new_one(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    expected = logits_of(tracker.track(stop=9))
    left = tracker.track()
    assert [next(left)[0], next(left)[0]] == [0, 1]
    again = logits_of(tracker.track(stop=9))
    for frame in expected:
        assert np.array_equal(again[frame], expected[frame])
    with pytest.raises(InputError, match="one pass at a time"):
        next(left)


def test_a_pass_that_turns_round_after_another_one_is_refused(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(5, 1, BOX)
    both = tracker.track("both", stop=7)
    assert [next(both)[0], next(both)[0]] == [5, 6]
    list(tracker.track(stop=7))
    with pytest.raises(InputError, match="another track"):
        next(both)


def test_two_passes_at_once_are_refused(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    first, second = tracker.track(), tracker.track("backward")
    next(first)
    next(second)
    with pytest.raises(InputError, match="another track"):
        next(first)
    with pytest.raises(StopIteration):
        next(second)  # it goes on undisturbed, to its end


def test_half_precision(predictor, video):
    """Only the image encoder runs in it: what is remembered and found is as precise as before."""
    network = copy.deepcopy(predictor.network)
    half = ImagePredictor(network, device="cpu", dtype="bfloat16")
    results = []
    for one in (predictor, half):
        tracker = VideoPredictor(one, video)
        tracker.prompt(0, 1, Prompt.mask(np.ones((48, 64), bool)))
        results.append(dict(tracker.track(stop=3)))
    for frame in range(3):
        full, low = (result[frame].logits for result in results)
        assert low.dtype == np.float32
        assert np.isfinite(low).all()
        if frame:  # the first one is a given mask
            assert not np.array_equal(low, full)


def test_a_network_like_pico(pico_predictor, video):
    """With the previous mask as a prompt, and residual memory."""
    tracker = VideoPredictor(pico_predictor, video)
    tracker.prompt(0, 1, BOX)
    tracker.prompt(2, 2, CLICK)
    results = logits_of(tracker.track(start=0, stop=8))
    assert sorted(results) == list(range(8))
    alone = VideoPredictor(pico_predictor, video)
    alone.prompt(2, 2, CLICK)
    for frame, masks in alone.track(start=0, stop=8):
        np.testing.assert_allclose(results[frame][1], masks.logits[0], rtol=1e-3, atol=1e-3)


def test_going_back_finds_the_same(pico_predictor, video):
    """The mask before is at hand also where tracking is not at its front."""
    tracker = VideoPredictor(pico_predictor, video)
    tracker.prompt(0, 1, BOX)
    tracker.prompt(2, 2, CLICK)
    first = logits_of(tracker.track(start=0, stop=12))
    again = logits_of(tracker.track(start=11, stop=12))
    assert np.array_equal(again[11], first[11])
    known = tracker.prompt(7, 1, Prompt.point(9, 9, label=0))
    assert known.object_ids.tolist() == [1, 2]
    assert np.array_equal(known.logits[1], first[7][1])


def test_the_public_name():
    assert samkit.VideoPredictor is VideoPredictor


def test_frames_that_were_open_stay_open(predictor):
    frames = open_frames(Path(__file__).parents[2] / "examples" / "coffee.mp4")
    with VideoPredictor(predictor, frames) as tracker:
        tracker.prompt(0, 1, Prompt.point(50, 50))
    assert frames.read(3).shape == (240, 360, 3)
    frames.close()


def test_a_tracker_describes_itself(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, Prompt.point(20, 20))
    assert repr(tracker) == f"<VideoPredictor: 1 object, {len(video)} frames>"
    assert "live" in repr(VideoPredictor(predictor))
