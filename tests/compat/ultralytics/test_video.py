"""Following objects with a tiny random network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from samkit import Prompt, VideoPredictor
from samkit.compat.ultralytics import SAM2VideoPredictor
from samkit.errors import InputError, PromptError

BOX = [5, 10, 20, 30]


def logits(results: Any) -> np.ndarray:
    return np.stack([result.core.logits for result in results])


def test_as_the_core(tracker: SAM2VideoPredictor, frames: np.ndarray) -> None:
    results = tracker(frames, bboxes=[BOX, [30, 5, 50, 25]])
    assert isinstance(results, list)
    core = VideoPredictor(tracker.core, frames[..., ::-1], non_overlapping=True)
    core.prompt(0, 0, Prompt.box(*BOX))
    core.prompt(0, 1, Prompt.box(30, 5, 50, 25))
    for result, (number, masks) in zip(results, core.track(), strict=True):
        assert result.frame == number
        assert np.array_equal(result.masks.data.numpy(), masks.masks)
        assert np.array_equal(result.orig_img, frames[number])
        assert result.boxes.cls.tolist() == [0, 1]
        assert masks.presence is not None
        assert result.boxes.conf.tolist() == (masks.scores * masks.presence).tolist()


def test_an_mp4_streamed(tracker: SAM2VideoPredictor, clip: Path) -> None:
    results = tracker(source=str(clip), points=[20, 20], labels=[1], stream=True)
    assert iter(results) is results
    paths = [(result.path, result.frame, len(result)) for result in results]
    assert paths == [(str(clip), i, 1) for i in range(12)]


@pytest.mark.parametrize(
    ("prompts", "count"),
    [
        ({"points": [20, 20]}, 1),
        ({"points": [[20, 20], [9, 13]], "labels": [1, 1]}, 2),
        ({"points": [[[20, 20], [9, 13]]], "labels": [[1, 0]]}, 1),
        ({"bboxes": [[5, 5, 20, 30], [1, 2, 9, 9]]}, 2),
        ({"masks": np.eye(48, 64, dtype=bool)[None]}, 1),
    ],
)
def test_prompts_of_the_first_frame(
    tracker: SAM2VideoPredictor, clip: Path, prompts: dict[str, Any], count: int
) -> None:
    results = tracker(clip, **prompts)
    assert [result.boxes.cls.tolist() for result in results] == [list(range(count))] * 12


def test_stored_prompts_are_for_every_video(tracker: SAM2VideoPredictor, clip: Path) -> None:
    tracker.set_prompts({"bboxes": [BOX]})
    first, second = tracker(clip), tracker(clip)
    assert np.array_equal(logits(first), logits(second))
    assert len(first) == 12  # type: ignore[arg-type]


def test_by_hand(tracker: SAM2VideoPredictor, clip: Path) -> None:
    """The steps that a call takes, one by one."""
    tracker.setup_model()
    tracker.setup_source(clip)
    tracker.init_state(tracker)
    state = tracker.inference_state
    tracker.init_state(tracker)
    assert tracker.inference_state is state
    with pytest.raises(InputError, match="nothing to track"):
        tracker.propagate_in_video_preflight()
    masks, scores = tracker.add_new_prompts(7, points=[20, 20])
    assert masks.shape == (1, 48, 64)
    assert masks.dtype == torch.bool
    assert scores.shape == (1,)
    masks, scores = tracker.add_new_prompts(-2, masks=masks, frame_idx=4)
    assert tracker.propagate_in_video_preflight() is None
    assert [result.boxes.cls.tolist() for result in tracker()] == [[7, -2]] * 12


def test_prompts_are_about_one_object(tracker: SAM2VideoPredictor, frames: np.ndarray) -> None:
    tracker.setup_source(frames)
    tracker.add_new_prompts(1, points=[[9, 9], [3, 3]], labels=[1, 0])
    core = VideoPredictor(tracker.core, frames[..., ::-1])
    expected = core.prompt(0, 1, Prompt.points([[9, 9], [3, 3]], [1, 0]))
    (result, *_) = tracker()
    assert np.array_equal(result.core.logits, expected.logits)
    for given in (
        {"points": [9, 9], "masks": np.ones((4, 4))},
        {},
        {"masks": np.ones((2, 4, 4))},
        {"bboxes": np.ones((2, 4))},
        {"points": []},
    ):
        with pytest.raises(PromptError):
            tracker.add_new_prompts(1, **given)  # type: ignore[arg-type]
    for frame in (-1, 20, 1.5):
        with pytest.raises(InputError, match="frame_idx"):
            tracker.add_new_prompts(1, points=[9, 9], frame_idx=frame)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="object_id"):
        tracker.add_new_prompts("cat", points=[9, 9])  # type: ignore[arg-type]


def test_without_video_or_prompts(tracker: SAM2VideoPredictor, clip: Path) -> None:
    with pytest.raises(InputError, match="expected a video, got None"):
        tracker(bboxes=BOX)
    with pytest.raises(InputError, match="expected a video, got None"):
        tracker.add_new_prompts(1, points=[9, 9])
    with pytest.raises(InputError, match="no video"):
        tracker.propagate_in_video_preflight()
    with pytest.raises(InputError, match="nothing to track"):
        tracker(clip)
    with pytest.raises(PromptError, match="labels: expected points"):
        tracker(labels=[1])
    with pytest.raises(InputError, match="expected a SAM2VideoPredictor, got NoneType"):
        SAM2VideoPredictor.init_state(None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="camera: expected a number from 0"):
        tracker.setup_source(-1)
    with pytest.raises(InputError, match=r"missing\.mp4"):
        tracker("missing.mp4", bboxes=BOX)


def test_pico_tracks(overrides: Any, clip: Path) -> None:
    assert len(list(SAM2VideoPredictor(overrides=overrides("pico"))(clip, bboxes=BOX))) == 12


def test_features_for_several_objects(tracker: SAM2VideoPredictor, photo: np.ndarray) -> None:
    im = tracker.preprocess([photo])
    one, three = tracker.get_im_features(im), tracker.get_im_features(im, batch=3)
    assert isinstance(one, dict)
    assert isinstance(three, dict)
    assert three["image_embed"].shape == (3, 16, 4, 4)
    assert [len(level) for level in three["high_res_feats"]] == [3, 3]
    assert torch.equal(three["image_embed"][2:], one["image_embed"])
    for batch in (0, 1.5):
        with pytest.raises(InputError, match="batch"):
            tracker.get_im_features(im, batch=batch)  # type: ignore[arg-type]


def test_what_was_seen_around_a_correction_is_forgotten_if_wanted(
    tracker: SAM2VideoPredictor, frames: np.ndarray
) -> None:
    found = {}
    for around, several in ((False, False), (True, False), (True, True)):
        tracker.clear_non_cond_mem_around_input = around
        tracker.clear_non_cond_mem_for_multi_obj = several
        for count in (1, 2):
            results = tracker(frames, bboxes=[BOX, [30, 5, 50, 25]][:count], stream=True)
            for result in results:
                if result.frame == 8:
                    tracker.add_new_prompts(0, points=[12, 20], frame_idx=8)
                    break
            found[around, several, count] = logits([next(results) for _ in range(3)])
    assert not np.array_equal(found[False, False, 1], found[True, False, 1])
    assert np.array_equal(found[True, False, 1], found[True, True, 1])
    assert np.array_equal(found[False, False, 2], found[True, False, 2])
    assert not np.array_equal(found[True, False, 2][:, 0], found[True, True, 2][:, 0])
    assert np.array_equal(found[True, False, 2][:, 1], found[True, True, 2][:, 1])  # not touched


def test_an_iterator_of_frames(tracker: SAM2VideoPredictor, frames: np.ndarray) -> None:
    """A live source: every frame can be had once, and corrected while it is the last."""
    whole = tracker(frames, bboxes=BOX)
    live = tracker((frame for frame in frames), bboxes=BOX, stream=True)
    seen = []
    for result in live:
        seen.append(result)
        if result.frame == 3:
            tracker.add_new_prompts(5, points=[40, 10], frame_idx=3)
    assert np.array_equal(logits(seen[:4]), logits(whole[:4]))  # type: ignore[index]
    assert seen[4].boxes.cls.tolist() == [0, 5]
    with pytest.raises(InputError, match="gone by"):
        tracker.add_new_prompts(5, points=[40, 10], frame_idx=3)


def test_a_new_model_ends_the_video(
    tracker: SAM2VideoPredictor, models: dict[str, Path], frames: np.ndarray
) -> None:
    results = tracker(frames, bboxes=BOX, stream=True)
    next(results)
    tracker.setup_model(models["sam2"])
    assert not tracker.inference_state
    with pytest.raises(InputError, match="closed"):
        next(results)
    tracker.setup_source(frames)
    tracker.setup_model(models["tracker"])
    tracker.add_new_prompts(3, points=[9, 9])
    assert len(tracker()) == 20  # type: ignore[arg-type]


def test_the_state_can_be_dropped(tracker: SAM2VideoPredictor, clip: Path) -> None:
    tracker(clip, bboxes=BOX)
    assert tracker.inference_state
    tracker.inference_state = {}
    assert len(tracker(clip, bboxes=[BOX, BOX])[0]) == 2  # type: ignore[index]
