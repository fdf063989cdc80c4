"""SAM2ImagePredictor: shapes, types and values are those of samkit's own predictor."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny import make, tiny_sam

from samkit import ImagePredictor, Prompt
from samkit.compat.sam2.sam2_image_predictor import SAM2ImagePredictor
from samkit.compat.sam2.specks import without_specks
from samkit.errors import ImageError, InputError, PromptError
from samkit.nn import Network

XY, LABELS, BOX = np.array([[30, 20], [70, 45]]), np.array([1, 0]), np.array([10, 5, 60, 40])
BOXES = np.array([[10, 5, 60, 40], [0, 0, 30, 30]])
CLICKS = Prompt.points(XY, LABELS)


@pytest.mark.parametrize(("multimask_output", "K"), [(True, 3), (False, 1)])
def test_one_object(
    predictor: SAM2ImagePredictor,
    core: ImagePredictor,
    photo: np.ndarray,
    multimask_output: bool,
    K: int,
) -> None:
    found = predictor.predict(XY, LABELS, BOX, multimask_output=multimask_output)
    expected = core.predict(photo, CLICKS + Prompt.box(*BOX), candidates=K)
    masks, scores, logits = found
    assert [array.dtype for array in found] == [np.float32] * 3
    assert masks.shape == (K, 50, 83)
    assert scores.shape == (K,)
    assert np.array_equal(masks, expected.masks)
    assert np.array_equal(scores, expected.scores)
    assert expected.logits is not None
    assert np.array_equal(logits, expected.logits.clip(-32, 32))


def test_several_objects(
    predictor: SAM2ImagePredictor, core: ImagePredictor, photo: np.ndarray
) -> None:
    masks, scores, logits = predictor.predict(box=BOXES, multimask_output=False)
    expected = core.predict(photo, [Prompt.box(*box) for box in BOXES])
    assert masks.shape == (2, 1, 50, 83)
    assert scores.shape == (2, 1)
    assert np.array_equal(masks[:, 0], expected.masks)
    points, labels = XY[:, None], np.ones((2, 1))
    masks, _, again = predictor.predict(points, labels, BOXES, mask_input=logits)
    assert masks.shape == (2, 3, 50, 83)
    alone = predictor.predict(XY[1:], [1], BOXES[1], mask_input=logits[1])
    np.testing.assert_allclose(again[1], alone[2], rtol=1e-3, atol=1e-4)
    none = predictor.predict(box=np.zeros((0, 4)))
    assert [array.shape[:2] for array in none] == [(0, 3)] * 3


def test_refining_an_earlier_prediction(
    predictor: SAM2ImagePredictor, core: ImagePredictor, photo: np.ndarray
) -> None:
    _, scores, logits = predictor.predict(XY, LABELS)
    best = logits[np.argmax(scores), :, :]
    found = predictor.predict(XY, LABELS, mask_input=best[None], multimask_output=False)
    prior = core.predict(photo, CLICKS, candidates=3).best()
    assert prior.logits is not None
    if np.abs(prior.logits).max() <= 32:
        assert np.array_equal(found[0], core.predict(photo, CLICKS, prior=prior).masks)
    plain = predictor.predict(XY, LABELS, multimask_output=False)
    assert not np.array_equal(found[2], plain[2])
    alone = predictor.predict(mask_input=best[None], multimask_output=False)
    expected = core.predict(photo, Prompt(mask_input=best))
    assert np.array_equal(alone[0], expected.masks)


def test_logits_and_thresholds(network: Network, photo: np.ndarray) -> None:
    usual, strict = SAM2ImagePredictor(network), SAM2ImagePredictor(network, mask_threshold=0.5)
    for predictor in (usual, strict):
        predictor.set_image(photo)
    logits, _, _ = usual.predict(XY, LABELS, return_logits=True)
    assert np.array_equal(usual.predict(XY, LABELS)[0], logits > 0)
    assert np.array_equal(strict.predict(XY, LABELS)[0], logits > 0.5)


def test_coordinates_as_fractions(predictor: SAM2ImagePredictor) -> None:
    pixels = predictor.predict(XY, LABELS, BOX)
    size = np.array([83, 50])
    fractions = predictor.predict(XY / size, LABELS, BOX / np.tile(size, 2), normalize_coords=False)
    for one, other in zip(pixels[1:], fractions[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_small_holes_and_specks(network: Network, photo: np.ndarray) -> None:
    """At low resolution, and only in masks of the image's size."""
    plain, clean = (
        SAM2ImagePredictor(network, max_hole_area=area, max_sprinkle_area=area) for area in (0, 10)
    )
    for predictor in (plain, clean):
        predictor.set_image(photo)
    before, _, logits = plain.predict(XY, LABELS, return_logits=True)
    after, _, same = clean.predict(XY, LABELS, return_logits=True)
    assert np.array_equal(same, logits)
    raw = without_specks(logits, holes=10, specks=10, beyond=10.0)
    assert np.array_equal(before, after) == np.array_equal(raw, logits)
    assert np.array_equal(clean.predict(XY, LABELS)[0], after > 0)


