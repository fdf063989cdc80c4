"""Everything mode on an image that was looked at before."""

import numpy as np
import pytest
from tiny import make, tiny_sam, tiny_sam2

from samkit import AutomaticMaskGenerator, ImagePredictor
from samkit.errors import InputError

OPTIONS = {"points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}


@pytest.fixture(params=[tiny_sam, tiny_sam2])
def predictor(request):
    return ImagePredictor(make(request.param()), device="cpu", dtype="float32")


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (50, 83, 3), np.uint8)


@pytest.mark.parametrize("layers", [0, 1])
def test_the_whole_image_is_not_looked_at_again(predictor, image, layers, monkeypatch):
    generator = AutomaticMaskGenerator(predictor, **OPTIONS, crop_n_layers=layers)
    expected = generator(image)
    embedding = predictor.embed(image)
    looked = []
    encode = predictor.network.encode_image
    monkeypatch.setattr(
        predictor.network, "encode_image", lambda pixels: (looked.append(1), encode(pixels))[1]
    )
    found = generator(image, embedding=embedding)
    assert len(looked) == 4 * layers
    assert len(found) == len(expected) > 0
    assert np.array_equal(found.masks, expected.masks)
    assert np.array_equal(found.scores, expected.scores)


def test_an_embedding_of_something_else(predictor, image):
    generator = AutomaticMaskGenerator(predictor, **OPTIONS)
    with pytest.raises(InputError, match=r"size \(50, 83\).*got one of size \(40, 83\)"):
        generator(image, embedding=predictor.embed(image[:40]))
    other = ImagePredictor(make(tiny_sam(dim=48)), device="cpu", dtype="float32")
    with pytest.raises(InputError, match="another network"):
        generator(image, embedding=other.embed(image))
