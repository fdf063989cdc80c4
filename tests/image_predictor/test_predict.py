"""predict and predict_batch on tiny random networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from image_predictor.helpers import ALL, BOX, CLICK, CLICKS, MASK, assert_same, photo
from tiny import make, tiny_sam, tiny_sam2

from samkit.errors import ImageError, InputError, PromptError, SamkitError
from samkit.image_predictor import ImagePredictor
from samkit.image_predictor.prompt_tokens import prompt_tensors, token_count
from samkit.masks import Masks
from samkit.nn import ImageFeatures, PromptTensors
from samkit.nn.mask_decoder import Attended
from samkit.prompts import Prompt
from samkit.transforms import ImageTransform


def test_one_prompt(predictor: ImagePredictor) -> None:
    masks = predictor.predict(photo(), CLICK)
    assert isinstance(masks, Masks)
    assert masks.masks.shape == (1, 50, 80)
    assert masks.masks.dtype == np.bool_
    assert masks.logits is not None
    assert masks.logits.shape == (1, 32, 32)
    assert masks.prompt_index.tolist() == [0]


def test_results_belong_to_prompts_in_order(predictor: ImagePredictor) -> None:
    masks = predictor.predict(photo(), ALL)
    assert len(masks) == len(ALL)
    assert masks.prompt_index.tolist() == list(range(len(ALL)))
    assert masks.object_ids.tolist() == list(range(len(ALL)))


def test_each_prompt_is_as_if_it_were_alone(predictor: ImagePredictor) -> None:
    embedding = predictor.embed(photo())
    together = predictor.predict(embedding, ALL)
    reversed_ = predictor.predict(embedding, ALL[::-1])
    for i, prompt in enumerate(ALL):
        alone = predictor.predict(embedding, prompt)
        assert_same(together[i], alone)
        assert_same(reversed_[len(ALL) - 1 - i], alone)


def test_no_prompts_no_masks(predictor: ImagePredictor) -> None:
    masks = predictor.predict(photo(), [])
    assert len(masks) == 0
    assert masks.image_size == (50, 80)


def test_candidates(predictor: ImagePredictor) -> None:
    embedding = predictor.embed(photo())
    three = predictor.predict(embedding, [CLICK, BOX], candidates=3)
    assert three.prompt_index.tolist() == [0, 0, 0, 1, 1, 1]
    assert_same(three[3:], predictor.predict(embedding, BOX, candidates=3))
    best = three.best()
    assert best.prompt_index.tolist() == [0, 1]
    assert best.scores.tolist() == [three.scores[:3].max(), three.scores[3:].max()]


@pytest.mark.parametrize("candidates", [0, 2, 4, -1, None, True, 3.0, np.array([1, 3])])
def test_other_numbers_of_candidates(sam2: ImagePredictor, candidates: int) -> None:
    with pytest.raises(InputError, match=r"candidates: expected 1 or 3"):
        sam2.predict(photo(), CLICK, candidates=candidates)


def test_coordinates_are_pixels_of_the_image(
    sam2: ImagePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokens that reach the network lie where the prompt lies in the input."""
    seen: list[PromptTensors] = []
    attend = sam2.network.attend

    def spy(features: ImageFeatures, prompts: PromptTensors) -> Attended:
        seen.append(prompts)
        return attend(features, prompts)

    monkeypatch.setattr(sam2.network, "attend", spy)
    sam2.predict(photo(50, 80), BOX + CLICKS)
    x, y = 128 / 80, 128 / 50
    assert seen[0].labels.tolist() == [[1, 0, 2, 3, -1]]
    expected = [[30 * x, 20 * y], [50.5 * x, 8 * y], [10 * x, 5 * y], [60 * x, 40 * y], [0, 0]]
    np.testing.assert_allclose(seen[0].points[0], expected, rtol=1e-6)


def test_padding_points_are_the_references() -> None:
    """SAM pads prompts without a box; SAM 2 pads all that have a point or a box."""
    for config, box_labels in ((tiny_sam(), [2, 3]), (tiny_sam2(), [2, 3, -1])):
        pad = config.prompt_encoder.pad_boxes
        transform = ImageTransform.for_network(config, (50, 80))
        for prompt, labels in (
            (BOX, box_labels),
            (CLICKS, [1, 0, -1]),
            (BOX + CLICK, [1, *box_labels]),
            (MASK, []),
        ):
            made = prompt_tensors([prompt], None, transform, pad, torch.device("cpu"))
            assert made.labels.tolist() == [labels]
            assert token_count(prompt, pad) == len(labels)


def test_points_outside_the_image_are_allowed(predictor: ImagePredictor) -> None:
    masks = predictor.predict(photo(), [Prompt.point(-20, 500), Prompt.box(-9, -9, 200, 30)])
    assert len(masks) == 2


