"""Tracking with tiny random networks: ids, order, memory, corrections, bad input."""

import numpy as np
import pytest
import torch
from tiny import make, tiny_sam, tiny_sam2

import samkit
from samkit import ImagePredictor, Prompt, VideoPredictor
from samkit.errors import InputError, PromptError
from samkit.video import MemoryBank


@pytest.fixture(scope="module")
def predictor():
    network = make(tiny_sam2())
    with torch.no_grad():  # objects are nearly always there
        network.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)
    return ImagePredictor(network, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def video():
    """40 frames 48 x 64 in which a bright square moves over noise."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 90, (40, 48, 64, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[10:30, 5 + t : 20 + t] += 120
    return frames


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


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_forgetting_changes_no_bit(predictor, video, monkeypatch, direction):
    def run():
        tracker = VideoPredictor(predictor, video)
        tracker.prompt(18, 1, BOX)
        tracker.prompt(30, 1, CLICK)
        tracker.prompt(22, 2, CLICK)
        return tracker, logits_of(tracker.track(direction, start=20))

    tracker, bounded = run()
    assert all(len(thing.bank.followed) <= 31 for thing in tracker._objects.values())
    monkeypatch.setattr(MemoryBank, "keep", lambda *args, **options: None)
    _, unbounded = run()
    first, last = (20, 39) if direction == "forward" else (0, 20 if direction == "backward" else 39)
    assert sorted(bounded) == sorted(unbounded) == list(range(first, last + 1))
    for frame in bounded:
        assert np.array_equal(bounded[frame], unbounded[frame]), frame


def test_what_is_kept_does_not_grow(predictor, video):
    live = VideoPredictor(predictor)
    live.step(video[0], {1: BOX, 2: CLICK})
    sizes = []
    for t in range(1, 120):
        live.step(video[t % 40])
        sizes.append([len(thing.bank) for thing in live._objects.values()])
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
    assert len(one_by_one._objects[1].prompts[0].point_coords) == 2
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


def test_an_absent_object_is_empty_and_flagged(video):
    network = make(tiny_sam2())
    with torch.no_grad():
        head = network.mask_decoder.pred_obj_score_head.layers[-1]
        head.weight.zero_()
        head.bias.fill_(-5.0)
    tracker = VideoPredictor(ImagePredictor(network, device="cpu"), video)
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


def test_close_and_context(predictor, video):
    with VideoPredictor(predictor, video) as tracker:
        tracker.prompt(0, 1, BOX)
    assert tracker.object_ids == ()


def test_wrong_calls(predictor, video):
    tracker = VideoPredictor(predictor, video)
    with pytest.raises(InputError, match="prompt an object first"):
        next(tracker.track())
    with pytest.raises(InputError, match="below 40, the length of the video, got 40"):
        tracker.prompt(40, 1, BOX)
    with pytest.raises(InputError, match="from 0 on"):
        tracker.prompt(-1, 1, BOX)
    with pytest.raises(InputError, match="object_id: expected a whole number"):
        tracker.prompt(0, "cat", BOX)
    with pytest.raises(PromptError, match="expected a Prompt, got tuple"):
        tracker.prompt(0, 1, (3, 4))
    assert tracker.object_ids == ()
    with pytest.raises(InputError, match=r"a known object \(none\), got 5"):
        tracker.remove(5)
    with pytest.raises(InputError, match="use track"):
        tracker.step(video[0])
    with pytest.raises(InputError, match="forward, backward or both"):
        next(tracker.track("sideways"))
    with pytest.raises(InputError, match="no video to track in"):
        next(VideoPredictor(predictor).track())
    with pytest.raises(InputError, match="tracking needs a SAM 2 network"):
        VideoPredictor(ImagePredictor(make(tiny_sam()), device="cpu"), video)
    with pytest.raises(InputError, match="expected an ImagePredictor"):
        VideoPredictor("pico", video)
    with pytest.raises(InputError, match="nearest_prompts"):
        VideoPredictor(predictor, video, nearest_prompts=0)


def test_frames_of_different_sizes(predictor, video):
    tracker = VideoPredictor(predictor, [video[0], video[1][:40]])
    tracker.prompt(0, 1, BOX)
    with pytest.raises(InputError, match=r"frame 1: expected the size .*\(48, 64\).*\(40, 64\)"):
        list(tracker.track())


def test_a_stream_cannot_go_back(predictor, video):
    tracker = VideoPredictor(predictor, iter(video))
    tracker.prompt(5, 1, BOX)
    with pytest.raises(InputError, match="frame 2 has gone by"):
        tracker.prompt(2, 1, CLICK)
    assert [frame for frame, _ in tracker.track(stop=9)] == [5, 6, 7, 8]


def test_the_public_name():
    assert samkit.VideoPredictor is VideoPredictor
