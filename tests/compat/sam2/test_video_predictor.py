"""SAM2VideoPredictor: what it tracks is what samkit tracks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import make, tiny_sam
from videos import make_video

from samkit import ImagePredictor, Prompt, VideoPredictor
from samkit.compat.sam2.sam2_video_predictor import InferenceState, SAM2VideoPredictor
from samkit.compat.sam2.specks import without_specks
from samkit.errors import InputError, PromptError
from samkit.masks import Masks
from samkit.nn import Network

BOX, CLICK, OTHER = [5, 10, 20, 30], [[12.0, 20.0]], [[40.0, 20.0]]


@pytest.fixture
def state(tracker: SAM2VideoPredictor, frames: np.ndarray) -> InferenceState:
    return tracker.init_state(frames)


@pytest.fixture
def core(networks: dict[str, Network], frames: np.ndarray) -> VideoPredictor:
    predictor = ImagePredictor(networks["sam2"], device="cpu", dtype="float32")
    return VideoPredictor(predictor, frames)


def same(logits: torch.Tensor, masks: Masks) -> bool:
    """Whether mask logits (N, 1, H, W) are those of masks."""
    return np.array_equal((logits[:, 0] > 0).numpy(), masks.masks)


def test_a_state(state: InferenceState) -> None:
    assert (state.num_frames, state.video_height, state.video_width) == (12, 48, 64)
    assert state.obj_ids == []


def test_a_prompt_and_tracking(
    tracker: SAM2VideoPredictor, state: InferenceState, core: VideoPredictor
) -> None:
    frame, ids, logits = tracker.add_new_points_or_box(
        inference_state=state, frame_idx=0, obj_id=7, box=BOX
    )
    assert (frame, ids) == (0, [7])
    assert (logits.shape, logits.dtype) == ((1, 1, 48, 64), torch.float32)
    assert same(logits, core.prompt(0, 7, Prompt.box(*BOX)))
    found = list(tracker.propagate_in_video(state))
    expected = list(core.track())
    assert [frame for frame, _, _ in found] == list(range(12))
    for (_, ids, logits), (_, masks) in zip(found, expected, strict=True):
        assert ids == [7]
        assert same(logits, masks)


def test_an_object_that_is_not_known_in_a_frame(
    tracker: SAM2VideoPredictor, state: InferenceState
) -> None:
    tracker.add_new_points_or_box(state, 0, 5, CLICK, [1])
    _, ids, logits = tracker.add_new_points_or_box(state, 3, 2, OTHER, [1])
    assert ids == [5, 2]
    assert (logits[0] == -1024).all()
    assert not (logits[1] == -1024).all()


def test_all_clicks_again_with_new_ones_refine(
    tracker: SAM2VideoPredictor, state: InferenceState, core: VideoPredictor
) -> None:
    """As in the original's notebook: every call has all clicks of the frame."""
    tracker.add_new_points_or_box(state, 0, 1, CLICK, [1])
    _, _, logits = tracker.add_new_points_or_box(state, 0, 1, CLICK + OTHER, [1, 0])
    core.prompt(0, 1, Prompt.points(CLICK))
    assert same(logits, core.prompt(0, 1, Prompt.points(OTHER, [0])))
    assert len(state.prompts[1, 0].point_coords) == 2


def test_the_box_again_with_a_click_refines(
    tracker: SAM2VideoPredictor, state: InferenceState, core: VideoPredictor
) -> None:
    tracker.add_new_points_or_box(state, 0, 1, box=BOX)
    _, _, logits = tracker.add_new_points_or_box(state, 0, 1, OTHER, [0], box=BOX)
    core.prompt(0, 1, Prompt.box(*BOX))
    assert same(logits, core.prompt(0, 1, Prompt.points(OTHER, [0])))


