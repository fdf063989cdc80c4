"""What is asked of a `VideoPredictor`: frames, ids and options of any type, and what is refused."""

import numpy as np
import pytest
from tiny import make, tiny_sam

from samkit import ImagePredictor, Prompt, VideoPredictor
from samkit.errors import InputError, PromptError

BOX, CLICK = Prompt.box(5, 10, 20, 30), Prompt.point(40, 20)


def test_nothing_can_be_asked_after_closing(predictor, video, tmp_path):
    with VideoPredictor(predictor, video) as tracker:
        tracker.prompt(0, 1, BOX)
        going = tracker.track()
        next(going)
    tracker.close()  # once more does no harm
    assert tracker.object_ids == ()
    live = VideoPredictor(predictor)
    live.close()
    for call in (
        lambda: tracker.prompt(0, 1, BOX),
        lambda: tracker.remove(1),
        lambda: tracker.track(),
        lambda: tracker.undo(),
        lambda: tracker.save(tmp_path / "session.safetensors"),
        lambda: next(going),
        lambda: live.step(video[0], {1: BOX}),
    ):
        with pytest.raises(InputError, match="closed"):
            call()


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
    for wrong in (0, "all", 1.5):
        with pytest.raises(InputError, match="nearest_prompts"):
            VideoPredictor(predictor, video, nearest_prompts=wrong)
    with pytest.raises(InputError, match="select_frames"):
        VideoPredictor(predictor, video, select_frames="yes")
    with pytest.raises(InputError, match="64 bits"):
        tracker.prompt(0, 2**63, BOX)
    tracker.prompt(0, 1, BOX)
    for options in ({"start": -1}, {"start": 41}):
        with pytest.raises(InputError, match="start: expected"):
            tracker.track(**options)
    for options in ({"start": "first"}, {"stop": 2.5}):
        with pytest.raises(InputError, match="expected a whole number"):
            tracker.track(**options)
    assert list(tracker.track(start=40)) == []  # the end was reached before
    with pytest.raises(InputError, match="start: expected a frame from 0 to 39, got 40"):
        tracker.track("backward", start=40)
    for options in ({"start": 20, "stop": 15}, {"stop": -5}):
        with pytest.raises(InputError, match="stop: expected a frame after"):
            tracker.track(**options)
    with pytest.raises(InputError, match="stop: expected a frame before 20, got 30"):
        tracker.track("backward", start=20, stop=30)
    live = VideoPredictor(predictor)
    with pytest.raises(InputError, match=r"expected \{object id: Prompt\}, got list"):
        live.step(video[0], [BOX])
    with pytest.raises(PromptError, match="expected a Prompt, got tuple"):
        live.step(video[0], {1: BOX, 2: (3, 4)})
    assert live.object_ids == ()
    with pytest.raises(InputError, match="not at hand"):
        live.prompt(0, 1, BOX)


def test_ids_and_frames_of_any_integer_type(predictor, video):
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(np.int64(1), np.uint8(200), BOX)
    tracker.prompt(np.uint16(1), np.int32(-7), CLICK)
    results = list(tracker.track(start=np.int64(1), stop=np.int8(3)))
    assert [masks.object_ids.tolist() for _, masks in results] == [[200, -7]] * 2
    tracker.remove(np.int16(-7))
    tracker.remove(200)
    assert tracker.object_ids == ()


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


def test_arguments_of_other_types(predictor, video):
    for wrong in ("no", 2, None, np.ones(2)):
        with pytest.raises(InputError, match="non_overlapping: expected True or False"):
            VideoPredictor(predictor, video, non_overlapping=wrong)
    with VideoPredictor(predictor, video) as tracker:
        for wrong in (None, [], np.array(["forward", "backward"]), 10**5000):
            with pytest.raises(InputError, match="direction: expected forward, backward or both"):
                tracker.track(wrong)
