"""Memory across images with tiny random networks: ids, entries, forgetting, bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from memory_predictor.helpers import AWAY, BOX, CLICK, same
from PIL import Image
from tiny import make, tiny_sam, tiny_sam2

import samkit
from samkit import ImagePredictor, MemoryPredictor, Prompt
from samkit.errors import ImageError, InputError, PromptError
from samkit.nn import PromptTensors
from samkit.nn.memory import ReachableMemory

HUGE = 2**63 - 1


def state(memory):
    """All that is remembered, comparable."""
    tensors = {
        (entry.number, i): [one.memory.tokens, one.memory.pointer, one.prediction.logits]
        for entry in memory.entries
        for i, one in entry.objects.items()
    }
    return memory.object_ids, {key: [t.tolist() for t in own] for key, own in tensors.items()}


def test_remembered_in_some_images_found_in_others(memory, images):
    shown = memory.remember(images[0], {7: BOX, -3: CLICK})
    assert shown.object_ids.tolist() == [7, -3]
    assert shown.image_size == (48, 64)
    assert memory.remember(images[1], {4: CLICK}).image_size == (80, 40)
    assert memory.object_ids == (7, -3, 4)
    assert [entry.object_ids for entry in memory.entries] == [(7, -3), (4,)]
    for image in images[2:6]:
        masks = memory.predict(image)
        assert masks.object_ids.tolist() == [7, -3, 4]
        assert masks.masks.shape == (3, *image.shape[:2])
        assert masks.logits.shape == (3, 32, 32)
        assert ((masks.presence > 0) & (masks.presence < 1)).all()


def test_what_is_remembered_decides_what_is_found(predictor, images):
    found = []
    for prompt in (BOX, CLICK, Prompt.mask(np.eye(9, dtype=bool))):
        memory = MemoryPredictor(predictor)
        memory.remember(images[0], {1: prompt})
        found.append(memory.predict(images[2]).logits)
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@torch.inference_mode()
def test_as_the_plain_network(predictor, memory, images):
    """Box on one image, clicks on a second: every call to the network written out."""
    network = predictor.network
    first, second, third = (predictor.embed(image).features for image in images[:3])

    def tokens(xy, image, labels):
        height, width = image.shape[:2]
        points = torch.tensor([xy]) * torch.tensor([128 / width, 128 / height])
        return PromptTensors(points=points, labels=torch.tensor([labels]), masks=None)

    def kept(memory):
        return replace(memory, tokens=memory.tokens.bfloat16())

    # The reference ends a prompt with a padding point, label -1.
    box = tokens([[5.0, 10.0], [20.0, 30.0], [0.0, 0.0]], images[0], [2, 3, -1])
    boxed = network.segment(network.without_memory(first), box, ambiguous=False)
    seen = [kept(network.remember(first, boxed, prompted=True)[0])]
    one = ReachableMemory(memories=((0, seen[0]),), pointers=((1, boxed.pointer[0]),), span=16)

    nothing = PromptTensors.nothing(1, torch.device("cpu"))
    recalled = network.condition(second, network.recall(second, [one]))
    guess = network.segment(recalled, nothing, ambiguous=True)
    click = tokens([[12.0, 14.0], [0.0, 0.0]], images[1], [1, -1])
    click = replace(click, masks=guess.logits[:, None].clamp(-32, 32))
    corrected = network.segment(recalled, click, ambiguous=True)
    seen.append(kept(network.remember(second, corrected, prompted=True)[0]))

    # A second click: the image itself is no memory of it.
    clicks = tokens([[12.0, 14.0], [3.0, 3.0], [0.0, 0.0]], images[1], [1, 0, -1])
    clicks = replace(clicks, masks=corrected.logits[:, None].clamp(-32, 32))
    refined = network.segment(recalled, clicks, ambiguous=False)
    seen[1] = kept(network.remember(second, refined, prompted=True)[0])

    two = ReachableMemory(
        memories=((0, seen[0]), (1, seen[1])),
        pointers=((2, boxed.pointer[0]), (1, refined.pointer[0])),
        span=16,
    )
    expected = network.segment(
        network.condition(third, network.recall(third, [two])), nothing, ambiguous=True
    )

    shown = memory.remember(images[0], {1: BOX})
    np.testing.assert_array_equal(shown.logits, boxed.logits.numpy())
    np.testing.assert_array_equal(memory.predict(images[1]).logits, guess.logits.numpy())
    shown = memory.remember(images[1], {1: CLICK})
    np.testing.assert_array_equal(shown.logits, corrected.logits.numpy())
    shown = memory.remember(images[1], {1: AWAY})
    np.testing.assert_array_equal(shown.logits, refined.logits.numpy())
    found = memory.predict(images[2])
    np.testing.assert_array_equal(found.logits, expected.logits.numpy())
    np.testing.assert_array_equal(found.scores, expected.iou.numpy())
    np.testing.assert_allclose(found.presence, expected.object_score[:, 0].sigmoid().numpy())


def test_objects_together_are_as_objects_alone(predictor, memory, images):
    """Also where they are remembered from different numbers of images."""
    said = {0: {1: BOX, 2: CLICK}, 1: {1: BOX}, 3: {3: BOX, 1: AWAY}}
    for i, prompts in said.items():
        memory.remember(images[i], prompts)
    together = memory.predict(images[4])
    assert together.object_ids.tolist() == [1, 2, 3]
    for row, object_id in enumerate((1, 2, 3)):
        alone = MemoryPredictor(predictor)
        for i, prompts in said.items():
            if object_id in prompts:
                alone.remember(images[i], {object_id: prompts[object_id]})
        found = alone.predict(images[4])
        np.testing.assert_allclose(together.logits[row], found.logits[0], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(together.presence[row], found.presence[0], rtol=1e-4)
        np.testing.assert_allclose(together.scores[row], found.scores[0], rtol=1e-4)


def test_many_objects_are_looked_for_a_few_at_a_time(memory, images, monkeypatch):
    memory.remember(images[0], {i: Prompt.point(3 * i, 2 * i) for i in range(11)})
    whole = memory.predict(images[1])
    monkeypatch.setattr("samkit.memory_predictor.predictor._ATTENTION_BYTES", 3 * 4 * 64 * 16 * 4)
    batches = []
    recall = memory.predictor.network.recall

    def counted(features, reachable):
        batches.append(len(reachable))
        return recall(features, reachable)

    monkeypatch.setattr(memory.predictor.network, "recall", counted)
    parts = memory.predict(images[1])
    assert batches == [3, 3, 3, 2]
    assert parts.object_ids.tolist() == list(range(11))
    np.testing.assert_allclose(parts.logits, whole.logits, rtol=1e-3, atol=1e-3)


def test_an_object_not_prompted_in_an_entry_has_no_memory_of_it(predictor, images):
    """Bit by bit as if the entry had never been seen; others may be found differently."""
    plain, other = MemoryPredictor(predictor), MemoryPredictor(predictor)
    for memory in (plain, other):
        memory.remember(images[0], {1: BOX, 2: CLICK})
        memory.remember(images[1], {2: BOX})
    before = other.reachable(1)
    other.remember(images[3], {2: BOX})
    other.remember(images[4], {9: BOX})
    other.forget(9)
    after = other.reachable(1)
    assert [ago for ago, _ in before.memories] == [ago for ago, _ in after.memories] == [0]
    assert before.memories[0][1] is after.memories[0][1]
    for memory in (plain, other):
        memory.forget(2)
    assert same(plain.predict(images[2]), other.predict(images[2]))


def test_forgetting_is_never_having_remembered(predictor, images):
    memory, plain = MemoryPredictor(predictor), MemoryPredictor(predictor)
    for i, prompts in enumerate([{5: BOX, 1: CLICK}, {5: CLICK}, {1: BOX, 5: AWAY}, {2: CLICK}]):
        memory.remember(images[i], prompts)
        if kept := {key: prompt for key, prompt in prompts.items() if key != 5}:
            plain.remember(images[i], kept)
    memory.forget(5)
    assert memory.object_ids == plain.object_ids == (1, 2)
    assert len(memory.entries) == len(plain.entries) == 3
    assert same(memory.predict(images[4]), plain.predict(images[4]))


def test_an_id_can_be_used_again(predictor, memory, images):
    memory.remember(images[0], {1: BOX, 2: BOX})
    memory.forget(1)
    memory.remember(images[1], {1: CLICK})
    assert memory.object_ids == (2, 1)
    memory.forget(2)
    fresh = MemoryPredictor(predictor)
    fresh.remember(images[1], {1: CLICK})
    assert same(memory.predict(images[2]), fresh.predict(images[2]))


def test_forgetting_one_entry_of_an_object(predictor, memory, images):
    memory.remember(images[0], {1: BOX})
    memory.remember(images[1], {1: BOX, 2: BOX})
    memory.forget(1, entry=1)
    assert [entry.object_ids for entry in memory.entries] == [(1,), (2,)]
    memory.forget(2, entry=1)
    assert [entry.number for entry in memory.entries] == [0]
    plain = MemoryPredictor(predictor)
    plain.remember(images[0], {1: BOX})
    assert same(memory.predict(images[2]), plain.predict(images[2]))


def test_clear(memory, images):
    memory.remember(images[0], {1: BOX})
    memory.clear()
    assert memory.object_ids == memory.entries == ()
    with pytest.raises(InputError, match="remember an object in some image first"):
        memory.predict(images[0])


def test_the_oldest_entry_goes(predictor, images):
    memory, plain = MemoryPredictor(predictor, max_entries=2), MemoryPredictor(predictor)
    memory.remember(images[0], {1: BOX, 3: BOX})
    memory.remember(images[0], {2: BOX})  # the same image: the same entry
    for i in (1, 2):
        memory.remember(images[i], {1: BOX})
        plain.remember(images[i], {1: BOX})
        assert memory.object_ids == ((1, 3, 2) if i == 1 else (1,))
    assert [entry.number for entry in memory.entries] == [1, 2]
    assert same(memory.predict(images[4]), plain.predict(images[4]))


def test_correcting_an_entry_does_not_make_it_newer(predictor, images):
    memory = MemoryPredictor(predictor, max_entries=2)
    memory.remember(images[0], {1: BOX})
    memory.remember(images[1], {1: BOX})
    memory.remember(images[0], {1: AWAY, 2: CLICK})
    assert [entry.number for entry in memory.entries] == [0, 1]
    memory.remember(images[2], {1: BOX})
    assert [entry.number for entry in memory.entries] == [1, 2]
    assert memory.object_ids == (1,)


def test_the_order_of_objects_outlives_the_entry_that_began_it(predictor, images):
    memory = MemoryPredictor(predictor, max_entries=1)
    memory.remember(images[0], {8: BOX, 1: BOX})
    memory.remember(images[1], {1: BOX, 8: BOX, 0: BOX})
    assert memory.object_ids == (8, 1, 0)
    assert memory.predict(images[2]).object_ids.tolist() == [8, 1, 0]


def test_many_images_take_constant_memory(predictor, images):
    """Of one object that is in most of them, and of others that are in one each."""
    memory = MemoryPredictor(predictor, max_entries=3)
    embedding = predictor.embed(images[0])
    blank = torch.zeros_like(embedding.features.embedding)
    for i in range(150):
        features = replace(embedding.features, embedding=blank + i)  # a new image, for little
        memory.remember(
            replace(embedding, features=features), {i // 15 if i % 15 == 0 else -1: BOX}
        )
    assert [entry.number for entry in memory.entries] == [147, 148, 149]
    assert memory.object_ids == (-1,)
    tensors = [
        tensor
        for entry in memory.entries
        for one in entry.objects.values()
        for tensor in (one.memory.tokens, one.memory.pointer, *vars(one.prediction).values())
    ]
    assert len(tensors) == 3 * 6
    # A part of something larger would keep all of it.
    for tensor in tensors:
        assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_without_a_limit(predictor, images):
    memory = MemoryPredictor(predictor, max_entries=None)
    for i, image in enumerate(images[:8]):
        memory.remember(image, {1: BOX})
        assert len(memory.entries) == i + 1
    for image in images[8:]:
        memory.remember(image, {1: CLICK})
    assert len(memory.entries) == 16
    assert len(memory.predict(images[0])) == 1


def test_predicting_changes_nothing(memory, images):
    memory.remember(images[0], {1: BOX, 2: CLICK})
    memory.remember(images[1], {2: AWAY})
    before, entries = state(memory), memory.entries
    first = memory.predict(images[2])
    memory.predict(images[3])
    memory.predict(images[0])
    assert state(memory) == before
    assert memory.entries == entries
    assert same(memory.predict(images[2]), first)


def test_kinds_of_images(predictor, memory, images, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(images[2]).save(path)
    memory.remember(images[0], {1: BOX})
    embedding = predictor.embed(images[2])
    kinds = [images[2], path, str(path), Image.fromarray(images[2]), embedding]
    found = [memory.predict(image) for image in kinds]
    assert all(same(masks, found[0]) for masks in found)
    for image in kinds:
        memory.remember(image, {2: BOX})
    assert len(memory.entries) == 2, "all are the same image"


def test_same_pixels_in_another_shape_are_another_image(memory):
    for shape in ((40, 40, 3), (40, 60, 3)):
        memory.remember(np.zeros(shape, np.uint8), {1: BOX})
    assert len(memory.entries) == 2


def test_an_absent_object_is_empty_and_flagged(images):
    network = make(tiny_sam2())
    with torch.no_grad():
        head = network.mask_decoder.pred_obj_score_head.layers[-1]
        head.weight.zero_()
        head.bias.fill_(-5.0)
    memory = MemoryPredictor(ImagePredictor(network, device="cpu"))
    shown = memory.remember(images[0], {1: Prompt.mask(np.ones((48, 64), bool)), 2: BOX})
    assert shown.presence[0] > 0.5 > shown.presence[1]
    found = memory.predict(images[1])
    assert found.object_ids.tolist() == [1, 2]
    assert (found.presence < 0.5).all()
    assert not found.masks.any()


def test_masks_need_not_overlap(predictor, images):
    plain = MemoryPredictor(predictor)
    memory = MemoryPredictor(predictor, non_overlapping=True)
    everything = Prompt.mask(np.ones((48, 64), bool))
    for one in (plain, memory):
        one.remember(images[0], {1: everything, 2: everything, 3: BOX})
    free, alone = plain.predict(images[1]), memory.predict(images[1])
    assert free.masks.sum(0).max() > 1
    assert alone.masks.sum(0).max() == 1
    assert np.array_equal(free.masks.any(0), alone.masks.any(0))


@pytest.mark.parametrize("object_id", [0, -1, HUGE, -(2**63), np.int64(5), np.uint8(255)])
def test_any_integer_is_an_id(memory, images, object_id):
    memory.remember(images[0], {object_id: BOX})
    assert memory.predict(images[1]).object_ids.tolist() == [int(object_id)]
    assert type(memory.object_ids[0]) is int
    memory.remember(images[0], {int(object_id): AWAY})
    assert len(memory.object_ids) == 1
    memory.forget(object_id)
    assert memory.object_ids == ()


@pytest.mark.parametrize("object_id", [True, np.True_, 1.0, "1", None, 2**63, -(2**63) - 1, (1,)])
def test_other_ids_are_refused(memory, images, object_id):
    with pytest.raises(InputError, match="object_id: expected a "):
        memory.remember(images[0], {3: BOX, object_id: BOX})
    assert memory.object_ids == memory.entries == ()
    with pytest.raises(InputError, match="object_id: expected a "):
        memory.forget(object_id)


def test_an_error_leaves_everything_as_it_was(memory, images):
    memory.remember(images[0], {1: BOX})
    before = state(memory)
    wrong = [
        (images[1], {}, InputError, "at least one object, got none"),
        (images[1], BOX, InputError, "expected {object id: Prompt}, got Prompt"),
        (images[1], [BOX], InputError, "expected {object id: Prompt}, got list"),
        (images[1], {1: CLICK, 2: (3, 4)}, PromptError, "expected a Prompt, got tuple"),
        (np.zeros((0, 4, 3), np.uint8), {2: BOX}, ImageError, "expected"),
        ("nowhere.png", {2: BOX}, ImageError, "nowhere.png"),
    ]
    for image, prompts, error, text in wrong:
        with pytest.raises(error, match=text):
            memory.remember(image, prompts)
    assert state(memory) == before


def test_wrong_calls(predictor, memory, images):
    with pytest.raises(InputError, match="remember an object in some image first"):
        memory.predict(images[0])
    with pytest.raises(InputError, match=r"a known object \(none\), got 5"):
        memory.forget(5)
    memory.remember(images[0], {1: BOX, 2: BOX})
    memory.remember(images[1], {2: BOX})
    with pytest.raises(InputError, match=r"a known object \(1, 2\), got 5"):
        memory.forget(5)
    with pytest.raises(InputError, match=r"an object of entry 1 \(2\), got 1"):
        memory.forget(1, entry=1)
    with pytest.raises(InputError, match="nothing is remembered of object 5"):
        memory.reachable(5)
    with pytest.raises(ImageError):
        memory.predict("nowhere.png")
    for limit in (0, -1, True, 1.5):
        with pytest.raises(InputError, match="max_entries"):
            MemoryPredictor(predictor, limit)
    with pytest.raises(InputError, match="memory across images needs a SAM 2 network"):
        MemoryPredictor(ImagePredictor(make(tiny_sam()), device="cpu"))
    with pytest.raises(InputError, match="expected an ImagePredictor"):
        MemoryPredictor("pico")


def test_an_image_part_alone_cannot_remember():
    network = make(tiny_sam2())
    network.has_memory = False
    with pytest.raises(InputError, match="with its memory"):
        MemoryPredictor(ImagePredictor(network, device="cpu"))


def test_an_embedding_of_another_network(memory, images):
    other = make(tiny_sam2())
    with torch.no_grad():
        for value in other.image_encoder.parameters():
            value.add_(0.1)
    embedding = ImagePredictor(other, device="cpu", dtype="float32").embed(images[1])
    with pytest.raises(InputError, match="made by another network"):
        memory.remember(embedding, {1: BOX})
    memory.remember(images[0], {1: BOX})
    with pytest.raises(InputError, match="made by another network"):
        memory.predict(embedding)


def test_descriptions(predictor, images):
    memory = MemoryPredictor(predictor, 4)
    memory.remember(images[0], {1: BOX, -2: BOX})
    assert repr(memory) == "<MemoryPredictor: 2 objects in 1 image of at most 4>"
    assert repr(memory.entries[0]) == "<Entry 0: objects 1, -2 in an image 48 x 64>"


def test_the_public_name():
    assert samkit.MemoryPredictor is MemoryPredictor


def test_arguments_of_other_types(predictor, memory, images):
    memory.remember(images[0], {1: CLICK})
    for wrong in ("no", 2, None, np.ones(2)):
        with pytest.raises(InputError, match="non_overlapping: expected True or False"):
            MemoryPredictor(predictor, non_overlapping=wrong)
    for wrong in (np.ones(2), torch.ones(2), "0", 0.0):
        with pytest.raises(InputError, match="without_entry: expected a whole number"):
            memory.reachable(1, without_entry=wrong)