def test_added_points(
    tracker: SAM2VideoPredictor, state: InferenceState, core: VideoPredictor
) -> None:
    tracker.add_new_points_or_box(state, 0, 1, CLICK, [1])
    _, _, logits = tracker.add_new_points_or_box(state, 0, 1, OTHER, [0], clear_old_points=False)
    core.prompt(0, 1, Prompt.points(CLICK))
    assert same(logits, core.prompt(0, 1, Prompt.points(OTHER, [0])))
    assert len(state.prompts[1, 0].point_coords) == 2
    with pytest.raises(PromptError, match="clear_old_points"):
        tracker.add_new_points_or_box(state, 0, 1, box=BOX, clear_old_points=False)


@pytest.mark.parametrize("first", [{"box": BOX}, {"points": CLICK, "labels": [1]}])
def test_other_prompts_replace(
    tracker: SAM2VideoPredictor, frames: np.ndarray, first: dict[str, Any]
) -> None:
    """The mask is what it would be without the first ones, also for the same ones again."""
    prompts: list[dict[str, Any]] = [
        {"points": OTHER, "labels": [1]},
        {"box": [30, 5, 60, 40]},
        first,
    ]
    for given in prompts:
        state, fresh = tracker.init_state(frames), tracker.init_state(frames)
        tracker.add_new_points_or_box(state, 0, 1, **first)
        tracker.add_new_points_or_box(state, 0, 2, OTHER, [1])
        _, ids, logits = tracker.add_new_points_or_box(state, 0, 1, **given)
        _, _, expected = tracker.add_new_points_or_box(fresh, 0, 1, **given)
        assert ids == [1, 2]
        assert torch.equal(logits[0], expected[0])


def test_the_former_name(tracker: SAM2VideoPredictor, frames: np.ndarray) -> None:
    one, other = tracker.init_state(frames), tracker.init_state(frames)
    _, _, logits = tracker.add_new_points(one, 0, 1, CLICK, [1])
    assert torch.equal(logits, tracker.add_new_points_or_box(other, 0, 1, CLICK, [1])[2])


def test_coordinates_as_fractions(tracker: SAM2VideoPredictor, frames: np.ndarray) -> None:
    one, other = tracker.init_state(frames), tracker.init_state(frames)
    fractions = {"points": np.array(CLICK) / [64, 48], "labels": [1], "normalize_coords": False}
    _, _, logits = tracker.add_new_points_or_box(one, 0, 1, **fractions)
    _, _, expected = tracker.add_new_points_or_box(other, 0, 1, CLICK, [1])
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)


def test_a_mask(tracker: SAM2VideoPredictor, state: InferenceState, core: VideoPredictor) -> None:
    mask = np.zeros((48, 64), bool)
    mask[10:30, 5:20] = True
    _, _, logits = tracker.add_new_mask(state, 0, 1, mask)
    masks = core.prompt(0, 1, Prompt.mask(mask))
    assert same(logits, masks)
    _, _, again = tracker.add_new_mask(state, 0, 1, torch.from_numpy(mask))
    assert torch.equal(again, logits)
    _, _, refined = tracker.add_new_points_or_box(state, 0, 1, OTHER, [1])
    assert same(refined, core.prompt(0, 1, Prompt.points(OTHER)))


def test_a_correction_while_tracking(
    tracker: SAM2VideoPredictor, state: InferenceState, core: VideoPredictor
) -> None:
    tracker.add_new_points_or_box(state, 0, 1, box=BOX)
    core.prompt(0, 1, Prompt.box(*BOX))
    ours, expected = tracker.propagate_in_video(state), core.track()
    for (frame, _, logits), (_, masks) in zip(ours, expected, strict=True):
        assert same(logits, masks), frame
        if frame == 4:
            _, _, corrected = tracker.add_new_points_or_box(state, 4, 1, OTHER, [0])
            assert same(corrected, core.prompt(4, 1, Prompt.points(OTHER, [0])))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, range(4, 12)),
        ({"start_frame_idx": 6}, range(6, 12)),
        ({"max_frame_num_to_track": 2}, range(4, 7)),
        ({"start_frame_idx": 9, "max_frame_num_to_track": 5}, range(9, 12)),
        ({"reverse": True}, range(4, -1, -1)),
        ({"reverse": True, "start_frame_idx": 0}, range(0)),
        ({"reverse": True, "max_frame_num_to_track": 3}, range(4, 0, -1)),
        ({"reverse": True, "start_frame_idx": 6, "max_frame_num_to_track": 0}, range(6, 5, -1)),
    ],
)
def test_which_frames_are_tracked(
    tracker: SAM2VideoPredictor, state: InferenceState, given: dict[str, Any], expected: range
) -> None:
    tracker.add_new_points_or_box(state, 4, 1, box=BOX)
    found = [frame for frame, _, _ in tracker.propagate_in_video(state, **given)]
    assert found == list(expected)


