"""One object as tensors, and memories that go their own way."""

import numpy as np
import pytest
import torch
from memory_predictor.helpers import AWAY, BOX, CLICK, same

from samkit.errors import InputError, PromptError


def test_as_it_is_predicted(memory, images):
    memory.remember(images[0], {1: BOX, 2: CLICK})
    masks = memory.predict(images[1])
    for i, number in enumerate((1, 2)):
        found = memory.look_for(images[1], number)
        assert found.logits.shape == (1, 32, 32)
        assert found.pointer.shape == (1, 16)
        # One object or a batch of two: floats differ in the last digits.
        assert np.allclose(found.logits[0].numpy(), masks.logits[i], atol=1e-4)
        presence = found.object_score[0].sigmoid().numpy()
        assert np.allclose(presence, masks.presence[i], atol=1e-5)


def test_with_a_prompt_as_it_would_be_remembered(memory, images):
    memory.remember(images[0], {1: BOX})
    before = memory.predict(images[1])
    for image, number, prompt in ((images[1], 1, AWAY), (images[0], 1, CLICK), (images[1], 9, BOX)):
        found = memory.look_for(image, number, prompt)
        assert memory.object_ids == (1,)
        assert same(memory.predict(images[1]), before)
        remembered = memory.copy().remember(image, {number: prompt})
        assert np.array_equal(found.logits.numpy(), remembered.logits)


def test_what_cannot_be_looked_for(memory, images):
    memory.remember(images[0], {1: BOX})
    with pytest.raises(InputError, match="nothing is remembered of object 2"):
        memory.look_for(images[1], 2)
    with pytest.raises(InputError, match="whole number"):
        memory.look_for(images[1], "cat")
    with pytest.raises(PromptError):
        memory.look_for(images[1], 1, [1, 2])


def test_a_copy_goes_its_own_way(memory, images):
    memory.remember(images[0], {1: BOX})
    before = memory.predict(images[2])
    other = memory.copy()
    assert same(other.predict(images[2]), before)
    assert (other.max_entries, other.non_overlapping) == (memory.max_entries, False)
    other.remember(images[1], {2: CLICK})
    memory.forget(1)
    assert (memory.object_ids, other.object_ids) == ((), (1, 2))
    assert [entry.number for entry in other.entries] == [0, 1]
    assert np.allclose(other.predict(images[2]).logits[0], before.logits[0], atol=1e-4)


def test_memory_as_tokens(memory, predictor, images):
    """What attention gets: of the object that remembers less, the rest is not attended to."""
    memory.remember(images[0], {1: BOX, 2: CLICK})
    memory.remember(images[1], {1: BOX})
    reachable = [memory.reachable(1), memory.reachable(2)]
    with torch.inference_mode():
        both = predictor.network.memory_tokens(reachable, (8, 8))
        alone = predictor.network.memory_tokens(reachable[1:], (8, 8))
    assert both.tokens.shape == both.positions.shape == (2, 132, 8)  # 2 maps, 2 pointers
    assert alone.tokens.shape == (1, 66, 8)
    assert alone.attended is None
    assert torch.equal(both.tokens[1][both.attended[1]], alone.tokens[0])
    assert torch.equal(both.positions[1][both.attended[1]], alone.positions[0])
