"""Words in a video, on scenes in which it is known what is there."""

import numpy as np
import pytest
import torch
from video.concepts.conftest import LENGTH, block

from samkit import Concept, ConceptTracking, InputError, Prompt, PromptError, VideoPredictor


def always(*found):
    return lambda frame: list(found)


def between(first, last, *found):
    """Detections in these frames only."""
    return lambda frame: list(found) if first <= frame <= last else []


def ids_by_frame(results):
    return {frame: masks.object_ids.tolist() for frame, masks in results}


def test_what_is_found_has_ids_names_scores_and_boxes(tracker, scene):
    scene.detected["cup"] = always((block(0), 0.9), (block(8), 0.8))
    frames = list(tracker.find("cup").track())
    assert [frame for frame, _ in frames] == list(range(LENGTH))
    for _, masks in frames:
        assert masks.object_ids.tolist() == [1, 2]
        assert masks.names.tolist() == ["cup", "cup"]
        assert masks.scores.tolist() == pytest.approx([0.9, 0.8])
        assert masks.boxes.tolist() == [[0, 2, 4, 6], [8, 2, 12, 6]]
        assert masks.logits.shape == (2, 16, 16)
        assert (masks.presence > 0.5).all()
    assert tracker.object_ids == (1, 2)


def test_what_is_not_there_is_chosen_like_what_is(tracker, scene):
    scene.detected["cup"] = always((block(0), 0.9))
    for _, masks in tracker.find("mug").track(stop=2):
        assert masks.names.shape == masks.presence.shape == (0,)
        assert len(masks[masks.names == "mug"]) == len(masks[masks.presence > 0.5]) == 0


def test_results_come_when_the_hotstart_has_passed(tracker, scene):
    scene.detected["cup"] = always((block(0), 0.9))
    seen = []
    for frame, _ in tracker.find("cup").track():
        seen.append((frame, scene.asked[-1][1]))
    assert seen[0] == (0, 14)
    assert seen[20] == (20, 34)
    assert seen[-1] == (LENGTH - 1, LENGTH - 1)


def test_without_hotstart_results_come_at_once(tracker, scene):
    scene.detected["cup"] = always((block(0), 0.9))
    rules = ConceptTracking(hotstart_delay=0)
    for frame, _ in tracker.find("cup", settings=rules).track(stop=9):
        assert scene.asked[-1] == ("cup", frame, False)


def test_an_object_that_is_soon_not_detected_any_more_was_never_there(tracker, scene):
    scene.detected["cup"] = lambda t: [(block(0), 0.9)] + [(block(8), 0.9)] * (3 <= t <= 5)
    ids = ids_by_frame(tracker.find("cup").track())
    assert set(map(tuple, ids.values())) == {(1,)}


def test_an_older_object_stays_when_it_is_not_detected_any_more(tracker, scene):
    scene.detected["cup"] = between(0, 20, (block(0), 0.9))
    ids = ids_by_frame(tracker.find("cup").track())
    assert set(map(tuple, ids.values())) == {(1,)}


def test_unless_unmatched_ones_are_to_be_hidden(tracker, scene):
    scene.detected["cup"] = between(0, 20, (block(0), 0.9))
    rules = ConceptTracking(suppress_unmatched_only_within_hotstart=False, init_trk_keep_alive=5)
    ids = ids_by_frame(tracker.find("cup", settings=rules).track())
    # It has 25 after frame 20, and 0 after 25 more.
    assert [frame for frame, own in ids.items() if not own] == list(range(45, LENGTH))
    assert tracker.object_ids == (1,)


