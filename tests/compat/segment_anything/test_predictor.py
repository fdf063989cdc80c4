"""SamPredictor: shapes, types and values are those of samkit's own predictor."""

import numpy as np
import pytest
import torch

import samkit
from samkit import ImagePredictor, Prompt
from samkit.compat.segment_anything import SamPredictor
from samkit.errors import ImageError, InputError, PromptError
from samkit.nn import Network

XY, LABELS, BOX = np.array([[30, 20], [70, 45]]), np.array([1, 0]), np.array([10, 5, 60, 40])
CLICKS = Prompt.points(XY, LABELS)


@pytest.mark.parametrize(("multimask_output", "K"), [(True, 3), (False, 1)])
def test_one_object(
    predictor: SamPredictor,
    core: ImagePredictor,
    photo: np.ndarray,
    multimask_output: bool,
    K: int,
) -> None:
    given = {"point_coords": XY, "point_labels": LABELS, "box": BOX}
    masks, scores, logits = predictor.predict(**given, multimask_output=multimask_output)
    expected = core.predict(photo, CLICKS + Prompt.box(*BOX), candidates=K)
    assert masks.shape == (K, 50, 83)
    assert masks.dtype == np.bool_
    assert scores.shape == (K,)
    assert scores.dtype == logits.dtype == np.float32
    assert np.array_equal(masks, expected.masks)
    assert np.array_equal(scores, expected.scores)
    assert np.array_equal(logits, expected.logits)


def test_defaults_are_three_masks(predictor: SamPredictor) -> None:
    assert len(predictor.predict(XY, LABELS)[0]) == 3


def test_logits_of_the_size_of_the_image(predictor: SamPredictor) -> None:
    masks, _, _ = predictor.predict(XY, LABELS)
    logits, _, _ = predictor.predict(XY, LABELS, return_logits=True)
    assert logits.dtype == np.float32
    assert np.array_equal(logits > 0, masks)


def test_refining_an_earlier_prediction(
    predictor: SamPredictor, core: ImagePredictor, photo: np.ndarray
) -> None:
    _, scores, logits = predictor.predict(XY, LABELS)
    best = logits[np.argmax(scores), :, :]
    found = predictor.predict(XY, LABELS, mask_input=best[None], multimask_output=False)
    prior = core.predict(photo, CLICKS, candidates=3).best()
    expected = core.predict(photo, CLICKS, prior=prior)
    for array, wanted in zip(
        found, (expected.masks, expected.scores, expected.logits), strict=True
    ):
        assert np.array_equal(array, wanted)
    plain = predictor.predict(XY, LABELS, multimask_output=False)
    assert not np.array_equal(found[2], plain[2])
    alone = predictor.predict(mask_input=best[None], multimask_output=False)
    assert alone[0].shape == (1, 50, 83)
    assert not np.array_equal(alone[2], plain[2])


def test_a_point_of_label_minus_one_is_left_out(predictor: SamPredictor) -> None:
    padded = predictor.predict(np.vstack([XY, [[1, 1]]]), np.array([1, 0, -1]))
    assert np.array_equal(padded[2], predictor.predict(XY, LABELS)[2])


def test_boxes_with_an_axis(predictor: SamPredictor) -> None:
    assert np.array_equal(predictor.predict(box=BOX[None])[2], predictor.predict(box=BOX)[2])


