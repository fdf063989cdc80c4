"""Networks that were trained with few prompted frames look at few entries."""

import numpy as np
import pytest
from tiny import make, tiny_sam3

from samkit import ImagePredictor, MemoryPredictor, Prompt


@pytest.fixture
def predictor():
    return ImagePredictor(make(tiny_sam3()), device="cpu", dtype="float32")


def test_the_last_entries_of_an_object_count(predictor, images):
    assert predictor.network.config.memory.nearest_prompts == 2
    memory, last = MemoryPredictor(predictor), MemoryPredictor(predictor)
    for i, image in enumerate(images[:4]):
        box = Prompt.box(2, 3, 17, 16)  # which starts anew, so that it does not depend on memory
        memory.remember(image, {1: box})
        if i >= 2:
            last.remember(image, {1: box})
    assert len(memory.entries) == 4
    assert len(memory.reachable(1).memories) == 2
    found, expected = memory.predict(images[5]), last.predict(images[5])
    assert np.array_equal(found.logits, expected.logits)