def test_what_is_small() -> None:
    logits = np.full((1, 9, 9), -1.0, np.float32)
    logits[0, 1:6, 1:6] = 1
    logits[0, 3, 3] = -1  # a hole
    logits[0, 8, 8] = 1  # a speck
    filled = without_specks(logits, holes=1, beyond=0.1)
    assert filled[0, 3, 3] == np.float32(0.1)
    assert filled[0, 8, 8] == 1
    both = without_specks(logits, holes=1, specks=1, threshold=0.5, beyond=10)
    assert both[0, 3, 3] == 10.5
    assert both[0, 8, 8] == -9.5
    assert (both[0, :8, :8] == filled[0, :8, :8]).sum() == 63
    assert np.array_equal(without_specks(logits, holes=0, beyond=1), logits)
    assert without_specks(logits[:0], holes=9, beyond=1).shape == (0, 9, 9)


def test_a_batch_of_images(
    predictor: SAM2ImagePredictor, network: Network, photo: np.ndarray
) -> None:
    other = np.ascontiguousarray(photo[10:, ::-1])
    predictor.set_image_batch([photo, other])
    points = [XY[:, None], XY]
    masks, scores, logits = predictor.predict_batch(points, [np.ones((2, 1)), LABELS])
    assert [array.shape for array in masks] == [(2, 3, 50, 83), (3, 40, 83)]
    assert predictor.get_image_embedding().shape[0] == 2
    single = SAM2ImagePredictor(network)
    single.set_image(other)
    for found, expected in zip(
        (masks[1], scores[1], logits[1]), single.predict(XY, LABELS), strict=True
    ):
        assert np.array_equal(found, expected)
    boxes, _, _ = predictor.predict_batch(box_batch=[BOXES, BOX], multimask_output=False)
    assert [array.shape[:-2] for array in boxes] == [(2, 1), (1,)]
    refined = predictor.predict_batch(
        box_batch=[BOX, BOX],
        mask_input_batch=[one.reshape(-1, 1, *one.shape[-2:])[0] for one in logits],
    )
    assert len(refined[0]) == 2
    with pytest.raises(InputError, match="box_batch: expected one for each of 2 images, got 1"):
        predictor.predict_batch(box_batch=[BOX])
    with pytest.raises(InputError, match="predict_batch"):
        predictor.predict(XY, LABELS)


def test_embedding_and_state(
    predictor: SAM2ImagePredictor, core: ImagePredictor, photo: np.ndarray
) -> None:
    features = core.embed(photo).features
    with torch.no_grad():
        expected = core.network.without_memory(features).embedding
    assert torch.equal(predictor.get_image_embedding(), expected)
    assert predictor.device == torch.device("cpu")
    assert predictor.model is core.network
    predictor.reset_predictor()
    calls: list[Any] = [
        predictor.get_image_embedding,
        lambda: predictor.predict(XY, LABELS),
        lambda: predictor.predict_batch([XY], [LABELS]),
    ]
    for call in calls:
        with pytest.raises(InputError, match="set_image"):
            call()


def test_images(predictor: SAM2ImagePredictor, photo: np.ndarray) -> None:
    from PIL import Image

    before = predictor.predict(XY, LABELS)
    predictor.set_image(Image.fromarray(photo))
    assert np.array_equal(predictor.predict(XY, LABELS)[2], before[2])
    with pytest.raises(ImageError):
        predictor.set_image("no such file.jpg")
    for wrong in (photo, [], "ab"):
        with pytest.raises(InputError, match="image_list"):
            predictor.set_image_batch(wrong)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "got none of them"),
        ({"point_coords": XY}, "points and labels together"),
        ({"point_coords": XY, "point_labels": [[1, 0]]}, None),
        ({"point_coords": XY[:, None], "point_labels": LABELS}, "same number of objects"),
        ({"box": BOXES, "mask_input": np.zeros((1, 16, 16))}, "same number of objects"),
        ({"box": np.zeros((2, 2, 4))}, r"box: expected shape \(4,\) or \(N, 4\)"),
        ({"box": BOX, "mask_input": np.zeros((1, 8, 8))}, r"of shape \(1, 16, 16\)"),
        ({"point_coords": XY, "point_labels": [1, 3]}, "got 3"),
    ],
)
def test_wrong_prompts(
    predictor: SAM2ImagePredictor, given: dict[str, Any], message: str | None
) -> None:
    if message is None:
        assert predictor.predict(**given)[0].shape == (3, 50, 83)
        return
    with pytest.raises(PromptError, match=message):
        predictor.predict(**given)


def test_wrong_options(networks: dict[str, Network], photo: np.ndarray) -> None:
    for name in ("mask_threshold", "max_hole_area", "max_sprinkle_area"):
        with pytest.raises(InputError, match=name):
            SAM2ImagePredictor(networks["sam2"], **{name: "a"})
    with pytest.raises(InputError, match="model: expected a network"):
        SAM2ImagePredictor(None)  # type: ignore[arg-type]


def test_sam_serves_too(photo: np.ndarray) -> None:
    predictor = SAM2ImagePredictor(make(tiny_sam()))
    predictor.set_image(photo)
    assert predictor.predict(XY, LABELS)[0].shape == (3, 50, 83)
