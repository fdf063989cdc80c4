"""Memory across images with a tiny random network."""

from typing import Any

import numpy as np
import pytest
import torch

from samkit import MemoryPredictor, Prompt
from samkit.compat.ultralytics import SAM2DynamicInteractivePredictor
from samkit.errors import InputError, PromptError

BOX, OTHER = [5, 10, 20, 30], [30, 5, 50, 25]


@pytest.fixture
def shown(
    memory: SAM2DynamicInteractivePredictor, frames: np.ndarray
) -> SAM2DynamicInteractivePredictor:
    """Object 7 in the first image, -3 in the second."""
    memory(frames[0], bboxes=[BOX], obj_ids=[7], update_memory=True)
    memory(frames[5], points=[[40, 20]], labels=[1], obj_ids=[-3], update_memory=True)
    return memory


def core_memory(memory: SAM2DynamicInteractivePredictor, frames: np.ndarray) -> MemoryPredictor:
    core = MemoryPredictor(memory.core, None)
    core.remember(frames[0, ..., ::-1], {7: Prompt.box(5, 10, 20, 30)})
    core.remember(frames[5, ..., ::-1], {-3: Prompt.point(40, 20)})
    return core


def logits(result: Any) -> np.ndarray:
    return np.array(result.core.logits)


def test_as_the_core(shown: SAM2DynamicInteractivePredictor, frames: np.ndarray) -> None:
    (result,) = shown(frames[9])
    masks = core_memory(shown, frames).predict(frames[9, ..., ::-1])
    assert np.array_equal(result.masks.data.numpy(), masks.masks)
    assert result.boxes.cls.tolist() == [7, -3]
    assert result.boxes.conf.tolist() == pytest.approx(masks.presence)
    assert result.names == {7: "7", -3: "-3"}
    several = shown([frames[9], frames[10]], stream=True)
    assert np.array_equal(logits(next(several)), logits(result))  # type: ignore[call-overload]


def test_prompted_objects_are_shown_with_those_found_by_memory(
    memory: SAM2DynamicInteractivePredictor, frames: np.ndarray
) -> None:
    """Object 7 is found by memory where -3 is prompted."""
    (first,) = memory(frames[0], bboxes=[BOX], obj_ids=[7], update_memory=True)
    assert first.boxes.cls.tolist() == [7]
    (second,) = memory(frames[5], points=[[40, 20]], obj_ids=[-3], update_memory=True)
    assert second.boxes.cls.tolist() == [7, -3]
    core = MemoryPredictor(memory.core)
    core.remember(frames[0, ..., ::-1], {7: Prompt.box(5, 10, 20, 30)})
    found = core.predict(frames[5, ..., ::-1])
    prompted = core.remember(frames[5, ..., ::-1], {-3: Prompt.point(40, 20)})
    assert found.logits is not None
    assert prompted.logits is not None
    # One object or a batch of two: floats differ in the last digits.
    expected = np.concatenate([found.logits, prompted.logits])
    assert np.allclose(logits(second), expected, atol=1e-4)


def test_attributes_follow(shown: SAM2DynamicInteractivePredictor) -> None:
    assert [entry.object_ids for entry in shown.memory_bank] == [(7,), (-3,)]
    assert shown.obj_id_to_idx == {7: 0, -3: 1}
    assert shown.obj_idx_to_id == {0: 7, 1: -3}
    assert shown.obj_idx_set == {0, 1}
    shown.forget(7)
    assert shown.obj_id_to_idx == {-3: 0}
    assert len(shown.memory_bank) == 1
    with pytest.raises(InputError, match="object_id"):
        shown.forget(7)


