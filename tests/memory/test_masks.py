"""Masks of predicted objects."""

import numpy as np
import pytest
import torch

from samkit.errors import InputError, SamkitError
from samkit.memory import masks as memory_masks
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
    masks = memory_masks.masks_of(found, TRANSFORM)
    assert masks.object_ids.tolist() == [5, -1]
    assert masks.prompt_index.tolist() == [0, 1]
    for i, one in enumerate(found.values()):
        pixels = TRANSFORM.masks_to_image(one.logits)[0] > 0
        assert np.array_equal(masks.masks[i], pixels.numpy())
        assert np.array_equal(masks.logits[i], one.logits[0].numpy())
        assert masks.presence[i] == pytest.approx(torch.sigmoid(one.object_score).item())
        assert masks.scores[i] == pytest.approx(one.iou.item())


def test_no_objects():
    masks = memory_masks.masks_of({}, TRANSFORM)
    assert len(masks) == 0
    assert masks.image_size == (20, 30)


@pytest.mark.parametrize("non_overlapping", [False, True])
def test_many_pixels_are_held_as_run_lengths(monkeypatch, non_overlapping):
    found = {i: an_object(i) for i in range(3)}
    dense = memory_masks.masks_of(found, TRANSFORM, non_overlapping=non_overlapping)
    monkeypatch.setattr("samkit.masks.storage.DENSE_BYTES", 1000)
    compressed = memory_masks.masks_of(found, TRANSFORM, non_overlapping=non_overlapping)
    assert compressed.is_compressed
    assert not dense.is_compressed
    for name in ("masks", "scores", "presence", "logits", "object_ids", "prompt_index"):
        assert np.array_equal(getattr(dense, name), getattr(compressed, name))


def test_a_pixel_belongs_to_the_surest_object():
    found = {i: an_object(i) for i in range(4)}
    found[9] = found[2]  # of equals the first
    masks = memory_masks.masks_of(found, TRANSFORM, non_overlapping=True).masks
    logits = torch.cat([TRANSFORM.masks_to_image(one.logits) for one in found.values()])
    best = logits.argmax(0)
    for i in range(5):
        assert np.array_equal(masks[i], ((best == i) & (logits[i] > 0)).numpy())


@pytest.mark.parametrize("name", ["iou", "object_score"])
def test_what_is_not_a_number(name):
    value = torch.full_like(getattr(an_object(0), name), torch.nan)
    with pytest.raises(SamkitError, match="not a number") as caught:
        memory_masks.masks_of({1: an_object(0, **{name: value})}, TRANSFORM)
    assert not isinstance(caught.value, InputError), "no fault of the input"
