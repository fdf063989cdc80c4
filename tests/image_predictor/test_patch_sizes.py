"""SAM with another stride than the released 16 pixels, or prompts in a larger frame than images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import make, tiny_sam

from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.mask_generator import AutomaticMaskGenerator
from samkit.nn import PromptTensors
from samkit.nn.prompt_encoder import draw_prompts
from samkit.prompts import Prompt
from samkit.sizes import ViTConfig

PHOTO = np.random.default_rng(0).integers(0, 256, (50, 80, 3), np.uint8)
MASK = Prompt.mask(np.indices((50, 80)).sum(0) % 37 > 17)
PROMPTS = [Prompt.point(30, 20), Prompt.box(10, 5, 60, 40) + MASK]


@pytest.fixture(params=[(8, 1), (16, 1), (32, 1), (8, 2)], ids=str)
def predictor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ImagePredictor:
    patch, scale = request.param
    monkeypatch.setattr(ViTConfig, "prompt_scale", scale)
    network = make(tiny_sam(patch_size=patch))
    assert network.config.stride == patch * scale
    return ImagePredictor(network, device="cpu", dtype="float32")


def test_sizes(predictor: ImagePredictor) -> None:
    stride = predictor.network.config.stride
    side, _ = predictor.network.config.prompt_size
    embedding = predictor.embed(PHOTO)
    assert embedding.features.stride == embedding.transform.stride == stride
    assert embedding.features.embedding.shape[2:] == (side // stride, side // stride)
    assert embedding.features.prompt_size == embedding.transform.prompt_size == (side, side)
    assert embedding.transform.input_size == (128, 128)
    assert embedding.features.select(slice(0, 1)).stride == stride
    masks = predictor.predict(embedding, PROMPTS, candidates=3)
    assert masks.masks.shape == (6, 50, 80)
    assert masks.logits is not None
    assert masks.logits.shape == (6, 4 * side // stride, 4 * side // stride)
    refined = predictor.predict(embedding, PROMPTS[0], prior=masks[:1])
    assert np.isfinite(refined.scores).all()


def test_an_embedding_is_saved_with_its_stride(predictor: ImagePredictor, tmp_path: Path) -> None:
    embedding = predictor.embed(PHOTO)
    embedding.save(tmp_path / "e.safetensors")
    loaded = ImageEmbedding.load(tmp_path / "e.safetensors").to("cpu")
    assert loaded.transform == embedding.transform
    assert loaded.features.stride == embedding.features.stride
    expected, got = (predictor.predict(e, PROMPTS) for e in (embedding, loaded))
    np.testing.assert_array_equal(got.masks, expected.masks)


def test_everything_mode(predictor: ImagePredictor) -> None:
    """What it finds are the predictor's masks of its points."""
    with torch.no_grad():
        predictor.network.mask_decoder.iou_prediction_head.layers[-1].bias += 5  # sure of all
    masks = AutomaticMaskGenerator(
        predictor, points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.0
    )(PHOTO)
    assert len(masks) >= 1
    assert masks.points is not None
    for mask, point in zip(masks.masks, masks.points, strict=True):
        candidates = predictor.predict(PHOTO, Prompt.point(*point), candidates=3).masks
        assert min((mask != candidate).mean() for candidate in candidates) < 1e-3


def test_drawn_prompts_lie_where_the_prompts_are(predictor: ImagePredictor) -> None:
    """The maps cover the input, whatever the size of their cells."""
    stride = predictor.network.config.stride
    side = 512 // stride
    prompts = PromptTensors(points=torch.tensor([[[95.5, 31.5]]]), labels=torch.tensor([[1]]))
    maps = draw_prompts(prompts, (side, side), cell=stride / 4)
    y, x = divmod(int(maps[0, 0].argmax()), side)
    assert abs((x + 0.5) * stride / 4 - 96) <= stride / 4
    assert abs((y + 0.5) * stride / 4 - 32) <= stride / 4


def test_a_prompt_lies_where_the_image_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """As EfficientViT-SAM: coordinates of 256 pixels about an input of 128."""
    monkeypatch.setattr(ViTConfig, "prompt_scale", 2)
    predictor = ImagePredictor(make(tiny_sam(patch_size=8)), device="cpu", dtype="float32")
    embedding = predictor.embed(PHOTO)
    # The longer side of 80 pixels fills the frame, the image lies at its top left.
    tokens = PromptTensors(
        points=torch.tensor([[[30 * 256 / 80, 20 * 256 / 80], [0, 0]]]),
        labels=torch.tensor([[1, -1]]),
    )
    with torch.inference_mode():
        low = predictor.network.decode_masks(embedding.features, tokens).logits[:, :1]
    masks = predictor.predict(embedding, Prompt.point(30, 20))
    assert masks.logits is not None
    np.testing.assert_allclose(masks.logits, low[:, 0].numpy(), rtol=1e-4, atol=1e-4)
    full = torch.nn.functional.interpolate(low, (256, 256), mode="bilinear")[..., :160, :]
    full = torch.nn.functional.interpolate(full, (50, 80), mode="bilinear")
    np.testing.assert_array_equal(masks.masks[0], (full[0, 0] > 0).numpy())