def test_prompts_that_are_not_remembered(
    shown: SAM2DynamicInteractivePredictor, frames: np.ndarray
) -> None:
    (before,) = shown(frames[9])
    (tried,) = shown(frames[9], points=[[12, 20]], labels=[0], obj_ids=[7])
    assert not np.array_equal(logits(tried)[0], logits(before)[0])
    assert np.array_equal(logits(tried)[1], logits(before)[1])
    (after,) = shown(frames[9])
    assert np.array_equal(logits(after), logits(before))
    (kept,) = shown(frames[9], points=[[12, 20]], labels=[0], obj_ids=[7], update_memory=True)
    assert np.array_equal(logits(kept)[0], logits(tried)[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"update_memory": True}, "prompts and their obj_ids, got none"),
        ({"update_memory": True, "obj_ids": [1]}, "prompts: expected"),
        ({"update_memory": True, "bboxes": [BOX]}, "obj_ids: expected"),
        ({"bboxes": [BOX]}, "obj_ids: expected"),
        ({"obj_ids": [1]}, "prompts: expected"),
        ({"bboxes": [BOX, OTHER], "obj_ids": [1], "update_memory": True}, "expected 2.*got 1"),
        ({"bboxes": [BOX], "obj_ids": ["a"], "update_memory": True}, "whole number"),
        ({"bboxes": [BOX], "obj_ids": [2**63], "update_memory": True}, "64 bits"),
        ({"bboxes": [], "obj_ids": [1], "update_memory": True}, "at least one"),
    ],
)
def test_prompts_and_ids_that_do_not_match(
    memory: SAM2DynamicInteractivePredictor, frames: np.ndarray, given: Any, message: str
) -> None:
    with pytest.raises((InputError, PromptError), match=message):
        memory(frames[0], **given)
    assert memory.memory_bank == []


def test_an_error_remembers_nothing(
    shown: SAM2DynamicInteractivePredictor, frames: np.ndarray
) -> None:
    (before,) = shown(frames[9])
    with pytest.raises(InputError):
        shown(frames[1], bboxes=[BOX, OTHER], obj_ids=[7], update_memory=True)
    (after,) = shown(frames[9])
    assert np.array_equal(logits(after), logits(before))


def test_ids_of_all_kinds(memory: SAM2DynamicInteractivePredictor, frames: np.ndarray) -> None:
    memory(frames[0], bboxes=[BOX, OTHER], obj_ids=np.array([4, 2]), update_memory=True)
    memory(frames[1], bboxes=[BOX], obj_ids=torch.tensor([9]), update_memory=True)
    memory(frames[2], bboxes=BOX, obj_ids=3, update_memory=True)
    assert list(memory.obj_id_to_idx) == [4, 2, 9, 3]
    twice = memory(
        frames[3], points=[[9, 9], [3, 3]], labels=[1, 0], obj_ids=[5, 5], update_memory=True
    )
    core = MemoryPredictor(memory.core)
    prompted = core.remember(frames[3, ..., ::-1], {5: Prompt.points([[9, 9], [3, 3]], [1, 0])})
    assert prompted.logits is not None
    assert np.array_equal(logits(twice[0])[-1], prompted.logits[0])  # type: ignore[index]


def test_stored_prompts_count_where_objects_are_named(
    memory: SAM2DynamicInteractivePredictor, frames: np.ndarray
) -> None:
    memory.set_prompts({"bboxes": [BOX]})
    memory(frames[0], obj_ids=[7], update_memory=True)
    assert memory(frames[9])[0].boxes.cls.tolist() == [7]  # type: ignore[index]


# The methods by hand


def test_inference(shown: SAM2DynamicInteractivePredictor, frames: np.ndarray) -> None:
    (called,) = shown(frames[9])
    im = shown.preprocess([frames[9]])
    masks, scores = shown.inference(im)
    assert np.array_equal(masks.numpy(), logits(called))
    assert scores.tolist() == called.boxes.conf.tolist()
    masks, _ = shown.inference(im, bboxes=[BOX], obj_ids=[1], update_memory=True)
    assert len(masks) == 3
    shown.memory.clear()
    with pytest.raises(InputError, match="no object is remembered"):
        shown.inference(im)


def test_update_memory(
    memory: SAM2DynamicInteractivePredictor,
    shown: SAM2DynamicInteractivePredictor,
    frames: np.ndarray,
    overrides: Any,
) -> None:
    other = SAM2DynamicInteractivePredictor(overrides=overrides("tracker"))
    with pytest.raises(InputError, match="no image"):
        other.update_memory([7], points=[9, 9])
    other.set_image(frames[0])
    other.update_memory([7], bboxes=[BOX])
    other.get_im_features(frames[5])
    other.update_memory([-3], points=[[40, 20]], labels=[1])
    assert np.array_equal(logits(other(frames[9])[0]), logits(shown(frames[9])[0]))  # type: ignore[index]
    assert len(other()) == 1  # type: ignore[arg-type]  # the image at hand
    for given in ({}, {"obj_ids": [1]}, {"points": [9, 9]}):
        with pytest.raises(InputError):
            other.update_memory(**given)


