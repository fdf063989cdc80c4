"""What the original gets wrong, numbered as in the description, and right here: 5 and 6."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from samkit import Prompt
from samkit.compat.ultralytics import (
    SAM2DynamicInteractivePredictor,
    SAM2VideoPredictor,
)
from samkit.nn.memory import ReachableMemory

LOOSE: dict[str, Any] = {"conf_thres": 0.0, "stability_score_thresh": 0.0, "points_stride": 4}
BOX = [5, 10, 20, 30]


# 5. Video


def logits(results: Any) -> np.ndarray:
    return np.stack([result.core.logits for result in results])


def test_5_a_second_video_starts_clean(
    tracker: SAM2VideoPredictor, frames: np.ndarray, overrides: Any
) -> None:
    other = frames[::-1].copy()
    fresh = SAM2VideoPredictor(overrides=overrides("tracker"))(other, points=[30, 20])
    tracker(frames, bboxes=[BOX, [30, 5, 50, 25]])
    tracker.add_new_prompts(9, points=[1, 1], frame_idx=7)
    second = tracker(other, points=[30, 20])
    assert np.array_equal(logits(second), logits(fresh))
    smaller = frames[:, :30, :40].copy()
    assert len(tracker(smaller, points=[9, 9])) == 20  # type: ignore[arg-type]


def test_5_prompts_see_the_image_of_their_frame(
    tracker: SAM2VideoPredictor, frames: np.ndarray
) -> None:
    tracker.setup_source(frames)
    masks, _ = tracker.add_new_prompts(1, points=[20, 20], frame_idx=9)
    alone = tracker.core.predict(
        frames[9, ..., ::-1].copy(), Prompt.point(20, 20), candidates=3
    ).best()
    assert np.array_equal(masks.numpy(), alone.masks)


def test_5_later_prompts_and_corrections_take_effect(
    tracker: SAM2VideoPredictor, frames: np.ndarray
) -> None:
    tracker.non_overlap_masks = False
    plain = tracker(frames, bboxes=BOX)
    results = tracker(frames, bboxes=BOX, stream=True)
    seen = []
    for result in results:
        seen.append(result)
        if result.frame == 5:
            corrected, _ = tracker.add_new_prompts(0, points=[9, 9], labels=[0], frame_idx=5)
            tracker.add_new_prompts(8, points=[50, 40], frame_idx=5)
    assert [len(result) for result in seen] == [1] * 6 + [2] * 14
    assert np.array_equal(logits(seen[:6]), logits(plain[:6]))  # type: ignore[index]
    assert not np.array_equal(corrected[0].numpy(), seen[5].masks.data[0].numpy())
    for before, after in zip(plain[6:], seen[6:], strict=True):  # type: ignore[index]
        assert not np.array_equal(before.core.logits[0], after.core.logits[0])
    (again, *_) = [result for result in tracker() if result.frame == 5]
    assert np.array_equal(again.masks.data[0].numpy(), corrected[0].numpy())


def test_5_boxes_too(tracker: SAM2VideoPredictor, frames: np.ndarray) -> None:
    (first, *_) = tracker(frames[:2], bboxes=BOX)
    expected = tracker.core.predict(frames[0, ..., ::-1].copy(), Prompt.box(*BOX))
    assert np.array_equal(first.core.logits, expected.logits)


@pytest.mark.parametrize("apart", [True, False])
def test_5_non_overlap_masks(tracker: SAM2VideoPredictor, frames: np.ndarray, apart: bool) -> None:
    tracker.non_overlap_masks = apart
    both = [np.ones((48, 64), bool)] * 2
    shared = [int(r.masks.data.all(0).sum()) for r in tracker(frames[:4], masks=both)]
    assert shared[0] == (0 if apart else 48 * 64)
    assert not (apart and any(shared))


def test_5_absent_objects_are_remembered_as_absent(
    models: dict[str, Path], overrides: Any, frames: np.ndarray
) -> None:
    """Where the object is absent, memory has the embedding of absence, and an empty mask."""
    tracker = SAM2VideoPredictor(overrides=overrides(models["tracker"]))
    network = tracker.core.network
    with torch.no_grad():
        head = network.mask_decoder.pred_obj_score_head.layers[-1]
        head.weight.zero_()
        head.bias.fill_(-5.0)
    results = tracker(frames[:4], masks=np.ones((1, 48, 64), bool), stream=True)
    next(results)
    absent = next(results)
    assert not absent.masks.data.any()
    assert absent.boxes.conf[0] < 0.25
    state = tracker.inference_state.tracker._session.objects[0]  # type: ignore[union-attr]
    bank, found = state.bank, state.recent[-1].prediction
    features = tracker.core.embed(frames[1, ..., ::-1].copy()).features
    here = {}
    for score in (-5.0, 5.0):
        with torch.no_grad():
            scored = replace(found, object_score=torch.tensor([[score]]))
            here[score] = network.remember(features, scored, prompted=False)[0].tokens.bfloat16()
    assert torch.equal(bank.tracked[1].tokens, here[-5.0])
    assert not torch.equal(here[-5.0], here[5.0])


def test_5_memory_is_what_attention_can_reach(
    tracker: SAM2VideoPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6 recent frames and the prompted one as maps, pointers of 15 and the prompted one."""
    frames = np.random.default_rng(1).integers(0, 255, (30, 48, 64, 3), np.uint8)
    network = tracker.core.network
    reached: list[ReachableMemory] = []
    recall = network.recall

    def noting(features: Any, reachable: Any) -> Any:
        reached.extend(reachable)
        return recall(features, reachable)

    monkeypatch.setattr(network, "recall", noting)
    for result in tracker(iter(frames), bboxes=BOX, stream=True):  # read in one direction
        bank = tracker.inference_state.tracker._session.objects[0].bank  # type: ignore[union-attr]
        assert len(bank) <= 17
        assert result.frame is not None
        maps = [t for t, memory in bank.tracked.items() if memory.tokens is not None]
        assert set(maps) <= set(range(result.frame - 6, result.frame + 1))
    assert [ago for ago, _ in reached[-1].memories] == [0, 6, 5, 4, 3, 2, 1]
    assert sorted(ago for ago, _ in reached[-1].pointers) == [*range(1, 16), 29]


