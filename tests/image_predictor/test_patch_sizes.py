"""SAM whose embedding has another stride than the released 16 pixels."""

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

PHOTO = np.random.default_rng(0).integers(0, 256, (50, 80, 3), np.uint8)
MASK = Prompt.mask(np.indices((50, 80)).sum(0) % 37 > 17)
PROMPTS = [Prompt.point(30, 20), Prompt.box(10, 5, 60, 40) + MASK]


@pytest.fixture(params=[8, 16, 32])
def predictor(request: pytest.FixtureRequest) -> ImagePredictor:
    network = make(tiny_sam(patch_size=request.param))
    return ImagePredictor(network, device="cpu", dtype="float32")


def test_sizes(predictor: ImagePredictor) -> None:
    stride = predictor.network.config.stride
    embedding = predictor.embed(PHOTO)
    assert embedding.features.stride == embedding.transform.stride == stride
    assert embedding.features.embedding.shape[2:] == (128 // stride, 128 // stride)
    assert embedding.features.prompt_size == (128, 128)
    assert embedding.features.select(slice(0, 1)).stride == stride
    masks = predictor.predict(embedding, PROMPTS, candidates=3)
    assert masks.masks.shape == (6, 50, 80)
    assert masks.logits is not None
    assert masks.logits.shape == (6, 512 // stride, 512 // stride)
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
