"""What is given to a network, and what is kept of its answer."""

import numpy as np
import torch
from tiny import make, tiny_sam2

from samkit import Prompt
from samkit.memory.prediction import mask_pixels, remember, starts_anew
from samkit.nn.memory import ObjectPrediction


def test_a_given_mask_of_any_size_is_stretched():
    mask = np.zeros((10, 20), bool)
    mask[:5] = True
    for given in (mask, np.where(mask, 3.0, -3.0).astype(np.float32)):
        pixels = mask_pixels(given, (8, 16))
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
    one = both.each()[1]
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
    memories = remember(network, features, found, prompted=False)
    expected = network.remember(features, found, prompted=False)
    for i, memory in enumerate(memories):
        assert torch.equal(memory.tokens, expected[i].tokens.bfloat16())
        assert torch.equal(memory.pointer, found.pointer[i])
        for tensor in (memory.tokens, memory.pointer):
            assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_boxes_and_masks_start_anew():
    assert starts_anew(Prompt.box(1, 2, 3, 4) + Prompt.point(1, 2))
    assert starts_anew(Prompt.mask(np.ones((2, 2), bool)))
    assert not starts_anew(Prompt.points([[1, 2], [3, 4]]))