def test_clearing_a_frame(
    tracker: SAM2VideoPredictor, state: InferenceState, frames: np.ndarray
) -> None:
    tracker.add_new_points_or_box(state, 0, 1, box=BOX)
    tracker.add_new_points_or_box(state, 5, 1, OTHER, [1])
    cleared = tracker.clear_all_prompts_in_frame(state, 5, 1)
    assert cleared is not None
    assert cleared[:2] == (5, [1])
    assert (cleared[2] == -1024).all()
    fresh = tracker.init_state(frames)
    tracker.add_new_points_or_box(fresh, 0, 1, box=BOX)
    for (_, _, one), (_, _, other) in zip(
        tracker.propagate_in_video(state), tracker.propagate_in_video(fresh), strict=True
    ):
        assert torch.equal(one, other)
    assert tracker.clear_all_prompts_in_frame(state, 0, 1, need_output=False) is None
    assert state.obj_ids == []
    with pytest.raises(InputError, match="object_id"):
        tracker.clear_all_prompts_in_frame(state, 0, 1)


def test_removing_an_object_and_using_its_id_again(
    tracker: SAM2VideoPredictor, state: InferenceState, frames: np.ndarray
) -> None:
    tracker.add_new_points_or_box(state, 0, 1, box=BOX)
    _, _, both = tracker.add_new_points_or_box(state, 0, 2, OTHER, [1])
    tracker.add_new_points_or_box(state, 3, 1, CLICK, [1])
    ids, updated = tracker.remove_object(state, 1)
    assert ids == state.obj_ids == [2]
    assert [frame for frame, _ in updated] == [0, 3]
    assert torch.equal(updated[0][1], both[1:])
    assert tracker.remove_object(state, 1) == ([2], [])
    with pytest.raises(InputError, match="object_id"):
        tracker.remove_object(state, 1, strict=True)
    _, ids, logits = tracker.add_new_points_or_box(state, 0, 1, CLICK, [1])
    fresh = tracker.init_state(frames)
    _, _, expected = tracker.add_new_points_or_box(fresh, 0, 1, CLICK, [1])
    assert ids == [2, 1]
    assert torch.equal(logits[1], expected[0])
    tracker.remove_object(state, 2, need_output=False)
    assert tracker.remove_object(state, 1) == ([], [])


def test_a_reset(tracker: SAM2VideoPredictor, state: InferenceState, frames: np.ndarray) -> None:
    tracker.add_new_points_or_box(state, 0, 1, box=BOX)
    list(tracker.propagate_in_video(state))
    tracker.reset_state(state)
    assert state.obj_ids == []
    with pytest.raises(InputError, match="nothing to track"):
        tracker.propagate_in_video(state)
    _, _, logits = tracker.add_new_points_or_box(state, 3, 1, CLICK, [1])
    fresh = tracker.init_state(frames)
    assert torch.equal(logits, tracker.add_new_points_or_box(fresh, 3, 1, CLICK, [1])[2])


