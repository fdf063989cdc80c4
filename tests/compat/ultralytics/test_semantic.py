"""SAM3SemanticPredictor: what the core finds, under the original's names."""

import numpy as np
import pytest
import torch
from whole_sam3 import QUERIES, save_whole_sam3

import samkit
from samkit import Concept, InputError, PromptError
from samkit.compat.ultralytics import SAM3SemanticPredictor

BOXES = [[10, 20, 60, 70], [90, 30, 130, 80]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam3")
    save_whole_sam3(folder)
    return folder


@pytest.fixture
def make(folder):
    def make(**changes):
        settings = {"model": folder, "device": "cpu", "conf": 0.0, "iou": 1.0, "verbose": False}
        return SAM3SemanticPredictor(overrides={**settings, **changes})

    return make


@pytest.fixture
def image():
    """BGR."""
    return np.random.default_rng(0).integers(0, 255, (90, 140, 3), dtype=np.uint8)


@pytest.fixture
def expected(folder, image):
    core = samkit.load(folder, device="cpu", dtype="float32")
    rgb = np.ascontiguousarray(image[..., ::-1])
    return lambda concepts: core.find(rgb, concepts, threshold=0)


def test_words(make, image, expected):
    predictor = make()
    predictor.set_image(image)
    (result,) = predictor(text=["red cup", "dog"])
    want = expected(["red cup", "dog"])
    assert result.names == {0: "red cup", 1: "dog"}
    assert result.boxes.cls.tolist() == [0] * QUERIES + [1] * QUERIES
    np.testing.assert_array_equal(result.masks.data.numpy(), want.masks)
    np.testing.assert_allclose(result.boxes.xyxy.numpy(), want.boxes, atol=1e-3)
    np.testing.assert_allclose(result.boxes.conf.numpy(), want.scores, atol=1e-6)
    (one,) = predictor(image, text="dog")
    np.testing.assert_array_equal(one.masks.data.numpy(), want.masks[QUERIES:])


def test_examples(make, image, expected):
    (result,) = make()(image, bboxes=BOXES, labels=[1, 0])
    want = expected(Concept(boxes=BOXES, labels=[1, 0]))
    assert result.names == {0: "visual"}
    np.testing.assert_array_equal(result.masks.data.numpy(), want.masks)
    (result,) = make()(image, text=["dog"], bboxes=BOXES[0])
    want = expected(Concept("dog", boxes=BOXES[:1]))
    np.testing.assert_array_equal(result.masks.data.numpy(), want.masks)


def test_copies_of_one_class_are_left_out(make, image):
    (result,) = make(iou=0.0)(image, text=["red cup", "dog"])
    for number in (0, 1):
        boxes = result.boxes.xyxy[result.boxes.cls == number]
        low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
        high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        shared = (high - low).clamp(min=0).prod(-1)
        assert len(boxes)
        assert (shared - torch.diag(shared.diag()) == 0).all()


def test_nothing_is_probable_enough(make, image):
    predictor = make(conf=1.0)
    predictor.set_image(image)
    (result,) = predictor(text=["dog"])
    assert len(result) == 0
    assert result.names == {0: "dog"}
    masks, boxes = predictor.inference_features(predictor.features, (90, 140), text=["dog"])
    assert masks is None
    assert boxes.shape == (0, 6)


def test_features_of_another_predictor(make, image):
    first, second = make(), make()
    first.set_image(image)
    second.setup_model()
    masks, boxes = second.inference_features(first.features, image.shape[:2], text=["dog"])
    (want,) = first(text=["dog"])
    assert torch.equal(masks, want.masks.data)
    assert torch.equal(boxes, want.boxes.data)


def test_prompts_that_stay(make, image):
    predictor = make()
    predictor.set_prompts({"text": ["dog"]})
    (result,) = predictor(image)
    assert result.names == {0: "dog"}
    predictor.reset_prompts()
    with pytest.raises(PromptError, match="expected words or a box"):
        predictor(image)


@pytest.mark.parametrize(
    "prompts",
    [
        {},
        {"text": []},
        {"text": 3},
        {"text": [3]},
        {"text": "dog", "labels": [1]},
        {"bboxes": [[1, 2, 3]]},
        {"bboxes": BOXES, "labels": [1]},
        {"bboxes": BOXES, "labels": [0, 0]},
    ],
)
def test_what_are_no_prompts(make, image, prompts):
    with pytest.raises(PromptError, match="expected"):
        make()(image, **prompts)


def test_what_cannot_be_used(make, image):
    with pytest.raises(PromptError, match="expected a dict with some of text, bboxes, labels"):
        make().set_prompts({"points": [1, 2]})
    with pytest.raises(InputError, match="expected a name, a file or a folder of SAM 3"):
        make(model="pico")(image, text="dog")
    with pytest.raises(InputError, match="expected those of a SAM3SemanticPredictor"):
        make().inference_features({}, (90, 140), text="dog")
