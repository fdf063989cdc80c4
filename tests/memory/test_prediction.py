"""Masks of tracked objects, and what a given mask becomes."""

import numpy as np
import pytest
import torch
from tiny import make, tiny_sam2

from samkit import Prompt
from samkit.errors import InputError, SamkitError
from samkit.memory import prediction as tracked
from samkit.nn.memory import ObjectPrediction
from samkit.transforms import ImageTransform

TRANSFORM = ImageTransform(image_size=(20, 30), input_size=(32, 32), keep_aspect=False)


def an_object(seed, **values):
    generator = torch.Generator().manual_seed(seed)
    given = {
        "logits": torch.randn(1, 8, 8, generator=generator),
        "iou": torch.rand(1, generator=generator),
        "pointer": torch.zeros(1, 4),
        "object_score": torch.randn(1, 1, generator=generator),
    }
    return ObjectPrediction(**{**given, **values})


def test_masks_in_the_order_of_objects():
    found = {5: an_object(0), -1: an_object(1)}
    masks = tracked.masks_of(found, TRANSFORM)
    assert masks.object_ids.tolist() == [5, -1]
    assert masks.prompt_index.tolist() == [0, 1]
    for i, one in enumerate(found.values()):
        pixels = TRANSFORM.masks_to_image(one.logits)[0] > 0
        assert np.array_equal(masks.masks[i], pixels.numpy())
        assert np.array_equal(masks.logits[i], one.logits[0].numpy())
        assert masks.presence[i] == pytest.approx(torch.sigmoid(one.object_score).item())
        assert masks.scores[i] == pytest.approx(one.iou.item())


def test_no_objects():
    masks = tracked.masks_of({}, TRANSFORM)
    assert len(masks) == 0
    assert masks.image_size == (20, 30)


@pytest.mark.parametrize("non_overlapping", [False, True])
def test_many_pixels_are_held_as_run_lengths(monkeypatch, non_overlapping):
    found = {i: an_object(i) for i in range(3)}
    dense = tracked.masks_of(found, TRANSFORM, non_overlapping=non_overlapping)
    monkeypatch.setattr("samkit.masks.storage.DENSE_BYTES", 1000)
    compressed = tracked.masks_of(found, TRANSFORM, non_overlapping=non_overlapping)
    assert compressed.is_compressed
    assert not dense.is_compressed
    for name in ("masks", "scores", "presence", "logits", "object_ids", "prompt_index"):
        assert np.array_equal(getattr(dense, name), getattr(compressed, name))


def test_a_pixel_belongs_to_the_surest_object():
    found = {i: an_object(i) for i in range(4)}
    found[9] = found[2]  # of equals the first
    masks = tracked.masks_of(found, TRANSFORM, non_overlapping=True).masks
    logits = torch.cat([TRANSFORM.masks_to_image(one.logits) for one in found.values()])
    best = logits.argmax(0)
    for i in range(5):
        assert np.array_equal(masks[i], ((best == i) & (logits[i] > 0)).numpy())


@pytest.mark.parametrize("name", ["iou", "object_score"])
def test_what_is_not_a_number(name):
    value = torch.full_like(getattr(an_object(0), name), torch.nan)
    with pytest.raises(SamkitError, match="not a number") as caught:
        tracked.masks_of({1: an_object(0, **{name: value})}, TRANSFORM)
    assert not isinstance(caught.value, InputError), "no fault of the input"


def test_a_given_mask_of_any_size_is_stretched():
    mask = np.zeros((10, 20), bool)
    mask[:5] = True
    for given in (mask, np.where(mask, 3.0, -3.0).astype(np.float32)):
        pixels = tracked.mask_input(given, (32, 64))
        assert pixels.shape == (1, 1, 32, 64)
        assert (pixels[0, 0, :16] == 1).all()
        assert (pixels[0, 0, 16:] == 0).all()


def test_a_part_is_a_batch_of_one():
    both = ObjectPrediction(
        logits=torch.rand(2, 8, 8),
        iou=torch.rand(2),
        pointer=torch.rand(2, 4),
        object_score=torch.rand(2, 1),
    )
    one = tracked.part(both, 1)
    for name, value in vars(one).items():
        assert value.shape[0] == 1
        assert torch.equal(value[0], getattr(both, name)[1])


@torch.inference_mode()
def test_memories_do_not_keep_their_batch():
    network = make(tiny_sam2())
    found = ObjectPrediction(
        logits=torch.rand(3, 32, 32),
        iou=torch.rand(3),
        pointer=torch.rand(3, 16),
        object_score=torch.rand(3, 1),
    )
    features = network.encode_image(torch.rand(1, 3, 128, 128))
    memories = tracked.memories_of(network, features, found, prompted=False)
    maps = network.remember(features, found, prompted=False)
    for i, memory in enumerate(memories):
        assert torch.equal(memory.map, maps[i].bfloat16())
        assert torch.equal(memory.pointer, found.pointer[i])
        for tensor in (memory.map, memory.pointer):
            assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_boxes_and_masks_start_anew():
    assert tracked.starts_anew(Prompt.box(1, 2, 3, 4) + Prompt.point(1, 2))
    assert tracked.starts_anew(Prompt.mask(np.ones((2, 2), bool)))
    assert not tracked.starts_anew(Prompt.points([[1, 2], [3, 4]]))