# 6. Memory across images


def test_6_ids_are_any_integers_and_slots_grow(overrides: Any, frames: np.ndarray) -> None:
    memory = SAM2DynamicInteractivePredictor(overrides=overrides("tracker"), max_obj_num=1)
    ids = [-5, 2**40, 0, 12345678901]
    for i, number in enumerate(ids):
        memory(frames[i], bboxes=[BOX], obj_ids=[number], update_memory=True)
    (result,) = memory(frames[9])
    assert result.boxes.id.tolist() == result.boxes.cls.tolist() == ids


def test_6_memory_is_bounded_if_wanted_and_objects_can_be_forgotten(
    overrides: Any, frames: np.ndarray
) -> None:
    settings = overrides("tracker")
    bounded = SAM2DynamicInteractivePredictor(overrides=settings, max_entries=3)
    unbounded = SAM2DynamicInteractivePredictor(overrides=settings)
    for i in range(18):
        for memory in (bounded, unbounded):
            memory(frames[i], bboxes=[BOX], obj_ids=[i % 2 if i else 50], update_memory=True)
    assert len(bounded.memory_bank) == 3
    assert len(unbounded.memory_bank) == 18
    assert 50 not in bounded.obj_id_to_idx
    assert 50 in unbounded.obj_id_to_idx
    unbounded.forget(1)
    assert unbounded(frames[19])[0].boxes.cls.tolist() == [50, 0]  # type: ignore[index]


def test_6_not_prompted_is_not_absent(
    memory: SAM2DynamicInteractivePredictor, overrides: Any, frames: np.ndarray
) -> None:
    """Prompting another object in another image changes nothing of what is known of the first."""
    memory(frames[0], bboxes=[BOX], obj_ids=[1], update_memory=True)
    before = memory(frames[9])[0]  # type: ignore[index]
    memory(frames[4], bboxes=[[30, 5, 50, 25]], obj_ids=[2], update_memory=True)
    after = memory(frames[9])[0]  # type: ignore[index]
    assert np.allclose(after.core.logits[0], before.core.logits[0], atol=1e-4)
    assert len(memory.memory.reachable(1).memories) == 1


def test_6_entries_have_temporal_codes_of_their_own(
    memory: SAM2DynamicInteractivePredictor, frames: np.ndarray
) -> None:
    for i in range(5):
        memory(frames[i], bboxes=[BOX], obj_ids=[1], update_memory=True)
    ages = [ago for ago, _ in memory.memory.reachable(1).memories]
    assert len(ages) == len(set(ages)) == 5
    _, positions = memory.get_maskmem_enc()
    maps = positions[0, : 5 * 16].unflatten(0, (5, 16))
    assert len({part.numpy().tobytes() for part in maps}) == 5


def test_6_clicks_correct_what_is_remembered(
    memory: SAM2DynamicInteractivePredictor, frames: np.ndarray
) -> None:
    """A click where memory finds something refines that; on an unknown object it stands alone."""
    memory(frames[0], bboxes=[BOX], obj_ids=[1], update_memory=True)
    click: dict[str, Any] = {"points": [[20, 20]], "labels": [1], "update_memory": True}
    corrected = memory(frames[9], **click, obj_ids=[1])[0]  # type: ignore[index]
    unknown = memory(frames[9], **click, obj_ids=[2])[0]  # type: ignore[index]
    assert not np.array_equal(unknown.core.logits[1], corrected.core.logits[0])
    assert memory.memory_bank[1].objects[1].corrects
    assert not memory.memory_bank[1].objects[2].corrects
    more = memory(frames[9], points=[[3, 3]], labels=[0], obj_ids=[1], update_memory=True)[0]  # type: ignore[index]
    assert not np.array_equal(more.core.logits[0], corrected.core.logits[0])
    assert len(memory.memory_bank) == 2  # the same image again


def test_6_the_score_is_presence_and_hides_nothing(overrides: Any, frames: np.ndarray) -> None:
    memory = SAM2DynamicInteractivePredictor(overrides=overrides("tracker", conf=0.99))
    memory(frames[0], bboxes=[BOX], obj_ids=[1], update_memory=True)
    (result,) = memory(frames[9])
    assert len(result) == 1
    assert result.boxes.conf[0] == pytest.approx(result.core.presence[0])
    assert 0.5 < result.boxes.conf[0] < 0.99
    assert result.confident.tolist() == [False]
