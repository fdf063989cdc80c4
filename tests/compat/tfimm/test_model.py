"""Images and prompts in a batch, compared with samkit's own predictor and network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from samkit.compat.tfimm import SegmentAnythingModel, create_preprocessing
from samkit.errors import ImageError, InputError, PromptError
from samkit.image_predictor import ImagePredictor
from samkit.nn import PromptTensors
from samkit.prompts import Prompt

Make = Callable[..., SegmentAnythingModel]

POINTS = np.array([[[20, 30], [50, 8]], [[1, 2], [60, 60]], [[33, 33], [9, 40]]], np.float32)
LABELS = np.array([[1, 0], [1, 1], [0, -1]])
BOXES = np.array([[[10, 5, 60, 40]], [[0, 0, 64, 64]], [[30, 20, 40, 50]]], np.float32)


def close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def differs(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() > 1e-3)


@pytest.fixture
def masks() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 3, (3, 1, 16, 16)).astype(np.float32)


KINDS: dict[str, dict[str, Any]] = {
    "points": {"points": POINTS, "labels": LABELS},
    "boxes": {"boxes": BOXES},
    "points and boxes": {"points": POINTS, "labels": LABELS, "boxes": BOXES},
    "several boxes": {"boxes": np.concatenate([BOXES, BOXES[::-1]], 1)},
    "nothing": {},
}


@pytest.mark.parametrize("with_masks", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_each_image_of_a_batch_is_as_if_it_were_alone(
    model: SegmentAnythingModel,
    images: np.ndarray,
    masks: np.ndarray,
    kind: str,
    with_masks: bool,
) -> None:
    inputs = {"images": images, **KINDS[kind]} | ({"masks": masks} if with_masks else {})
    together = model(inputs, multimask_output=True, return_logits=True)
    assert differs(together.logits[0], together.logits[1])
    for i in range(3):
        alone = model(
            {name: value[i : i + 1] for name, value in inputs.items()},
            multimask_output=True,
            return_logits=True,
        )
        for one, all_ in zip(alone, together, strict=True):
            close(one[0], all_[i])


PROMPTS = [
    ({"points": [[[20, 30]]]}, Prompt.point(20, 30)),
    (
        {"points": [[[20, 30], [50, 8]]], "labels": [[1, 0]]},
        Prompt.points([[20, 30], [50, 8]], [1, 0]),
    ),
    ({"boxes": [[[10, 5, 60, 40]]]}, Prompt.box(10, 5, 60, 40)),
    (
        {"points": [[[20, 30]]], "labels": [[1.0]], "boxes": [[[10, 5, 60, 40]]]},
        Prompt.point(20, 30) + Prompt.box(10, 5, 60, 40),
    ),
    ({"points": [[[20, 30]]], "boxes": np.zeros((1, 0, 4))}, Prompt.point(20, 30)),
]


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize(("inputs", "prompt"), PROMPTS)
def test_same_as_samkits_predictor(
    model: SegmentAnythingModel, inputs: dict[str, Any], prompt: Prompt, multimask_output: bool
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    core = ImagePredictor(model.network, device="cpu", dtype="float32")
    expected = core.predict(pixels, prompt, candidates=3 if multimask_output else 1)
    images = create_preprocessing("sam_vit_b")(pixels)[None]
    got = model({"images": images, **inputs}, multimask_output=multimask_output)
    close(got.logits[0], expected.logits)
    close(got.scores[0], expected.scores)
    np.testing.assert_array_equal(got.masks[0], expected.masks)


def test_all_boxes_of_an_image_are_corners_of_one_prompt(
    model: SegmentAnythingModel, images: np.ndarray
) -> None:
    """SAM's sparse embedding: points, then the two corners of each box; no padding point."""
    boxes = np.array([[[10, 5, 60, 40], [1, 2, 30, 20]]], np.float32)
    got = model({"images": images[:1], "points": POINTS[:1], "boxes": boxes})
    places = [[20, 30], [50, 8], [10, 5], [60, 40], [1, 2], [30, 20]]
    prompts = PromptTensors(
        points=torch.tensor([places], dtype=torch.float32),
        labels=torch.tensor([[1, 1, 2, 3, 2, 3]]),
    )
    pixels = torch.from_numpy(images[:1]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        network = model.network
        expected = network.decode_masks(network.encode_image(pixels), prompts)
    close(got.logits[:, 0], expected.logits[:, 0].numpy())
    close(got.scores[:, 0], expected.iou[:, 0].numpy())
    one_box = model({"images": images[:1], "points": POINTS[:1], "boxes": boxes[:, :1]})
    assert differs(got.scores, one_box.scores)


def test_masks_are_the_logits_scaled_up(model: SegmentAnythingModel, images: np.ndarray) -> None:
    inputs = {"images": images, "points": POINTS}
    full = model(inputs, return_logits=True)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(full.logits), (64, 64), mode="bilinear"
    )
    close(full.masks, expected.numpy())
    np.testing.assert_array_equal(model(inputs).masks, full.masks > 0)