@pytest.mark.parametrize(("frames", "left"), [(8, (1,)), (15, (1, 2))])
def test_the_younger_of_two_on_one_detection_goes(tracker, scene, frames, left):
    """Two from frame 2 on, which from frame 3 on are detected as one."""
    scene.detected["cup"] = lambda t: (
        [(block(0, 9), 0.9)] if t > 2 else [(block(0, 5), 0.9)] + [(block(5, 4), 0.9)] * (t == 2)
    )
    rules = ConceptTracking(trk_assoc_iou_thresh=0.4, hotstart_dup_thresh=frames)
    ids = ids_by_frame(tracker.find("cup", settings=rules).track())
    assert set(map(tuple, list(ids.values())[2:])) == {left}


def test_new_objects_have_to_be_probable_unless_they_are_the_first(tracker, scene):
    first, unlikely, later = (block(0), 0.6), (block(4), 0.45), (block(8), 0.69)
    scene.detected["cup"] = lambda t: (
        [first, unlikely] + [later] * (t > 0) + [(block(12), 0.71)] * (t > 4)
    )
    rules = ConceptTracking(hotstart_delay=0)
    masks = dict(tracker.find("cup", settings=rules).track(stop=6))
    assert masks[0].scores.tolist() == pytest.approx([0.6])
    assert masks[4].object_ids.tolist() == [1]
    assert masks[5].scores.tolist() == pytest.approx([0.6, 0.71])


def test_more_objects_than_are_allowed(tracker, scene):
    scene.detected["cup"] = lambda t: (
        [(block(0), 0.8), (block(4), 0.95), (block(8), 0.9)] + [(block(12), 0.99)] * (t > 2)
    )
    rules = ConceptTracking(max_num_objects=2)
    for _, masks in tracker.find("cup", settings=rules).track(stop=20):
        assert masks.scores.tolist() == pytest.approx([0.95, 0.9])


def test_of_detections_that_overlap_one_is_an_object(tracker, scene):
    scene.detected["cup"] = always((block(0), 0.8), (block(1), 0.9), (block(8), 0.75))
    (_, masks), *_ = tracker.find("cup").track(stop=1)
    assert masks.scores.tolist() == pytest.approx([0.9, 0.75])


def test_what_is_found_of_one_concept_does_not_depend_on_others(still, grey_video, scene):
    scene.detected["cup"] = lambda t: [(block(0), 0.9), (block(9), 0.65)]
    scene.detected["mug"] = lambda t: [(block(1), 0.8)] * (t > 1) + [(block(10), 0.75)] * (t == 4)
    alone = {}
    for word in ("cup", "mug"):
        alone[word] = dict(VideoPredictor(still, grey_video).find(word).track())
    for frame, both in VideoPredictor(still, grey_video).find(["cup", "mug"]).track():
        for word in ("cup", "mug"):
            own = both[both.names == word] if len(both) else both
            assert np.array_equal(own.masks, alone[word][frame].masks)
            assert np.array_equal(own.scores, alone[word][frame].scores)


def test_masks_of_a_concept_do_not_overlap(tracker, scene):
    scene.detected["cup"] = always((block(0, 6), 0.8), (block(4, 6), 0.9))
    scene.detected["mug"] = always((block(0, 10), 0.75))
    rules = ConceptTracking(det_nms_thresh=0.5)
    (_, masks), *_ = tracker.find(["cup", "mug"], settings=rules).track(stop=1)
    assert masks.areas.tolist() == [16, 24, 40]  # rows of 4: the more probable one has the rest


def test_live(still, grey_video, scene):
    scene.detected["cup"] = lambda t: [(block(0), 0.9)] * (2 <= t <= 4)
    live = VideoPredictor(still).find("cup")
    found = [live.step(frame) for frame in grey_video[:20]]
    assert [len(masks) for masks in found] == [0, 0] + [1] * 18
    assert [name for name, *_ in scene.asked] == ["cup"] * 20


def test_an_object_that_is_not_seen_is_left_out_and_comes_back(tracker, scene):
    scene.detected["cup"] = lambda t: [] if 20 <= t <= 24 else [(block(0), 0.9)]
    scene.lost = lambda t: (0,) if 20 <= t <= 24 else ()
    ids = ids_by_frame(tracker.find("cup").track(stop=30))
    assert [frame for frame, own in ids.items() if not own] == [20, 21, 22, 23, 24]
    assert len(tracker.masks(24)) == 1  # where all are listed
    assert tracker.masks(24).areas.tolist() == [0]