def test_batches_of_different_sizes(predictor: ImagePredictor) -> None:
    images = [photo(50, 80, 1), photo(33, 20, 2), photo(64, 64, 3)]
    prompts = [[CLICK, BOX], Prompt.point(3, 4), []]
    results = predictor.predict_batch(images, prompts)
    assert [len(masks) for masks in results] == [2, 1, 0]
    for image, prompt, masks in zip(images, prompts, results, strict=True):
        assert masks.image_size == image.shape[:2]
        if prompt:
            assert_same(masks, predictor.predict(image, prompt))


def test_batches_may_hold_embeddings(sam2: ImagePredictor) -> None:
    images = [photo(seed=i) for i in range(3)]
    mixed = [images[0], sam2.embed(images[1]), images[2]]
    embeddings = sam2._embed_mixed(mixed)
    for image, embedding in zip(images, embeddings, strict=True):
        assert_same(sam2.predict(embedding, BOX), sam2.predict(image, BOX))


def test_batch_needs_prompts_for_each_image(sam2: ImagePredictor) -> None:
    with pytest.raises(InputError, match="got 2 images and 1 lists"):
        sam2.predict_batch([photo(), photo()], [[CLICK]])
    assert sam2.predict_batch([], []) == []
    results = sam2.predict_batch((photo() for _ in range(2)), (CLICK for _ in range(2)))
    assert [len(masks) for masks in results] == [1, 1]
    for images, prompts in (
        ([photo()], CLICK),
        (photo(), [CLICK]),
        (sam2.embed(photo()), [CLICK]),
        ("photo.jpg", [CLICK]),
        (None, [CLICK]),
        ([photo()], {1: CLICK}),
    ):
        with pytest.raises(InputError, match="expected a list, with one entry for each image"):
            sam2.predict_batch(images, prompts)  # type: ignore[arg-type]


def test_rectangular_input() -> None:
    predictor = ImagePredictor(make(replace(tiny_sam(), image_size=(96, 160))), device="cpu")
    masks = predictor.predict(photo(), ALL)
    assert masks.logits is not None
    assert masks.logits.shape == (len(ALL), 24, 40)


def test_other_numbers_of_channels() -> None:
    five = {"mean": (0.5,) * 5, "std": (0.2,) * 5}
    predictor = ImagePredictor(make(replace(tiny_sam2(in_channels=5), **five)), device="cpu")
    image = np.random.default_rng(0).uniform(0, 255, (50, 80, 5)).astype(np.float32)
    assert predictor.predict(image, CLICK).image_size == (50, 80)
    for bad in (photo(), image[..., 0], image * np.nan, image[:0], image * 1j, [[1], [2, 3]]):
        with pytest.raises(ImageError, match=r"expected|takes arrays"):
            predictor.embed(bad)


@pytest.mark.parametrize("network", [None, "pico", torch.nn.Linear(2, 2)])
def test_what_is_no_network(network: object) -> None:
    with pytest.raises(InputError, match=r"expected a network \(samkit.nn.Network\)"):
        ImagePredictor(network)  # type: ignore[arg-type]


def test_a_network_whose_answer_is_not_a_number() -> None:
    network = make(tiny_sam2())
    with torch.no_grad():
        network.mask_decoder.iou_token.weight.fill_(torch.nan)
    with pytest.raises(SamkitError, match="not a number"):
        ImagePredictor(network, device="cpu").predict(photo(), CLICK)


def test_bad_prompts_are_found_before_the_image_is_looked_at(sam2: ImagePredictor) -> None:
    for bad in ((3, 4), [[3, 4]], "dog", None, np.zeros((2, 2)), [CLICK, (1, 2)]):
        with pytest.raises(PromptError):
            sam2.predict("no-such-file.jpg", bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "image", [np.zeros((0, 5, 3), np.uint8), np.zeros(3), "missing.jpg", b"no image", None]
)
def test_bad_images(sam2: ImagePredictor, image: object) -> None:
    with pytest.raises(ImageError):
        sam2.embed(image)
    with pytest.raises(SamkitError):
        sam2.predict(image, CLICK)


def test_inputs_are_never_changed(predictor: ImagePredictor) -> None:
    image = photo()
    before = image.copy()
    mask = np.random.default_rng(0).normal(size=(50, 80)).astype(np.float32)
    mask_before = mask.copy()
    predictor.predict(image, Prompt.mask(mask) + CLICK)
    assert np.array_equal(image, before)
    assert np.array_equal(mask, mask_before)


def test_results_are_the_same_each_time(predictor: ImagePredictor) -> None:
    assert_same(predictor.predict(photo(), ALL), predictor.predict(photo(), ALL), exact=True)


def test_repr_says_what_it_is(sam2: ImagePredictor) -> None:
    assert repr(sam2.embed(photo())) == (
        "<ImageEmbedding of an image 50 x 80 (height x width): 16 x 8 x 8, float32 on cpu, "
        "0.0164 MB>"
    )
    assert repr(sam2) == "ImagePredictor(Sam2 with Hiera, input 128x128, float32 on cpu)"