def test_logits_refine_as_mask_prompts(model: SegmentAnythingModel, images: np.ndarray) -> None:
    first = model({"images": images, "points": POINTS})
    again = model({"images": images, "points": POINTS, "masks": first.logits})
    assert differs(first.scores, again.scores)
    empty = np.zeros((3, 0, 16, 16))
    same = model({"images": images, "points": POINTS, "masks": empty, "boxes": None})
    np.testing.assert_array_equal(same.logits, first.logits)


# Other input sizes


@pytest.mark.parametrize("size", [(96, 32), (128, 128), (48, 64), (16, 16)])
def test_other_sizes_interpolate_positions(make: Make, size: tuple[int, int]) -> None:
    model = make(fixed_input_size=False)
    images = np.random.default_rng(3).normal(size=(2, *size, 3)).astype(np.float32)
    points = [[[5, 6]], [[9, 3]]]
    got = model({"images": images, "points": points}, multimask_output=True)
    H, W = size
    assert got.masks.shape == (2, 3, H, W)
    assert got.logits.shape == (2, 3, H // 4, W // 4)
    core = model.network
    labels = torch.tensor([[1, -1]] * 2)  # with the reference's padding point
    places = torch.tensor([[[5, 6], [0, 0]], [[9, 3], [0, 0]]], dtype=torch.float32)
    with torch.inference_mode():
        features = core.encode_image(torch.from_numpy(images).permute(0, 3, 1, 2))
        expected = core.decode_masks(features, PromptTensors(points=places, labels=labels))
    close(got.logits, expected.logits[:, 1:].numpy())


def test_position_encodings_reach_other_sizes(make: Make) -> None:
    model = make(fixed_input_size=False)
    plain = np.zeros((1, 96, 96, 3), np.float32)
    with torch.no_grad():
        model.network.image_encoder.pos_embed.mul_(10)
    before = model({"images": plain}).logits
    with torch.no_grad():
        model.network.image_encoder.pos_embed.zero_()
    assert differs(before, model({"images": plain}).logits)


def test_sizes_that_the_patch_does_not_divide(make: Make) -> None:
    model = make(fixed_input_size=False)
    images = np.random.default_rng(3).normal(size=(1, 50, 70, 3)).astype(np.float32)
    got = model({"images": images, "points": [[[5, 6]]]}, return_logits=True)
    assert got.masks.shape == (1, 1, 50, 70)
    assert got.logits.shape == (1, 1, 16, 20)
    assert model.grid_size((50, 70)) == (4, 5)
    assert model.mask_size((50, 70)) == (16, 20)
    padded = np.pad(images, ((0, 0), (0, 14), (0, 10), (0, 0)))
    whole = model({"images": padded, "points": [[[5, 6]]]}, return_logits=True)
    close(got.logits, whole.logits)
    close(got.masks, whole.masks[:, :, :50, :70])


def test_a_fixed_size_is_fixed(model: SegmentAnythingModel) -> None:
    with pytest.raises(ImageError, match=r"expected size \(64, 64\), got \(96, 64\)"):
        model({"images": np.zeros((1, 96, 64, 3), np.float32)})


# Training


@pytest.mark.parametrize(
    "rate", ["encoder_drop_rate", "encoder_attn_drop_rate", "encoder_drop_path_rate"]
)
def test_training_drops(make: Make, images: np.ndarray, rate: str) -> None:
    model, inputs = make(**{rate: 0.5}), {"images": images, "points": POINTS}
    torch.manual_seed(0)
    first, second = model(inputs, training=True), model(inputs, training=True)
    quiet = model(inputs)
    assert differs(first.scores, second.scores)
    assert differs(first.scores, quiet.scores)
    np.testing.assert_array_equal(quiet.logits, model(inputs).logits)
    np.testing.assert_array_equal(quiet.logits, make()(inputs).logits)


def test_training_without_rates_changes_nothing(
    model: SegmentAnythingModel, images: np.ndarray
) -> None:
    inputs = {"images": images, "points": POINTS}
    np.testing.assert_array_equal(
        model(inputs, training=True).logits, model(inputs, training=False).logits
    )


def test_training_ends_with_the_call(
    make: Make, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(encoder_drop_rate=0.5)
    model({"images": images}, training=True)
    assert not any(module.training for module in model.network.modules())

    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(model.network, "encode_image", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        model({"images": images}, training=True)
    assert not any(module.training for module in model.network.modules())


# What is given


def test_inputs_stay_as_they_are(
    model: SegmentAnythingModel, images: np.ndarray, masks: np.ndarray
) -> None:
    inputs = {"images": images, "points": POINTS, "labels": LABELS, "boxes": BOXES, "masks": masks}
    before = {name: value.copy() for name, value in inputs.items()}
    for value in inputs.values():
        value.flags.writeable = False
    model(inputs)
    for name, value in inputs.items():
        np.testing.assert_array_equal(value, before[name])
        value.flags.writeable = True


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_floats(model: SegmentAnythingModel, dtype: type) -> None:
    images = np.random.default_rng(0).integers(-3, 3, (1, 64, 64, 3))
    a = model({"images": images.astype(dtype), "points": POINTS[:1].astype(dtype)})
    b = model({"images": images.astype(np.float32), "points": POINTS[:1].tolist()})
    np.testing.assert_array_equal(a.logits, b.logits)


def test_a_network_in_half_precision(model: SegmentAnythingModel, images: np.ndarray) -> None:
    """As `samkit.load` leaves it on some machines: only the image encoder is in bfloat16."""
    expected = model({"images": images, "points": POINTS})
    model.network.image_encoder.to(torch.bfloat16)
    got = model({"images": images, "points": POINTS})
    assert got.logits.dtype == np.float32
    np.testing.assert_allclose(got.logits, expected.logits, atol=0.05)


IMAGE = np.zeros((2, 64, 64, 3), np.float32)
BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, ImageError, r"expected shape \(N, H, W, 3\), .*got none"),
    ({"images": IMAGE[0]}, ImageError, r"got shape \(64, 64, 3\)"),
    ({"images": IMAGE[..., :1]}, ImageError, r"got shape \(2, 64, 64, 1\)"),
    ({"images": IMAGE[:0]}, ImageError, r"none of it 0, got shape \(0, 64, 64, 3\)"),
    ({"images": IMAGE.astype(np.uint8)}, ImageError, "normalised .* got uint8"),
    ({"images": IMAGE * np.nan}, ImageError, "finite"),
    ({"images": IMAGE + np.float64(1e300)}, ImageError, "finite"),
    ({"images": [[1], [1, 2]]}, InputError, "images: expected an array"),
    ({"images": IMAGE, "bboxes": BOXES}, InputError, "with some of images, .*got .*'bboxes'"),
    ({"images": IMAGE, "points": POINTS}, PromptError, r"expected shape \(2, M1, 2\)"),
    ({"images": IMAGE, "points": POINTS[:2, 0]}, PromptError, r"got \(2, 2\)"),
    ({"images": IMAGE, "points": POINTS[:2], "labels": [1, 0]}, PromptError, r"\(2, 2\)"),
    ({"images": IMAGE, "points": POINTS[:2], "labels": [[1, 2]] * 2}, PromptError, "got 2"),
    ({"images": IMAGE, "points": POINTS[:2], "labels": [["a", "b"]] * 2}, PromptError, "got a"),
    ({"images": IMAGE, "labels": [[1], [1]]}, PromptError, "expected points too"),
    ({"images": IMAGE, "points": POINTS[:2] * np.inf}, PromptError, "finite"),
    ({"images": IMAGE, "points": [[[1, 2]], [[1]]]}, InputError, "points: expected an array"),
    ({"images": IMAGE, "boxes": BOXES}, PromptError, r"boxes: expected shape \(2, M2, 4\)"),
    ({"images": IMAGE, "boxes": [[["a"] * 4]] * 2}, PromptError, "boxes: expected real numbers"),
    ({"images": IMAGE, "boxes": np.full((2, 1, 4), 1e300)}, PromptError, "finite"),
    ({"images": IMAGE, "masks": np.zeros((2, 2, 16, 16))}, PromptError, "M3 0 or 1"),
    ({"images": IMAGE, "masks": np.zeros((2, 1, 64, 64))}, PromptError, r"\(16, 16\)"),
    ({"images": IMAGE, "masks": np.full((2, 1, 16, 16), np.nan)}, PromptError, "finite"),
]


@pytest.mark.parametrize(("inputs", "error", "message"), BAD)
def test_bad_inputs(
    model: SegmentAnythingModel,
    inputs: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message) as caught:
        model(inputs)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("inputs", [None, [IMAGE], IMAGE])
def test_inputs_that_are_no_dict(model: SegmentAnythingModel, inputs: Any) -> None:
    with pytest.raises(InputError, match=f"inputs: expected a dict.*got {type(inputs).__name__}"):
        model(inputs)


@pytest.mark.parametrize("size", [5, (0, 5), (64, -1), (64,), (64.5, 64), "ab"])
def test_sizes_that_are_none(model: SegmentAnythingModel, size: Any) -> None:
    for function in (model.grid_size, model.mask_size):
        with pytest.raises(InputError, match=r"input_size: expected \(height, width\) in pixels"):
            function(size)