def growing(frame):
    """A block that becomes wider in frame 10, which tracking does not see."""
    return block(0, 6) if frame < 10 else block(0, 7)


def test_sure_detections_correct_what_is_tracked(tracker, scene):
    """Every 16 frames."""
    scene.detected["cup"] = lambda t: [(growing(t), 0.9)]
    areas = {frame: int(masks.areas[0]) for frame, masks in tracker.find("cup").track()}
    assert {areas[frame] for frame in range(16)} == {24}
    assert {areas[frame] for frame in range(16, LENGTH)} == {28}


@pytest.mark.parametrize(
    ("rules", "probability"),
    [
        (ConceptTracking(recondition_every_nth_frame=0), 0.9),
        (ConceptTracking(high_iou_thresh=0.9), 0.9),
        (ConceptTracking(), 0.79),
        (ConceptTracking(high_conf_thresh=0.95), 0.9),
    ],
)
def test_unless_it_is_not_sure(tracker, scene, rules, probability):
    scene.detected["cup"] = lambda t: [(growing(t), probability)]
    for _, masks in tracker.find("cup", settings=rules).track():
        assert masks.areas.tolist() == [24]


def test_of_what_was_given_long_ago_a_little_is_kept(tracker, scene):
    scene.detected["cup"] = always((block(0), 0.9))
    rules = ConceptTracking(recondition_every_nth_frame=1)
    held = [len(tracker.prompts[1]) for _ in tracker.find("cup", settings=rules).track()]
    state = tracker._session.objects[1]
    assert set(state.bank.prompted) == set(state.prompted)
    assert max(held) <= 2 * (state.bank.pointers + 1)  # those near to here, and to the start
    assert {0, LENGTH - 1} <= set(state.prompted)


def mask_at(column, width=4):
    return Prompt.mask(block(column, width)[0].numpy() > 0)


def test_an_object_that_the_user_prompted_too_is_not_hidden(tracker, scene):
    scene.detected["cup"] = between(0, 2, (block(0), 0.9))
    rules = ConceptTracking(
        hotstart_delay=0, suppress_unmatched_only_within_hotstart=False, init_trk_keep_alive=3
    )
    shown = {}
    for frame, masks in tracker.find("cup", settings=rules).track(stop=30):
        shown[frame] = masks.areas.tolist()
        if frame == 20:
            tracker.prompt(20, 1, mask_at(4, 5))
    assert [frame for frame, areas in shown.items() if not areas] == list(range(7, 21))
    assert (shown[6], shown[21]) == ([16], [20])


def test_nor_given_what_was_detected(tracker, scene):
    scene.detected["cup"] = lambda t: [(growing(t), 0.9)]
    rules = ConceptTracking(hotstart_delay=0)
    for frame, masks in tracker.find("cup", settings=rules).track():
        assert masks.areas.tolist() == [24]
        if frame == 5:
            tracker.prompt(5, 1, mask_at(0, 6))
    tracker.undo()
    *_, (_, masks) = tracker.track(start=6, stop=33)
    assert masks.areas.tolist() == [28]


def test_prompted_objects_are_tracked_beside_and_not_found_once_more(tracker, scene):
    scene.detected["cup"] = always((block(0), 0.9), (block(8), 0.9))
    tracker.prompt(0, 7, mask_at(0))
    for _, masks in tracker.find("cup").track(stop=20):
        assert masks.object_ids.tolist() == [7, 1]
        assert masks.names.tolist() == ["object", "cup"]


