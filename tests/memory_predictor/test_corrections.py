"""Prompts that add up, correct what memory finds, or start anew."""

import numpy as np
import pytest
from memory_predictor.helpers import AWAY, BOX, CLICK, same

from samkit import MemoryPredictor, Prompt
from samkit.errors import InputError


def test_clicks_in_one_image_add_up(predictor, memory, images):
    shown = memory.remember(images[0], {1: CLICK})
    refined = memory.remember(images[0], {1: AWAY})
    plain = predictor.predict(images[0], CLICK + AWAY, prior=shown)
    np.testing.assert_allclose(refined.logits, plain.logits, rtol=1e-4, atol=1e-4)
    assert memory.entries[0].objects[1].prompt == CLICK + AWAY
    assert len(memory.entries) == 1
    found = memory.predict(images[1])
    only_first = MemoryPredictor(predictor)
    only_first.remember(images[0], {1: CLICK})
    assert not np.array_equal(found.logits, only_first.predict(images[1]).logits)


@pytest.mark.parametrize("anew", [BOX, Prompt.mask(np.eye(7, dtype=bool)), BOX + AWAY])
def test_a_box_or_mask_starts_anew(predictor, memory, images, anew):
    memory.remember(images[0], {1: CLICK})
    again = memory.remember(images[0], {1: anew})
    fresh = MemoryPredictor(predictor)
    assert same(again, fresh.remember(images[0], {1: anew}))
    assert same(memory.predict(images[1]), fresh.predict(images[1]))


def test_other_objects_of_an_image_stay(predictor, memory, images):
    memory.remember(images[0], {1: BOX})
    shown = memory.remember(images[0], {2: CLICK})
    assert shown.object_ids.tolist() == [1, 2]
    fresh = MemoryPredictor(predictor)
    assert same(shown, fresh.remember(images[0], {1: BOX, 2: CLICK}))
    assert same(memory.predict(images[1]), fresh.predict(images[1]))


def test_a_click_on_a_mask_refines_it(memory, images):
    mask = np.zeros((48, 64), bool)
    mask[8:32, 16:48] = True
    shown = memory.remember(images[0], {1: Prompt.mask(mask)})
    assert (shown.masks[0] == mask).mean() > 0.97
    assert shown.presence[0] > 0.99
    assert memory.entries[0].objects[1].prompt == Prompt.mask(mask)
    refined = memory.remember(images[0], {1: AWAY})
    fresh = MemoryPredictor(memory.predictor)
    assert not np.array_equal(refined.logits, fresh.remember(images[0], {1: AWAY}).logits)


def test_an_empty_mask_says_that_it_is_not_there(memory, images):
    shown = memory.remember(images[0], {1: Prompt.mask(np.zeros((5, 5), bool))})
    assert shown.presence[0] < 0.5
    assert not shown.masks.any()


def test_a_box_in_another_image_speaks_for_itself(predictor, memory, images):
    memory.remember(images[0], {1: CLICK})
    fresh = MemoryPredictor(predictor)
    assert same(memory.remember(images[1], {1: BOX}), fresh.remember(images[1], {1: BOX}))


def test_clicks_on_what_spoke_for_itself_use_no_memory(predictor, memory, images):
    memory.remember(images[0], {1: BOX})
    memory.remember(images[1], {1: BOX})
    alone = MemoryPredictor(predictor)
    alone.remember(images[0], {1: BOX})
    refined = memory.remember(images[0], {1: AWAY})
    assert same(refined, alone.remember(images[0], {1: AWAY}))
    assert not memory.entries[0].objects[1].corrects


def test_more_clicks_on_a_corrected_image_still_use_memory(predictor, memory, images):
    memory.remember(images[0], {1: BOX})
    memory.remember(images[1], {1: CLICK})
    assert memory.entries[1].objects[1].corrects
    twice = memory.remember(images[1], {1: AWAY})
    assert memory.entries[1].objects[1].corrects
    alone = MemoryPredictor(predictor)
    alone.remember(images[1], {1: CLICK})
    assert not np.array_equal(twice.logits, alone.remember(images[1], {1: AWAY}).logits)
    memory.forget(1, entry=0)
    memory.remember(images[1], {1: CLICK})  # nothing is left to recall
    assert not memory.entries[0].objects[1].corrects


def test_a_named_entry(predictor, memory, images):
    memory.remember(images[0], {1: CLICK})
    memory.remember(images[1], {1: BOX})
    near = images[0].copy()
    near[0, 0, 0] ^= 1  # not recognised
    memory.remember(near, {1: AWAY}, entry=0)
    assert [entry.number for entry in memory.entries] == [0, 1]
    assert memory.entries[0].objects[1].prompt == CLICK + AWAY
    with pytest.raises(InputError, match=r"entry 1: expected its image of size \(80, 40\)"):
        memory.remember(images[0], {1: AWAY}, entry=1)
    with pytest.raises(InputError, match=r"entry: expected a known one \(0, 1\), got 7"):
        memory.remember(images[0], {1: AWAY}, entry=7)
