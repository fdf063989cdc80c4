"""One image, many prompts, compared with samkit's own predictor."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from samkit.compat.tfimm import SAMPredictor, SegmentAnythingModel
from samkit.compat.tfimm import predictor as predictor_module
from samkit.errors import ImageError, InputError, PromptError
from samkit.image_predictor import ImagePredictor
from samkit.prompts import Prompt

Make = Callable[..., SegmentAnythingModel]

CASES: list[tuple[dict[str, Any], Prompt]] = [
    ({"points": [[30, 20]]}, Prompt.point(30, 20)),
    (
        {"points": [[30.5, 20], [70, 8]], "labels": [1, 0]},
        Prompt.points([[30.5, 20], [70, 8]], [1, 0]),
    ),
    ({"boxes": [[10, 5, 60, 40]]}, Prompt.box(10, 5, 60, 40)),
    (
        {"points": [[30, 20]], "labels": [0], "boxes": [[10, 5, 60, 40]]},
        Prompt.point(30, 20, 0) + Prompt.box(10, 5, 60, 40),
    ),
    ({"points": [[-4, 90]]}, Prompt.point(-4, 90)),
]


def close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize(("given", "prompt"), CASES)
def test_same_as_samkits_predictor(
    model: SegmentAnythingModel,
    predictor: SAMPredictor,
    photo: np.ndarray,
    given: dict[str, Any],
    prompt: Prompt,
    multimask_output: bool,
) -> None:
    core = ImagePredictor(model.network, device="cpu", dtype="float32")
    expected = core.predict(photo, prompt, candidates=3 if multimask_output else 1)
    got = predictor(**given, multimask_output=multimask_output)
    close(got.logits, expected.logits)
    close(got.scores, expected.scores)
    np.testing.assert_array_equal(got.masks, expected.masks)


@pytest.mark.parametrize("kind", ["logits", "bool", "integers"])
def test_mask_prompts_are_samkits(
    model: SegmentAnythingModel, predictor: SAMPredictor, photo: np.ndarray, kind: str
) -> None:
    """Of an image without padding, which masks have another value in."""
    photo = photo[:, :50]
    predictor.set_image(photo)
    rng = np.random.default_rng(3)
    mask = rng.normal(0, 5, (50, 50)) if kind == "logits" else rng.random((50, 50)) > 0.5
    mask = mask.astype(np.uint8) * 255 if kind == "integers" else mask
    low = predictor.preprocess_masks(mask[None])
    assert low.dtype == np.float32
    core = ImagePredictor(model.network, device="cpu", dtype="float32")
    prompt = Prompt.mask(mask) + Prompt.point(30, 20)
    expected = core.predict(photo, prompt, candidates=3)
    got = predictor([[30, 20]], masks=low)
    close(got.logits, expected.logits)
    close(got.scores, expected.scores)


def test_a_mask_comes_back_from_the_low_resolution(predictor: SAMPredictor) -> None:
    mask = np.zeros((2, 50, 83), np.float32) - 8
    mask[0, 10:40, 20:60] = 8
    low = predictor.preprocess_masks(mask)
    assert low[0].max() > 7.9
    assert low[1].max() == 0  # in the padding
    assert low[1, :9].max() <= -8
    # 30 x 40 of 50 x 83 pixels, and the low resolution has one cell for 5.2 x 5.2 of them.
    assert abs((low[0] > 0).sum() - 30 * 40 / (83 / 16) ** 2) < 9


def test_results_refine(predictor: SAMPredictor) -> None:
    first = predictor([[30, 20]], multimask_output=False)
    again = predictor([[30, 20]], masks=first.logits, multimask_output=False)
    assert np.abs(first.scores - again.scores).max() > 1e-3


def test_all_kinds_with_a_batch_axis(
    predictor: SAMPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    N = 5
    points = rng.uniform(0, 80, (N, 2, 2))
    labels = rng.integers(-1, 2, (N, 2))
    low = rng.uniform(0, 20, (N, 3, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 20, (N, 3, 2))], 2)
    masks = rng.normal(size=(N, 1, 16, 16))
    given = {"points": points, "labels": labels, "boxes": boxes, "masks": masks}
    batch = predictor(**given, return_logits=True)
    assert batch.masks.shape == (N, 3, 50, 83)
    for i in range(N):
        alone = predictor(**{name: value[i] for name, value in given.items()}, return_logits=True)
        for one, all_ in zip(alone, batch, strict=True):
            close(one, all_[i])
    # Long batches are decoded in parts.
    monkeypatch.setattr(predictor_module, "_AT_ONCE", 2)
    parts = predictor(**given, return_logits=True)
    for one, all_ in zip(parts, batch, strict=True):
        close(one, all_)


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize("return_logits", [True, False])
def test_a_batch_of_one_and_of_none(
    predictor: SAMPredictor, multimask_output: bool, return_logits: bool
) -> None:
    options = {"multimask_output": multimask_output, "return_logits": return_logits}
    plain = predictor([[30, 20]], **options)
    one = predictor([[[30, 20]]], **options)
    none = predictor(np.zeros((0, 1, 2)), **options)
    for a, b, c in zip(plain, one, none, strict=True):
        np.testing.assert_array_equal(a[None], b)
        assert c.shape == (0, *a.shape)
        assert c.dtype == a.dtype


def test_the_model_is_asked_once_for_each_image(
    model: SegmentAnythingModel, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    encode = model.network.encode_image
    monkeypatch.setattr(model.network, "encode_image", lambda x: seen.append(1) or encode(x))
    predictor = SAMPredictor(model)
    predictor.set_image(photo)
    first = predictor([[30, 20]])
    predictor(boxes=[[1, 2, 30, 40]])
    np.testing.assert_array_equal(predictor([[30, 20]]).logits, first.logits)
    assert len(seen) == 1
    predictor.set_image(photo[:30])
    assert predictor([[30, 20]]).masks.shape == (3, 30, 83)
    assert len(seen) == 2


def test_no_image(model: SegmentAnythingModel, photo: np.ndarray) -> None:
    predictor = SAMPredictor(model)
    calls = (lambda: predictor([[1, 2]]), lambda: predictor.preprocess_masks(np.zeros((1, 5, 5))))
    for _ in range(2):
        for call in calls:
            with pytest.raises(InputError, match="set_image"):
                call()
        predictor.set_image(photo)
        predictor([[1, 2]])
        predictor.clear_image()
    predictor.set_image(photo)
    with pytest.raises(ImageError):
        predictor.set_image(photo[0])
    with pytest.raises(InputError, match="set_image"):  # not the image before
        predictor([[1, 2]])


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_images_of_any_type_and_number_of_channels(make: Make, channels: int, dtype: type) -> None:
    model = make(in_channels=channels)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, channels)).astype(dtype)
    before = image.copy()
    predictor = SAMPredictor(model)
    predictor.set_image(image)
    assert predictor([[30, 20]]).masks.shape == (3, 40, 60)
    np.testing.assert_array_equal(image, before)


def test_own_preprocessing_that_does_the_same(
    model: SegmentAnythingModel, predictor: SAMPredictor, photo: np.ndarray
) -> None:
    mean, std = np.array(model.cfg.mean), np.array(model.cfg.std)
    own = SAMPredictor(model, preprocessing=lambda image: (image / 255 - mean) / std)
    own.set_image(photo)
    close(own([[30, 20]]).logits, predictor([[30, 20]]).logits)


def test_own_preprocessing_takes_any_values(model: SegmentAnythingModel) -> None:
    own = SAMPredictor(model, preprocessing=lambda image: image / 65535)
    own.set_image(np.full((20, 30, 3), 65535, np.uint16))
    assert own([[3, 2]]).masks.shape == (3, 20, 30)


def test_other_input_sizes_and_patches(make: Make, photo: np.ndarray) -> None:
    """Same as samkit's predictor also where the network is none of the released kind."""
    for changes in (
        {"encoder_patch_size": 8},
        {"encoder_patch_size": 32},
        {"input_size": (96, 48)},
        {"input_size": (56, 84), "encoder_patch_size": 14},
    ):
        model = make(**changes)
        core = ImagePredictor(model.network, device="cpu", dtype="float32")
        (H, W), patch = model.cfg.input_size, model.cfg.encoder_patch_size
        predictor = SAMPredictor(model)
        # The second has no padding, which masks have another value in.
        for image in (photo, photo[: H // 2, : W // 2]):
            prompt, given = Prompt.point(20, 15), {}
            predictor.set_image(image)
            if image is not photo:
                mask = np.indices(image.shape[:2]).sum(0) % 37 > 17
                prompt += Prompt.mask(mask)
                given["masks"] = predictor.preprocess_masks(mask[None])
            got = predictor([[20, 15]], **given)
            expected = core.predict(image, prompt, candidates=3)
            assert got.logits.shape == (3, H // patch * 4, W // patch * 4)
            close(got.logits, expected.logits)
            close(got.scores, expected.scores)
            np.testing.assert_array_equal(got.masks, expected.masks)


def test_mask_threshold(make: Make, photo: np.ndarray) -> None:
    predictor = SAMPredictor(make(mask_threshold=0.05))
    predictor.set_image(photo)
    logits = predictor([[30, 20]], return_logits=True).masks
    np.testing.assert_array_equal(predictor([[30, 20]]).masks, logits > 0.05)
    assert ((logits > 0.05) != (logits > 0)).any()


BAD_IMAGES: list[tuple[Any, str]] = [
    (np.zeros((20, 30), np.uint8), r"\(H0, W0, 3\), none of it 0, got \(20, 30\)"),
    (np.zeros((20, 30, 4), np.uint8), r"got \(20, 30, 4\)"),
    (np.zeros((3, 20, 30), np.uint8), r"got \(3, 20, 30\)"),
    (np.zeros((0, 30, 3), np.uint8), r"got \(0, 30, 3\)"),
    (np.full((2, 3, 3), np.nan), "finite"),
    (np.full((2, 3, 3), "a"), "numbers"),
    (np.ma.masked_equal(np.arange(18).reshape(2, 3, 3), 7), "no masked values"),
    (np.broadcast_to(np.uint8(0), (2**20, 2**20, 3)), "at most 536870912 pixels"),
    (np.full((2, 3, 3), 1000), r"values 0\.\.255, got 1000\.\.1000"),
    (np.full((2, 3, 3), -5.0), r"values 0\.\.255"),
]


@pytest.mark.parametrize(("image", "message"), BAD_IMAGES)
def test_bad_images(model: SegmentAnythingModel, image: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        SAMPredictor(model).set_image(image)


@pytest.mark.parametrize("preprocessing", [5, "sam_vit_b", (0.5, 0.5)])
def test_preprocessing_that_is_no_function(model: SegmentAnythingModel, preprocessing: Any) -> None:
    with pytest.raises(InputError, match="preprocessing: expected a function or None, got"):
        SAMPredictor(model, preprocessing=preprocessing)


@pytest.mark.parametrize(
    "result",
    [
        np.zeros((39, 64, 3)),
        np.full((1, 39, 64, 3), np.inf),
        np.full((1, 39, 64, 3), 1e300),
        np.full((1, 39, 64, 3), "a"),
        [[1], [2, 3]],
    ],
)
def test_bad_preprocessing(
    model: SegmentAnythingModel, photo: np.ndarray, result: np.ndarray
) -> None:
    with pytest.raises(ImageError, match=r"preprocessing: expected (.* \(1, 39, 64, 3\)|an array)"):
        SAMPredictor(model, lambda _: result).set_image(photo)


BAD_PROMPTS: list[tuple[dict[str, Any], str]] = [
    ({"labels": [1]}, "expected points too"),
    ({"points": [1, 2]}, r"2 axes, or 3 with a batch, got shape \(2,\)"),
    ({"points": [[1, 2, 3]]}, r"expected shape \(1, M1, 2\)"),
    ({"points": [[1, 2]], "labels": [1, 1]}, "labels: expected shape"),
    ({"points": [[1, 2]], "labels": [7]}, "got 7"),
    ({"points": [[1, 2]], "boxes": [[[1, 2, 3, 4]]]}, "same batch axis or none"),
    ({"points": [[[1, 2]]], "boxes": np.ones((2, 1, 4))}, "same batch axis or none"),
    ({"boxes": [1, 2, 3, 4]}, "boxes: expected 2 axes"),
    ({"boxes": [[1, 2, np.inf, 4]]}, "finite"),
    ({"masks": np.zeros((3, 16, 16))}, "M3 0 or 1"),
    ({"masks": np.zeros((1, 50, 83))}, r"expected logits of size \(16, 16\), got \(50, 83\)"),
    ({"points": [[np.nan, 2]]}, "finite"),
]


@pytest.mark.parametrize(("given", "message"), BAD_PROMPTS)
def test_bad_prompts(predictor: SAMPredictor, given: dict[str, Any], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        predictor(**given)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((50, 83)), r"\(M, 50, 83\) or \(N, M, 50, 83\), got \(50, 83\)"),
        (np.zeros((1, 16, 16)), r"got \(1, 16, 16\)"),
        (np.full((1, 50, 83), np.inf), "finite"),
        (np.arange(50 * 83).reshape(1, 50, 83), "label map"),
        (np.full((1, 50, 83), "a"), "mask"),
    ],
)
def test_bad_masks(predictor: SAMPredictor, mask: np.ndarray, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        predictor.preprocess_masks(mask)


def test_no_model(model: SegmentAnythingModel) -> None:
    with pytest.raises(InputError, match="from_network"):
        SAMPredictor(model.network)  # type: ignore[arg-type]