def test_a_removed_object_is_hidden_at_once_and_may_be_found_again(tracker, scene):
    scene.detected["cup"] = always((block(0), 0.9))
    ids = {}
    for frame, masks in tracker.find("cup").track(stop=30):
        ids[frame] = masks.object_ids.tolist()
        if frame == 3:
            tracker.remove(1)
    assert ids[3] == [1]
    assert ids[4] == []  # it waited to be shown
    assert ids[29] == [2]
    assert tracker.object_ids == (2,)


def test_other_words_follow(tracker, scene):
    scene.detected["cup"] = always((block(0), 0.9))
    scene.detected["mug"] = always((block(0), 0.9), (block(8), 0.8))
    rules = ConceptTracking(hotstart_delay=0)
    for frame, masks in tracker.find("cup", settings=rules).track(stop=30):
        if frame == 5:
            assert masks.names.tolist() == ["cup"]
            tracker.find("mug", settings=rules)
    assert masks.object_ids.tolist() == [1, 2, 3]
    assert masks.names.tolist() == ["cup", "mug", "mug"]


def test_going_backward(tracker, scene):
    scene.detected["cup"] = lambda t: [(block(0), 0.9)] + [(block(8), 0.9)] * (10 <= t <= 12)
    ids = ids_by_frame(tracker.find("cup").track("backward", start=30))
    assert list(ids) == list(range(30, -1, -1))
    assert set(map(tuple, ids.values())) == {(1,)}


def test_a_frame_that_cannot_be_read_comes_after_what_waits(still, grey_video, scene):
    def frames():
        yield from grey_video[:5]
        raise OSError("no more")

    scene.detected["cup"] = always((block(0), 0.9))
    results = VideoPredictor(still, frames()).find("cup").track()
    assert [next(results)[0] for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises((OSError, InputError), match="no more"):
        next(results)


def test_a_stream(still, grey_video, scene):
    scene.detected["cup"] = always((block(0), 0.9))
    tracker = VideoPredictor(still, iter(grey_video)).find("cup")
    assert [frame for frame, _ in tracker.track()] == list(range(LENGTH))
    assert len(tracker._session.objects[1].recent) <= 2


def test_examples_are_of_their_frame(tracker, scene):
    scene.detected["cup"] = always((block(0), 0.9))
    tracker.find(Concept("cup", boxes=[[0, 2, 4, 6]]), frame=2)
    list(tracker.track(stop=4))
    assert scene.asked == [("cup", t, t != 2) for t in range(4)]


def test_an_empty_detection_is_none(tracker, scene):
    scene.detected["cup"] = always((torch.full((1, 16, 16), -3.0), 0.9))
    assert set(map(tuple, ids_by_frame(tracker.find("cup").track()).values())) == {()}
    assert tracker.object_ids == ()


@pytest.mark.parametrize("concepts", [[], "", "  ", None, 3, ["cup", ""], ["cup", "cup"]])
def test_what_is_no_concept(tracker, concepts):
    with pytest.raises(PromptError, match="expected"):
        tracker.find(concepts)


def test_what_cannot_be_done(tracker, scene, tmp_path):
    with pytest.raises(InputError, match="settings: expected a ConceptTracking, got 3"):
        tracker.find("cup", settings=3)
    with pytest.raises(InputError, match=f"frame: expected a number below {LENGTH}"):
        tracker.find(Concept(boxes=[[0, 0, 4, 4]]), frame=LENGTH)
    tracker.find("cup")
    with pytest.raises(InputError, match="smooth: expected 0 where words are looked for, got 2"):
        tracker.track(smooth=2)
    with pytest.raises(InputError, match="save: expected a session of prompts"):
        tracker.save(tmp_path / "session.safetensors")
    tracker.close()
    with pytest.raises(InputError, match="closed"):
        tracker.find("cup")


def test_networks_without_words_say_so(predictor, video):
    with pytest.raises(InputError, match=r'no detector of concepts, only SAM 3 has one: .*"sam3"'):
        VideoPredictor(predictor, video).find("cup")
