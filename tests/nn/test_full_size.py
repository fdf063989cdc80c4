"""What the fast forms give at released sizes is what the plain ones give. `pytest -m full_size`."""

import pytest
import torch
from nn.parity.conftest import _assert_close as assert_close

import samkit
from samkit import ImagePredictor, Prompt, VideoPredictor
from samkit.nn import build
from samkit.nn.fast.switch import plain
from samkit.weights import MODELS

pytestmark = pytest.mark.full_size

# The largest are left out where a smaller one has the same layers.
NAMES = (
    "pico",
    "sam-vit-b",
    "mobile-sam",
    "sam2-tiny",
    "hq-sam-vit-b",
    "hq-sam2.1-large",
    "edge-tam",
    "efficient-tam-s",
    "efficient-tam-ti-2",
    "efficient-vit-sam-l0",
    "efficient-vit-sam-xl1",
    "rep-vit-sam",
    "sam3",
)


@pytest.fixture(scope="module")
def image():
    return samkit.read_image("examples/coffee.jpg")


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_image_and_click(name, image):
    torch.manual_seed(0)
    network = build(MODELS[name].config).eval()
    predictor = ImagePredictor(network, device="cpu", dtype="float32")
    found = predictor.embed(image)
    masks = predictor.predict(found, Prompt.point(300, 200), candidates=1)
    with plain():
        expected = predictor.embed(image)
        for ours, theirs in zip(found.features.tensors, expected.features.tensors, strict=True):
            assert_close(ours, theirs, "maps")
        plainly = predictor.predict(found, Prompt.point(300, 200), candidates=1)
    assert_close(torch.tensor(masks.logits), torch.tensor(plainly.logits), "logits")


@pytest.mark.parametrize(
    "name", [name for name in NAMES if MODELS[name].config.has_memory and name != "sam3"]
)
def test_tracked_frames(name, image):
    torch.manual_seed(0)
    network = build(MODELS[name].config).eval()
    tracker = VideoPredictor(ImagePredictor(network, device="cpu", dtype="float32"), [image] * 3)
    tracker.prompt(0, 1, Prompt.box(190, 30, 470, 330))
    assert [index for index, _ in tracker.track()] == [0, 1, 2]
