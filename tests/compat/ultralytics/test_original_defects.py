"""What the original gets wrong, numbered as in the description, and right here: 1 to 3."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from samkit import Prompt
from samkit.compat.ultralytics import (
    Predictor,
    SAM2Predictor,
)
from samkit.mask_generator import AutomaticMaskGenerator

LOOSE: dict[str, Any] = {"conf_thres": 0.0, "stability_score_thresh": 0.0, "points_stride": 4}
BOX = [5, 10, 20, 30]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every image that a network encodes."""

    def watch(predictor: Predictor) -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []
        network = predictor.core.network
        encode = network.encode_image

        def noting(pixels: torch.Tensor) -> Any:
            seen.append(pixels)
            return encode(pixels)

        monkeypatch.setattr(network, "encode_image", noting)
        return seen

    return watch


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every point that a network is asked about, in pixels of its input."""

    def watch(predictor: Any) -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []
        network = predictor.core.network
        attend = network.attend

        def noting(features: Any, prompts: Any) -> Any:
            seen.append(prompts.points[:, 0].clone())
            return attend(features, prompts)

        monkeypatch.setattr(network, "attend", noting)
        return seen

    return watch


# 1. generate with crops


def test_1_points_cover_the_whole_resized_crop_and_no_padding(
    sam: Predictor, photo: np.ndarray, asked: Any
) -> None:
    """128 x 77 of the input are image: points are at the middles of 4 x 4 equal parts of it."""
    seen = asked(sam)
    sam(photo, **LOOSE, crop_n_layers=1)
    points = torch.cat(seen)
    assert len(points) == 5 * 16
    assert points[:, 0].max() < 128
    height = 128 * 50 / 83
    assert points[:, 1].max() < height
    whole = points[-16:]  # the smallest crops come first
    assert whole[:, 0].unique().tolist() == pytest.approx([16, 48, 80, 112], abs=0.5)
    expected = [height * part / 8 for part in (1, 3, 5, 7)]
    assert whole[:, 1].unique().tolist() == pytest.approx(expected, abs=0.5)


def test_1_each_crop_is_encoded_once_also_after_set_image(
    predictor: Predictor, photo: np.ndarray, encoded: Any
) -> None:
    seen = encoded(predictor)
    (fresh,) = predictor(photo, **LOOSE, crop_n_layers=1)
    assert len(seen) == 5
    assert len({pixels.numpy().tobytes() for pixels in seen}) == 5  # five different crops
    seen.clear()
    predictor.set_image(photo)
    (kept,) = predictor(**LOOSE, crop_n_layers=1)
    assert len(seen) == 5
    assert torch.equal(kept.masks.data, fresh.masks.data)
    (again,) = predictor(**LOOSE)
    assert len(seen) == 5
    assert len(again) > 0


def test_1_binary_masks_are_not_scaled_again(sam2: SAM2Predictor, photo: np.ndarray) -> None:
    """The masks are those that logits give when they are scaled once."""
    im = sam2.preprocess([photo])
    preds = sam2.generate(im, **LOOSE, crop_n_layers=1)
    (result,) = sam2.postprocess(preds, im, [photo])
    core = AutomaticMaskGenerator(
        sam2.core,
        points_per_side=4,
        pred_iou_thresh=0,
        stability_score_thresh=0,
        stability_score_offset=0.95,
        crop_n_layers=1,
    )
    expected = core(photo[..., ::-1].copy()).masks
    assert np.array_equal(result.masks.data.numpy(), expected)


def test_1_the_mode_ends_with_an_error(
    sam: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    during: list[bool] = []

    def fail(*_: Any, **__: Any) -> None:
        during.append(sam.segment_all)
        raise RuntimeError("no memory left")

    with monkeypatch.context() as patch:
        patch.setattr(AutomaticMaskGenerator, "__call__", fail)
        with pytest.raises(RuntimeError, match="no memory left"):
            sam(photo)
    assert during == [True]
    assert sam.segment_all is False
    assert len(sam(photo, points=[9, 9])[0]) == 1  # type: ignore[index]


# 2. set_prompts


def test_2_prompts_apply_to_every_image_until_replaced(
    predictor: Predictor, tmp_path: Path, photo: np.ndarray
) -> None:
    images = [np.roll(photo, i, axis=1) for i in range(3)]
    for i, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
    prompts = {"points": [[9, 9], [40, 30]], "labels": [0, 1]}
    predictor.set_prompts(prompts)
    assert predictor.prompts == prompts
    for _ in range(2):
        for image, result in zip(images, predictor(tmp_path), strict=True):
            expected = predictor.core.predict(
                image[..., ::-1].copy(), [Prompt.point(9, 9, label=0), Prompt.point(40, 30)]
            )
            assert np.array_equal(result.masks.data.numpy(), expected.masks)
    predictor.set_prompts({"bboxes": [1, 2, 30, 40]})
    assert [len(result) for result in predictor(tmp_path)] == [1, 1, 1]
    predictor.set_prompts({})
    everything = predictor(photo, **LOOSE)[0]  # type: ignore[index]
    assert everything.core.points is not None


def test_2_arguments_of_a_call_take_precedence(sam: Predictor, photo: np.ndarray) -> None:
    expected = sam(photo, points=[[9, 9]], labels=[1])[0]  # type: ignore[index]
    sam.set_prompts({"points": [[40, 30], [1, 1]], "labels": [0, 0]})
    given = sam(photo, points=[[9, 9]], labels=[1])[0]  # type: ignore[index]
    assert np.array_equal(given.core.logits, expected.core.logits)
    sam.set_prompts({"points": None, "labels": None, "bboxes": None})
    given = sam(photo, points=[[9, 9]], labels=[1])[0]  # type: ignore[index]
    assert np.array_equal(given.core.logits, expected.core.logits)


def test_2_arrays_are_not_modified_nor_followed(predictor: Predictor, photo: np.ndarray) -> None:
    given = {
        "bboxes": np.array([[10.0, 5, 60, 40]]),
        "points": np.array([[[20.0, 20], [30, 30]]]),
        "labels": np.array([[1, 0]]),
        "masks": np.ones((1, 50, 83), bool),
    }
    before = {name: value.copy() for name, value in given.items()}
    image = photo.copy()
    predictor(image, **given)
    predictor.set_prompts(given)
    first = predictor(image)[0]  # type: ignore[index]
    assert all(np.array_equal(given[name], before[name]) for name in given)
    assert np.array_equal(image, photo)
    given["points"][:] = 0  # the caller's own business
    assert np.array_equal(predictor(image)[0].core.logits, first.core.logits)  # type: ignore[index]


# 3. Precision, mask prompts


def test_3_coordinates_stay_float32(overrides: Any, photo: np.ndarray, asked: Any) -> None:
    """float16 has no 2049.5, bfloat16 no 513."""
    large = cv2.resize(photo, (4000, 2410))
    predictor = Predictor(overrides=overrides("sam", half=True))
    seen = asked(predictor)
    predictor(large, points=[2049.5, 513])
    assert seen[0].dtype == torch.float32
    scaled = [2049.5 * 128 / 4000, 513 * 77 / 2410]
    assert seen[0][0].tolist() == pytest.approx(scaled, abs=1e-4)
    assert predictor.core.dtype == torch.float16


@pytest.mark.parametrize("size", [(32, 32), (50, 83), (7, 200)])
@pytest.mark.parametrize("binary", [True, False])
def test_3_masks_of_all_kinds(
    predictor: Predictor, photo: np.ndarray, size: tuple[int, int], binary: bool
) -> None:
    """Several at once; each counts, and none depends on the others."""
    rng = np.random.default_rng(0)
    masks = rng.normal(size=(3, *size)).astype(np.float32) * 9
    given = masks > 0 if binary else masks
    (batch,) = predictor(photo, masks=given)
    assert len(batch) == 3
    for i in range(3):
        (alone,) = predictor(photo, masks=given[i : i + 1])
        assert np.abs(alone.core.logits[0] - batch.core.logits[i]).max() < 3e-6
    # Masks have little effect on random networks, but they have one.
    assert np.abs(batch.core.logits[0] - batch.core.logits[1]).max() > 1e-5
