"""Concepts on images, compared with Sam3Model of transformers and what its processor does then.

Where transformers (5.24) departs from the authors, it is set right: without any example it leaves
out the token of all examples. RoIAlign, which it takes from torchvision, is a plain one here.
"""

import copy
import pickle
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nn.parity.conftest import _assert_close as assert_close
from nn.parity.test_sam3_detector import plain_roi_align
from safetensors.torch import load_file, save_file
from transformers import Sam3VideoConfig
from transformers.models.sam3 import modeling_sam3
from whole_sam3 import DIM, QUERIES, save_whole_sam3

import samkit
from samkit import CheckpointError, Concept, ImageEmbedding, InputError, Masks, Prompt, PromptError
from samkit.nn.detector import Detector
from samkit.weights import load_detector, save_network
from samkit.words import tokens_of

EXAMPLES = [[10, 20, 60, 70], [90, 30, 130, 80]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The detector of transformers, and the folder that it is saved in with the rest of SAM 3."""
    folder = tmp_path_factory.mktemp("sam3")
    return save_whole_sam3(folder).detector_model, folder


@pytest.fixture
def predictor(saved):
    return samkit.load(saved[1], device="cpu", dtype="float32")


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (90, 140, 3), dtype=np.uint8)


@pytest.fixture
def roi_align(monkeypatch):
    def plain(maps, boxes, size):
        if not len(boxes[0]):
            return maps.new_zeros(0, maps.shape[1], size, size)
        return plain_roi_align(maps, boxes, size)

    ops = SimpleNamespace(roi_align=plain)
    monkeypatch.setattr(modeling_sam3, "torchvision", SimpleNamespace(ops=ops), raising=False)


def outputs_of(theirs, predictor, image, text, boxes=(), labels=()):
    """What transformers gives for one concept; the token of all examples is always there."""
    height, width = image.shape[:2]
    config = predictor.network.config
    pixels = predictor.transform((height, width)).pixels(image, config.mean, config.std)
    ids = torch.tensor([tokens_of(text)])
    attended = ids != 0
    words = theirs.text_encoder(ids, attention_mask=attended.long()).last_hidden_state
    vision = theirs.vision_encoder(pixels)
    xyxy = torch.tensor(boxes, dtype=torch.float32).view(1, -1, 4)
    xyxy = xyxy / torch.tensor([width, height, width, height])
    low, high = xyxy[..., :2], xyxy[..., 2:]
    examples = theirs.geometry_encoder(
        torch.cat([(low + high) / 2, high - low], -1),
        torch.ones(1, len(boxes), dtype=torch.bool),
        torch.tensor(labels, dtype=torch.long).view(1, -1),
        vision.fpn_hidden_states[:-1],
        vision.fpn_position_encoding[:-1],
    ).last_hidden_state
    more = torch.ones(examples.shape[:2], dtype=torch.bool)
    return theirs(
        vision_embeds=vision,
        text_embeds=SimpleNamespace(
            pooler_output=torch.cat([theirs.text_projection(words), examples], 1)
        ),
        attention_mask=torch.cat([attended, more], 1).long(),
    )


@pytest.mark.parametrize("kind", ["words", "examples", "both"])
@torch.inference_mode()
def test_masks_of_a_concept(saved, predictor, image, roi_align, kind):
    theirs = saved[0]
    text = None if kind == "examples" else "red cup"
    boxes, labels = ((), ()) if kind == "words" else (EXAMPLES, [1, 0])
    expected = outputs_of(theirs, predictor, image, text or "visual", boxes, labels)
    scores = (expected.pred_logits.sigmoid() * expected.presence_logits.sigmoid())[0]
    order = scores.argsort(descending=True)
    threshold = float(scores[order[4:6]].mean())  # five of them
    best = order[:5]
    concept = Concept(text, boxes=boxes, labels=labels) if boxes else text
    found = predictor.find(image, concept, threshold=threshold)
    assert len(found) == 5
    assert_close(torch.tensor(found.scores), scores[best], "scores")
    logits = expected.pred_masks[0, best]
    assert_close(torch.tensor(found.logits), logits, "logits")
    inside = expected.pred_boxes[0, best].clamp(0, 1) * torch.tensor([140, 90, 140, 90])
    assert_close(torch.tensor(found.boxes), inside, "boxes")
    presence = expected.presence_logits.sigmoid().flatten().expand(5)
    assert_close(torch.tensor(found.presence), presence, "presence")
    # The authors scale up logits; transformers, probabilities, which differs at some edges.
    large = F.interpolate(logits[None], image.shape[:2], mode="bilinear")[0]
    assert (found.masks == (large > 0).numpy()).mean() > 0.999
    large = F.interpolate(logits.sigmoid()[None], image.shape[:2], mode="bilinear")[0]
    assert (found.masks == (large > 0.5).numpy()).mean() > 0.95
    assert found.names.tolist() == [text or "visual"] * 5


@pytest.mark.full_size
@torch.inference_mode()
def test_released_sizes(tmp_path, image, roi_align):
    theirs = save_whole_sam3(tmp_path, config=Sam3VideoConfig()).detector_model
    predictor = samkit.load(tmp_path, device="cpu", dtype="float32")
    expected = outputs_of(theirs, predictor, image, "red cup", EXAMPLES, [1, 0])
    concept = Concept("red cup", boxes=EXAMPLES, labels=[1, 0])
    found = predictor.finder.detect(predictor.embed(image), concept, 0.0, predictor.device)
    probabilities = expected.pred_logits.sigmoid() * expected.presence_logits.sigmoid()
    print(
        assert_close(found.probabilities, probabilities[0], "probabilities"),
        assert_close(found.logits, expected.pred_masks[0], "logits"),
        assert_close(found.boxes, expected.pred_boxes[0].clamp(0, 1), "boxes"),
    )


def test_several_concepts_give_what_each_gives_alone(predictor, image):
    concepts = ["red cup", Concept("dog", boxes=EXAMPLES[:1]), Concept(boxes=EXAMPLES)]
    embedding = predictor.embed(image)
    together = predictor.find(embedding, concepts, threshold=0)
    assert together.names.tolist() == [n for n in ("red cup", "dog", "visual") for _ in range(9)]
    assert together.prompt_index.tolist() == [i for i in range(3) for _ in range(QUERIES)]
    assert together.object_ids.tolist() == list(range(3 * QUERIES))
    for i, concept in enumerate(concepts):
        alone = predictor.find(image, concept, threshold=0)
        own = together[together.prompt_index == i]
        assert np.array_equal(own.masks, alone.masks)
        assert np.array_equal(own.scores, alone.scores)
        assert np.all(np.diff(own.scores) <= 0)


def test_nothing_is_above_the_threshold(predictor, image):
    none = predictor.find(image, ["red cup", "dog"], threshold=1)
    assert len(none) == 0
    assert none.image_size == (90, 140)
    assert len(predictor.find(image, [])) == 0


@pytest.mark.parametrize("concepts", [[], ["red cup", "dog"]])
def test_what_is_not_there_is_chosen_like_what_is(predictor, image, concepts):
    none = predictor.find(image, concepts, threshold=1)
    assert none.names.shape == none.presence.shape == (0,)
    assert none.boxes.shape == (0, 4)
    assert len(none[none.names == "dog"]) == len(none[none.presence > 0.5]) == 0


@pytest.fixture
def counted(monkeypatch):
    """How often each step ran."""
    counts = dict.fromkeys(("maps", "words", "detect"), 0)

    def count(name):
        step = getattr(Detector, name)

        def run(self, *args):
            counts[name] += 1
            return step(self, *args)

        monkeypatch.setattr(Detector, name, run)

    for name in counts:
        count(name)
    return counts


def test_maps_and_words_are_made_once(predictor, image, counted):
    embedding = predictor.embed(image)
    predictor.find(embedding, ["red cup", "dog", "red cup"])
    assert counted == {"maps": 1, "words": 2, "detect": 3}
    predictor.find(embedding, ["dog", "cat"])
    assert counted == {"maps": 1, "words": 3, "detect": 5}
    predictor.find(predictor.embed(image), "cat")
    assert counted == {"maps": 2, "words": 3, "detect": 6}


def test_maps_go_with_their_embedding(predictor, image):
    embedding = predictor.embed(image)
    predictor.find(embedding, "dog")
    assert predictor._finder._last._slot is not None
    del embedding
    assert predictor._finder._last._slot is None


def test_clicks_do_not_load_the_detector(predictor, image, monkeypatch):
    loaded = []
    monkeypatch.setattr(predictor._finder, "_load", lambda: loaded.append(1))
    assert len(predictor.predict(image, Prompt.point(30, 40))) == 1
    assert predictor.can_find
    assert not loaded


def test_the_detector_can_be_loaded_before(predictor, image, monkeypatch):
    detector = predictor.load_detector()
    monkeypatch.setattr(predictor._finder, "_load", None)
    assert len(predictor.find(image, "dog", threshold=0)) == QUERIES
    assert predictor.load_detector() is detector
    with pytest.raises(InputError, match="sam3"):
        samkit.load("pico", device="cpu").load_detector()


def test_embeddings_in_files(predictor, image, tmp_path):
    embedding = predictor.embed(image)
    embedding.save(tmp_path / "e.safetensors")
    again = ImageEmbedding.load(tmp_path / "e.safetensors")
    expected = predictor.find(embedding, "dog", threshold=0)
    assert np.array_equal(predictor.find(again, "dog", threshold=0).masks, expected.masks)


def test_embeddings_without_the_map_serve_clicks(predictor, image, tmp_path):
    """As files of earlier versions, and embeddings of predictors without a detector."""
    other = samkit.ImagePredictor(predictor.network, device="cpu", dtype="float32")
    other.embed(image).save(tmp_path / "e.safetensors")
    old = ImageEmbedding.load(tmp_path / "e.safetensors")
    click = Prompt.point(30, 40)
    expected = predictor.predict(image, click)
    assert np.array_equal(predictor.predict(old, click).masks, expected.masks)
    with pytest.raises(InputError, match="lacks the map that the detector looks at"):
        predictor.find(old, "dog")
    with pytest.raises(InputError, match=r'only SAM 3 has one: samkit.load\("sam3"\)'):
        other.find(image, "dog")


def test_models_without_a_detector_say_so(image):
    with pytest.raises(InputError, match="sam3"):
        samkit.load("pico", device="cpu").find(image, "dog")


def test_a_detector_for_another_network():
    network = samkit.load("pico", device="cpu").network
    with pytest.raises(InputError, match="detector: expected a network of SAM 3"):
        samkit.ImagePredictor(network, device="cpu", detector=lambda: None)


@pytest.mark.parametrize(
    "concepts",
    [None, 3, b"dog", [3], ["dog", None], "", "  ", [Prompt.point(1, 2)], {"dog": 1}],
)
def test_what_is_no_concept(predictor, image, concepts):
    with pytest.raises(PromptError, match="expected"):
        predictor.find(image, concepts)


@pytest.mark.parametrize(
    "text", ["\x00", "a\x00b", "\x1b[31mred", "\ud800", "\udcff cup", "\ufeff"]
)
def test_what_are_no_words(predictor, image, text):
    """They would have another name in the masks, or in no file."""
    with pytest.raises(PromptError, match="text: expected words without control characters"):
        predictor.find(image, text)


@pytest.mark.parametrize(
    "text", ["ast\u00e9risque", "\u2615\ufe0f cup", "red\tcup\n", "\u65e5\u672c\u8a9e"]
)
def test_signs_of_all_kinds_are_words(predictor, image, text):
    assert predictor.find(image, text, threshold=0).names.tolist() == [text] * QUERIES


def test_which_of_several_is_wrong(predictor, image):
    with pytest.raises(PromptError, match="concepts: at index 1, text: expected words"):
        predictor.find(image, ["dog", " "])
    with pytest.raises(PromptError, match="boxes: at index 1, box: corners are swapped"):
        Concept(boxes=[[1, 2, 3, 4], [5, 2, 3, 4]])


@pytest.mark.parametrize("threshold", [-0.1, 1.5, "high", None, float("nan"), True])
def test_what_is_no_threshold(predictor, image, threshold):
    with pytest.raises(InputError, match="threshold: expected a number from 0 to 1"):
        predictor.find(image, "dog", threshold=threshold)


def test_copies_find_the_same(predictor, image):
    expected = predictor.find(image, "dog", threshold=0)
    for other in (copy.deepcopy(predictor), pickle.loads(pickle.dumps(predictor))):
        assert np.array_equal(other.find(image, "dog", threshold=0).masks, expected.masks)


def test_names_go_with_masks(predictor, image, tmp_path):
    found = predictor.find(image, ["red cup", "dog"], threshold=0)
    assert set(found[found.names == "dog"].prompt_index.tolist()) == {1}
    found.save(tmp_path / "found.npz")
    assert Masks.load(tmp_path / "found.npz").names.tolist() == found.names.tolist()


def test_files_without_a_detector(predictor, image, tmp_path):
    save_network(predictor.network, tmp_path / "own.safetensors")
    with pytest.raises(CheckpointError, match="holds no detector of concepts"):
        samkit.load(tmp_path / "own.safetensors").find(image, "dog")


def test_a_tensor_is_missing(saved, tmp_path):
    state = load_file(saved[1] / "model.safetensors")
    state.pop("detector_model.detr_decoder.presence_token.weight")
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((saved[1] / "config.json").read_text())
    with pytest.raises(CheckpointError, match=r"decoder\.presence_token\.weight"):
        load_detector(tmp_path, DIM, 32)


def test_maps_of_an_image_go_with_the_next_one(predictor, image):
    embedding = predictor.embed(image)
    expected = predictor.find(embedding, "cup", threshold=0)
    maps = weakref.ref(predictor.finder._last._slot.made[0])
    assert maps() is not None
    predictor.embed(image[::-1])
    assert maps() is None
    again = predictor.find(embedding, "cup", threshold=0)
    assert np.array_equal(again.logits, expected.logits)