def test_masks_that_do_not_overlap(
    tracker: SAM2VideoPredictor, networks: dict[str, Network], frames: np.ndarray
) -> None:
    apart = SAM2VideoPredictor(networks["sam2"], non_overlap_masks=True)
    found = []
    for predictor in (tracker, apart):
        state = predictor.init_state(frames)
        predictor.add_new_points_or_box(state, 0, 1, box=BOX)
        found.append(predictor.add_new_points_or_box(state, 0, 2, box=[0, 0, 40, 40])[2])
    both, alone = found
    assert ((both > 0).sum(0) == 2).any()
    assert not ((alone > 0).sum(0) == 2).any()
    assert torch.equal(alone.amax(0), both.amax(0))


def test_small_holes_are_filled(
    tracker: SAM2VideoPredictor, networks: dict[str, Network], frames: np.ndarray
) -> None:
    filling = SAM2VideoPredictor(networks["sam2"], fill_hole_area=8)
    state, other = filling.init_state(frames), tracker.init_state(frames)
    _, _, filled = filling.add_new_points_or_box(state, 0, 1, CLICK, [1])
    _, _, plain = tracker.add_new_points_or_box(other, 0, 1, CLICK, [1])
    low = other.tracker.prompt(0, 1, Prompt.points(CLICK)).logits
    assert low is not None
    if np.array_equal(without_specks(low, holes=8, beyond=0.1), low):
        assert torch.equal(filled, plain)
    assert (filled > 0).sum() >= (plain > 0).sum()


def test_videos(tracker: SAM2VideoPredictor, tmp_path: Path, frames: np.ndarray) -> None:
    path = make_video(tmp_path / "clip.mp4", 5)
    state = tracker.init_state(
        video_path=str(path), offload_video_to_cpu=True, async_loading_frames=True
    )
    assert (state.num_frames, state.video_height, state.video_width) == (5, 48, 64)
    tracker.add_new_points_or_box(state, 0, 1, CLICK, [1])
    assert len(list(tracker.propagate_in_video(state))) == 5
    with pytest.raises(InputError, match="stream"):
        tracker.init_state(iter(frames))
    with pytest.raises(InputError, match="bytes"):
        tracker.init_state(path.read_bytes())
    with pytest.raises(InputError, match="no such video"):
        tracker.init_state("no such file.mp4")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "got none of them"),
        ({"points": CLICK}, "points and labels together"),
        ({"points": [CLICK, CLICK], "labels": [[1], [1]]}, "one object"),
        ({"points": CLICK, "labels": [1], "frame_idx": 12}, "frame"),
        ({"points": CLICK, "labels": [1], "frame_idx": -1}, "frame_idx"),
        ({"points": CLICK, "labels": [1], "obj_id": "a"}, "object_id"),
        ({"points": CLICK, "labels": [1], "inference_state": {}}, "inference_state"),
        ({"box": [[1, 2, 3, 4], [1, 2, 3, 4]]}, "one object"),
    ],
)
def test_wrong_prompts(
    tracker: SAM2VideoPredictor, state: InferenceState, given: dict[str, Any], message: str
) -> None:
    usual = {"inference_state": state, "frame_idx": 0, "obj_id": 1}
    with pytest.raises(InputError, match=message):
        tracker.add_new_points_or_box(**{**usual, **given})
    assert state.obj_ids == []
    assert state.prompts == {}


def test_other_wrong_values(tracker: SAM2VideoPredictor, state: InferenceState) -> None:
    with pytest.raises(PromptError, match="mask"):
        tracker.add_new_mask(state, 0, 1, np.zeros((2, 3, 4), bool))
    with pytest.raises(InputError, match="nothing to track"):
        tracker.propagate_in_video(state)
    tracker.add_new_points_or_box(state, 0, 1, CLICK, [1])
    with pytest.raises(InputError, match="start"):
        tracker.propagate_in_video(state, start_frame_idx=99)
    with pytest.raises(InputError, match="max_frame_num_to_track"):
        tracker.propagate_in_video(state, max_frame_num_to_track=-1)
    with pytest.raises(InputError, match="SAM 2 network with its memory"):
        SAM2VideoPredictor(make(tiny_sam()))
    with pytest.raises(InputError, match="fill_hole_area"):
        SAM2VideoPredictor(tracker.core, fill_hole_area=-1)
