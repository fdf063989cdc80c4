"""The bundled network on real photographs: what it says must make sense."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import samkit
from samkit import Prompt

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of imports inside scikit-image
    from skimage import data

PHOTOS = ("coffee", "rocket", "astronaut", "chelsea")


@pytest.fixture(scope="module")
def pico() -> samkit.ImagePredictor:
    return samkit.load("pico", device="cpu", dtype="float32")


def photo(name: str) -> np.ndarray:
    image: np.ndarray = getattr(data, name)()
    return image


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def prompts_for(image: np.ndarray) -> list[Prompt]:
    height, width = image.shape[:2]
    return [
        Prompt.box(0.2 * width, 0.2 * height, 0.8 * width, 0.8 * height),
        Prompt.box(0.3 * width, 0.1 * height, 0.7 * width, 0.7 * height),
        Prompt.point(0.5 * width, 0.5 * height),
        Prompt.point(0.3 * width, 0.4 * height),
        Prompt.point(0.5 * width, 0.5 * height)
        + Prompt.point(0.05 * width, 0.05 * height, label=0),
    ]


def cup() -> np.ndarray:
    """The cup without its handle in `coffee`, drawn by hand: the rim's ellipse and the body."""
    y, x = np.mgrid[:400, :600]
    rim = ((x - 291) / 118) ** 2 + ((y - 107) / 90) ** 2 <= 1
    body = ((x - 291) / 112) ** 2 + ((y - 185) / 100) ** 2 <= 1
    return rim | body


def test_a_box_and_a_click_find_the_cup(pico: samkit.ImagePredictor) -> None:
    prompt = Prompt.box(172, 18, 424, 285) + Prompt.point(220, 260)
    masks = pico.predict(photo("coffee"), prompt)
    assert iou(masks.masks[0], cup()) > 0.8
    assert 0.5 < masks.scores[0] <= 1


def test_clicks_find_the_cup(pico: samkit.ImagePredictor) -> None:
    clicks = Prompt.points([[290, 45], [290, 150], [290, 190]])
    assert iou(pico.predict(photo("coffee"), clicks).masks[0], cup()) > 0.7


def test_a_box_bounds_its_mask(pico: samkit.ImagePredictor) -> None:
    box = (172, 18, 424, 285)
    mask = pico.predict(photo("coffee"), Prompt.box(*box)).masks[0]
    inside = mask[box[1] : box[3], box[0] : box[2]].sum()
    assert inside / mask.sum() > 0.9


def test_clicks_are_in_their_masks(pico: samkit.ImagePredictor) -> None:
    for x, y in ((285, 150), (300, 40), (370, 280), (550, 100)):
        mask = pico.predict(photo("coffee"), Prompt.point(x, y)).masks[0]
        assert mask[y, x], (x, y)


def test_a_background_click_takes_away(pico: samkit.ImagePredictor) -> None:
    embedding = pico.embed(photo("coffee"))
    box = Prompt.box(172, 18, 424, 285)
    before = pico.predict(embedding, box)
    after = pico.predict(embedding, box + Prompt.point(190, 110, label=0), prior=before)
    near = np.s_[100:120, 180:200]
    assert before.masks[0][near].mean() > after.masks[0][near].mean()


def test_candidates_differ(pico: samkit.ImagePredictor) -> None:
    three = pico.predict(photo("coffee"), Prompt.point(285, 150), candidates=3)
    assert len(set(three.areas.tolist())) > 1
    assert three.areas.min() > 0


@pytest.mark.parametrize("name", PHOTOS)
def test_half_precision_changes_no_mask(pico: samkit.ImagePredictor, name: str) -> None:
    """Because pico is always computed in float32."""
    half = samkit.load("pico", device="cpu", dtype="bfloat16")
    assert half.dtype == torch.float32
    image = photo(name)
    prompts = prompts_for(image)
    assert np.array_equal(pico.predict(image, prompts).masks, half.predict(image, prompts).masks)


def test_sizes_of_images_hardly_matter(pico: samkit.ImagePredictor) -> None:
    image = photo("coffee")
    large = image.repeat(3, 0).repeat(3, 1)
    box = np.array([172, 18, 424, 285])
    a = pico.predict(image, Prompt.box(*box)).masks[0]
    b = pico.predict(large, Prompt.box(*(3 * box))).masks[0][1::3, 1::3]
    assert iou(a, b) > 0.95


def test_it_loads_as_a_sam2_network_of_under_14_megabytes() -> None:
    from samkit import weights
    from samkit.nn import Sam2

    path = Path(weights.__file__).with_name("pico.safetensors")
    assert path.stat().st_size <= 14_000_000
    network = weights.load_network("pico")
    assert isinstance(network, Sam2)
    assert sum(p.numel() for p in network.parameters()) <= 7_000_000