def test_track_step(shown: SAM2DynamicInteractivePredictor, frames: np.ndarray) -> None:
    (called,) = shown(frames[9])
    with pytest.raises(InputError, match="no image"):
        shown.track_step()
    features = shown.get_im_features(shown.preprocess([frames[9]]))
    assert features is shown.features
    step = shown.track_step()
    assert {name: tuple(value.shape) for name, value in step.items()} == {
        "pred_masks": (2, 1, 16, 16),
        "pred_masks_high_res": (2, 1, 64, 64),
        "obj_ptr": (2, 16),
        "object_score_logits": (2, 1),
    }
    # One at a time or as a batch: floats differ in the last digits.
    assert np.allclose(step["pred_masks"][:, 0].numpy(), logits(called), atol=1e-4)
    presence = step["object_score_logits"][:, 0].sigmoid().tolist()
    assert presence == pytest.approx(called.boxes.conf.tolist(), abs=1e-5)
    one = shown.track_step(1)
    assert torch.equal(one["pred_masks"], step["pred_masks"][1:])
    clicked = shown.track_step(1, point=[[12, 20], [30, 30]], label=[1, 0])
    assert not torch.equal(clicked["pred_masks"], one["pred_masks"])
    masked = shown.track_step(0, mask=np.eye(48, 64, dtype=bool))
    assert masked["pred_masks"].shape == (1, 1, 16, 16)
    assert np.array_equal(logits(shown(frames[9])[0]), logits(called))  # type: ignore[index]
    with pytest.raises(InputError, match="obj_idx"):
        shown.track_step(2)
    with pytest.raises(InputError, match="obj_idx"):
        shown.track_step(point=[1, 2])
    for labels_alone in ({"label": [1]}, {"label": [1], "mask": np.eye(48, 64, dtype=bool)}):
        with pytest.raises(PromptError, match="labels: expected points"):
            shown.track_step(0, **labels_alone)
    with pytest.raises(PromptError, match="labels: expected points"):
        shown(frames[9], labels=[1])


def test_memory_as_attention_gets_it(
    shown: SAM2DynamicInteractivePredictor, frames: np.ndarray, overrides: Any
) -> None:
    """Maps of 4 x 4 tokens of 8, and a pointer of 16 as two tokens."""
    memory, positions = shown.get_maskmem_enc()
    assert memory.shape == positions.shape == (2, 18, 8)
    shown(frames[6], bboxes=[OTHER], obj_ids=[7], update_memory=True)
    memory, positions = shown.get_maskmem_enc()
    assert memory.shape == positions.shape == (2, 36, 8)
    assert not memory[1, 16:32].any()  # -3 was not prompted there
    with pytest.raises(InputError, match="no object is remembered"):
        SAM2DynamicInteractivePredictor(overrides=overrides("tracker")).get_maskmem_enc()


def test_a_new_model_remembers_nothing(
    shown: SAM2DynamicInteractivePredictor, models: Any, frames: np.ndarray
) -> None:
    shown.setup_model(models["sam2"])
    assert shown.memory_bank == []
    with pytest.raises(InputError, match="no object is remembered"):
        shown(frames[0])


def test_ids_and_switches_of_other_types(
    shown: SAM2DynamicInteractivePredictor, frames: np.ndarray
) -> None:
    for one in (np.array(7), torch.tensor(7), [torch.tensor(7)], torch.tensor([7])):
        assert 7 in shown(frames[6], points=[3, 3], obj_ids=one)[0].boxes.id.tolist()
    for wrong in (torch.ones(2, 2), torch.zeros(1, device="meta"), [torch.ones(2)], "7", [[7]]):
        with pytest.raises(InputError, match=r"obj_ids|object_id"):
            shown(frames[6], points=[3, 3], obj_ids=wrong)
    for wrong in ("no", None, np.ones(2)):
        with pytest.raises(InputError, match="update_memory: expected True or False"):
            shown(frames[6], points=[3, 3], obj_ids=[7], update_memory=wrong)
    shown.set_image(frames[6])
    for wrong in ([], np.ones(2), "0"):
        with pytest.raises(InputError, match="obj_idx: expected"):
            shown.track_step(wrong)
