"""SAM3VideoSemanticPredictor: what the core finds in a video, under the original's names."""

import inspect

import numpy as np
import pytest
from whole_sam3 import save_whole_sam3

import samkit
from samkit import Concept, ConceptTracking, InputError, PromptError, VideoPredictor
from samkit.compat.ultralytics import SAM3VideoSemanticPredictor

RULES = {
    "score_threshold_detection": 0.1,
    "det_nms_thresh": 0.6,
    "assoc_iou_thresh": 0.004,  # random weights track badly
    "fill_hole_area": 0,
    "masklet_confirmation_consecutive_det_thresh": 2,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam3")
    save_whole_sam3(folder, presence=4.0)
    return folder


@pytest.fixture
def make(folder):
    def make(**changes):
        settings = {"model": folder, "device": "cpu", "verbose": False}
        return SAM3VideoSemanticPredictor(overrides=settings, **{**RULES, **changes})

    return make


@pytest.fixture
def video():
    """BGR."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 90, (4, 60, 80, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[10:40, 5 + t : 30 + t] += 120
    return frames


@pytest.fixture
def expected(folder, video):
    core = samkit.load(folder, device="cpu", dtype="float32")
    rgb = np.ascontiguousarray(video[..., ::-1])

    def expected(concepts, predictor):
        tracker = VideoPredictor(core, rgb).find(concepts, settings=predictor.rules)
        return dict(tracker.track())

    return expected


def same(results, expected, words):
    assert [result.frame for result in results] == list(expected)
    for result, masks in zip(results, expected.values(), strict=True):
        np.testing.assert_array_equal(result.masks.data.numpy(), masks.masks)
        assert result.boxes.id.tolist() == masks.object_ids.tolist()
        names = [] if masks.names is None else masks.names.tolist()
        assert [result.names[int(number)] for number in result.boxes.cls] == names
        assert result.names == dict(enumerate(words))
        np.testing.assert_allclose(result.boxes.conf.numpy(), masks.scores, atol=1e-6)


def test_words(make, video, expected):
    predictor = make()
    want = expected(["red cup", "dog"], predictor)
    assert [len(masks) > 0 for masks in want.values()] == [False, True, True, True]
    same(list(predictor(video, text=["red cup", "dog"], stream=True)), want, ["red cup", "dog"])


def test_examples(make, video, expected):
    predictor = make(masklet_confirmation_enable=False)
    box = [[5, 10, 30, 40]]
    want = expected(Concept(boxes=box), predictor)
    same(predictor(video, bboxes=box, labels=[1]), want, ["visual"])


def test_prompts_that_stay_and_other_ones(make, video):
    predictor = make(masklet_confirmation_enable=False)
    predictor.set_prompts({"text": ["dog"]})
    classes = []
    for result in predictor(video, stream=True):
        classes.append({result.names[int(number)] for number in result.boxes.cls})
        if result.frame == 1:
            predictor.add_prompt(2, text="red cup")
    assert classes[:2] == [{"dog"}] * 2
    assert "red cup" in classes[2]
    predictor.reset_prompts()
    with pytest.raises(PromptError, match="expected words or a box"):
        predictor(video)


def test_clicks_correct_and_add(make, video):
    predictor = make(masklet_confirmation_enable=False)
    seen = None
    for result in predictor(video, text="dog", stream=True):
        if result.frame == 1:
            first = int(result.boxes.id[0])
            predictor.add_new_prompts(first, points=[20, 20], frame_idx=1)
            predictor.add_new_prompts(99, points=[60, 50], frame_idx=1)
        seen = result
    assert 99 in seen.boxes.id.tolist()
    assert seen.names == {0: "dog", 1: "object"}
    one = seen[seen.boxes.id.tolist().index(99)]
    assert one.boxes.cls.tolist() == [1]
    assert seen.summary()[-1]["name"] in ("dog", "object")


def test_a_video_again_and_another_one(make, video):
    predictor = make()
    first = predictor(video, text="dog")
    assert len(predictor()) == len(first)
    assert len(predictor(video[:2], text="red cup")) == 2
    with pytest.raises(PromptError, match="expected words or a box"):
        predictor(video[:2])


def test_the_rules_have_the_names_of_the_core():
    arguments = inspect.signature(SAM3VideoSemanticPredictor).parameters
    assert set(arguments) - {"cfg", "overrides", "_callbacks"} == set(vars(ConceptTracking()))


def test_numbers_below_zero_are_no_limits(make):
    rules = make().rules
    assert rules.recondition_every_nth_frame == 0
    assert rules.max_num_objects == 10_000
    assert make(max_num_objects=3).rules.max_num_objects == 3


def test_what_cannot_be_used(make, video):
    with pytest.raises(InputError, match="new_det_thresh: expected a number from 0 to 1"):
        make(new_det_thresh=2)
    with pytest.raises(PromptError, match="expected a dict with some of text, bboxes, labels"):
        make().set_prompts({"points": [1, 2]})
    with pytest.raises(InputError, match="source: expected a video, got None"):
        make()(text="dog")
    with pytest.raises(InputError, match="expected SAM 3, got SAM 2"):
        SAM3VideoSemanticPredictor(overrides={"model": "pico", "verbose": False})(video, text="dog")