def test_several_objects_in_the_frame_of_the_network(
    predictor: SamPredictor, photo: np.ndarray
) -> None:
    """Coordinates of predict_torch come from the transform."""
    boxes = torch.tensor([[10, 5, 60, 40], [0, 0, 30, 30], [40, 10, 83, 50]])
    size = photo.shape[:2]
    transformed = predictor.transform.apply_boxes_torch(boxes, size)
    masks, scores, logits = predictor.predict_torch(
        point_coords=None, point_labels=None, boxes=transformed, multimask_output=False
    )
    assert (masks.shape, masks.dtype) == ((3, 1, 50, 83), torch.bool)
    assert scores.shape == (3, 1)
    for i, box in enumerate(boxes.numpy()):
        alone = predictor.predict(box=box, multimask_output=False)
        np.testing.assert_allclose(logits[i].numpy(), alone[2], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(scores[i].numpy(), alone[1], rtol=1e-3, atol=1e-4)
    points = torch.as_tensor(predictor.transform.apply_coords(XY, size))[:, None]
    refined = predictor.predict_torch(
        points, torch.ones(2, 1), mask_input=logits[:2], return_logits=True
    )
    assert (refined[0].shape, refined[0].dtype) == ((2, 3, 50, 83), torch.float32)


def test_no_objects(predictor: SamPredictor) -> None:
    masks, scores, logits = predictor.predict_torch(None, None, boxes=torch.zeros(0, 4))
    assert masks.shape == (0, 3, 50, 83)
    assert scores.shape == (0, 3)
    assert logits.shape[:2] == (0, 3)


def test_many_objects_do_not_depend_on_each_other(predictor: SamPredictor) -> None:
    boxes = torch.tensor([[1.0, 1, 20, 30]]).repeat(70, 1)
    masks, _, logits = predictor.predict_torch(None, None, boxes, multimask_output=False)
    assert len(masks) == 70
    torch.testing.assert_close(logits[0], logits[-1], rtol=1e-3, atol=1e-4)


def test_the_order_of_channels(predictor: SamPredictor, photo: np.ndarray) -> None:
    rgb = predictor.get_image_embedding()
    predictor.set_image(photo[..., ::-1], image_format="BGR")
    assert torch.equal(predictor.get_image_embedding(), rgb)
    predictor.set_image(photo[..., ::-1])
    assert not torch.equal(predictor.get_image_embedding(), rgb)
    with pytest.raises(InputError, match="RGB or BGR"):
        predictor.set_image(photo, "RGBA")


def test_an_image_that_was_scaled_before(predictor: SamPredictor, photo: np.ndarray) -> None:
    expected = predictor.predict(XY, LABELS)
    scaled = predictor.transform.apply_image(photo)
    assert scaled.shape[:2] == predictor.input_size
    tensor = torch.as_tensor(scaled).permute(2, 0, 1)[None]
    predictor.set_torch_image(tensor, photo.shape[:2])
    assert predictor.original_size == photo.shape[:2]
    found = predictor.predict(XY, LABELS)
    assert found[0].shape == expected[0].shape
    if predictor.model.config.keep_aspect:  # others resample floats
        np.testing.assert_allclose(found[2], expected[2], rtol=1e-3, atol=1e-4)
    with pytest.raises(ImageError, match=r"transformed_image: expected .* \(1, 3, "):
        predictor.set_torch_image(tensor[..., 1:], photo.shape[:2])


def test_embedding_and_state(
    predictor: SamPredictor, core: ImagePredictor, photo: np.ndarray
) -> None:
    embedding = predictor.get_image_embedding()
    assert torch.equal(embedding, core.embed(photo).features.embedding)
    assert predictor.is_image_set
    assert predictor.device == torch.device("cpu")
    assert predictor.model is core.network
    predictor.reset_image()
    assert not predictor.is_image_set
    assert predictor.original_size is predictor.input_size is None
    for call in (predictor.get_image_embedding, lambda: predictor.predict(XY, LABELS)):
        with pytest.raises(InputError, match="set_image"):
            call()
    with pytest.raises(InputError, match="set_image"):
        predictor.predict_torch(torch.zeros(1, 1, 2), torch.ones(1, 1))


def test_the_transform_of_sam(networks: dict[str, Network], photo: np.ndarray) -> None:
    """The longer side fits, so both axes have the same scale."""
    transform = SamPredictor(networks["sam"]).transform
    scaled = transform.apply_coords(np.array([[83, 50]]), (50, 83))
    assert scaled.tolist() == [[128, 77]]
    assert transform.apply_image(photo).shape == (77, 128, 3)
    assert transform.apply_boxes(np.array([0, 0, 83, 50]), (50, 83)).shape == (1, 4)
    for wrong in (photo[..., 0], photo.astype(np.float32)):
        with pytest.raises(ImageError, match="uint8"):
            transform.apply_image(wrong)
    with pytest.raises(PromptError, match="coords"):
        transform.apply_coords([1, 2, 3], (50, 83))
    with pytest.raises(PromptError, match="boxes"):
        transform.apply_boxes([1, 2, 3], (50, 83))
    with pytest.raises(InputError, match="original_size"):
        transform.apply_coords([1, 2], (50,))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "got none of them"),
        ({"point_coords": XY}, "points and labels together"),
        ({"point_labels": LABELS}, "points and labels together"),
        ({"point_coords": XY, "point_labels": [1]}, "one for each point"),
        ({"point_coords": XY, "point_labels": [1, 2]}, "got 2"),
        ({"point_coords": XY, "point_labels": [-1, -1]}, "got none"),
        ({"point_coords": [1, 2], "point_labels": [1]}, r"expected shape \(P, 2\)"),
        ({"point_coords": [[np.nan, 2]], "point_labels": [1]}, "finite"),
        ({"point_coords": [["a", "b"]], "point_labels": [1]}, "numbers"),
        ({"box": [1, 2, 3]}, r"box: expected shape \(4,\)"),
        ({"box": [[1, 2, 3, 4], [1, 2, 3, 4]]}, "one object"),
        ({"box": [9, 9, 1, 1]}, "swapped"),
        ({"box": BOX, "mask_input": np.zeros((1, 8, 8))}, "mask_input: expected logits"),
        ({"box": BOX, "mask_input": np.zeros((8, 8))}, "mask_input: expected shape"),
    ],
)
def test_wrong_prompts(predictor: SamPredictor, given: dict[str, object], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        predictor.predict(**given)


def test_wrong_models_and_images(networks: dict[str, Network]) -> None:
    with pytest.raises(InputError, match="model: expected a network"):
        SamPredictor("vit_b")  # type: ignore[arg-type]
    with pytest.raises(ImageError):
        SamPredictor(networks["sam"]).set_image(np.zeros((3, 4, 5, 6), np.uint8))
    predictor = SamPredictor(networks["sam"])
    predictor.set_image(np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(InputError, match="multimask_output"):
        predictor.predict(XY, LABELS, multimask_output="no")  # type: ignore[arg-type]


def test_a_predictor_of_samkit_serves_as_a_model() -> None:
    core = samkit.load("pico", device="cpu")
    assert SamPredictor(core).core is core
