"""Features computed before, and the removal of specks."""

from typing import Any

import numpy as np
import pytest
import torch

from samkit.compat.ultralytics import Predictor, SAM2Predictor
from samkit.errors import InputError, PromptError

LOOSE: dict[str, Any] = {"conf_thres": 0.0, "stability_score_thresh": 0.0, "points_stride": 3}


# Features


def test_features_computed_before(predictor: Predictor, photo: np.ndarray) -> None:
    (called,) = predictor(photo, bboxes=[[3, 4, 50, 40], [1, 1, 20, 20]])
    features = predictor.get_im_features(predictor.preprocess([photo]))
    other = Predictor(overrides={"model": predictor.model, "device": "cpu", "verbose": False})
    masks, boxes = other.inference_features(
        features, src_shape=(50, 83), bboxes=[[3, 4, 50, 40], [1, 1, 20, 20]]
    )
    # A pixel may differ where rounding decides.
    assert (masks != called.masks.data).float().mean() < 1e-3
    assert boxes[:, 4].tolist() == pytest.approx(called.boxes.conf.tolist(), abs=1e-4)
    predictor.set_image(photo)
    again, _ = predictor.inference_features(
        predictor.features, (50, 83), bboxes=[[3, 4, 50, 40], [1, 1, 20, 20]]
    )
    assert torch.equal(again, masks)


def test_features_with_another_source_size(predictor: Predictor, photo: np.ndarray) -> None:
    """Prompts and masks of a copy twice the size, on the same features."""
    features = predictor.get_im_features(predictor.preprocess([photo]))
    small, boxes = predictor.inference_features(features, (50, 83), points=[[9, 9]])
    large, others = predictor.inference_features(features, (100, 166), points=[[18, 18]])
    assert large.shape == (1, 100, 166)
    assert others[0, 4] == pytest.approx(boxes[0, 4].item(), abs=1e-3)
    middle = large[:, ::2, ::2] | large[:, 1::2, 1::2]
    assert (middle == small).float().mean() > 0.85


def test_features_of_the_published_kind_know_of_no_memory(
    sam2: SAM2Predictor, photo: np.ndarray
) -> None:
    """Meta's image predictor adds the embedding of "no memory" before it keeps features."""
    im = sam2.preprocess([photo])
    features = sam2.get_im_features(im)
    network = sam2.core.network
    with torch.no_grad():
        plain = network.encode_image(im).embedding
    assert isinstance(features, dict)
    added = features["image_embed"] - plain
    assert torch.allclose(added, network.no_mem_embed.view(1, -1, 1, 1).expand_as(added), atol=1e-5)


def test_bad_features(predictor: Predictor, photo: np.ndarray) -> None:
    good = predictor.get_im_features(predictor.preprocess([photo]))
    several = predictor.get_im_features(predictor.preprocess([photo, photo]))
    sam2 = isinstance(good, dict)
    bad: list[Any] = [several, None, "features", torch.zeros(1, 16, 8), torch.zeros(1, 5, 8, 8)]
    if sam2:
        bad += [
            {"image_embed": good["image_embed"]},
            {**good, "high_res_feats": None},
            {**good, "high_res_feats": good["high_res_feats"][:1]},
            {**good, "high_res_feats": good["high_res_feats"][::-1]},
            {**good, "image_embed": torch.zeros(1, 5, 8, 8)},
            {**good, "image_embed": good["image_embed"] * torch.nan},
        ]
    else:
        bad += [good * torch.nan, good.long()]
    for features in bad:
        with pytest.raises(InputError):
            predictor.inference_features(features, (50, 83), points=[9, 9])
    for size in ((0, 83), (50,), (50.5, 83), "large"):
        with pytest.raises(InputError, match="src_shape"):
            predictor.inference_features(good, size, points=[9, 9])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"dst_shape.*\(128, 128\), got \(64, 64\)"):
        predictor.inference_features(good, (50, 83), (64, 64), points=[9, 9])
    with pytest.raises(PromptError):
        predictor.inference_features(good, (50, 83))


# Small regions


def test_small_regions() -> None:
    masks = np.zeros((4, 30, 30), bool)
    masks[0, 2:12, 2:12] = True
    masks[0, 5, 5] = False  # a hole
    masks[0, 25, 25] = True  # an island
    masks[1, 2:12, 2:12] = True  # the same, without either
    masks[2, 15:25, 15:25] = True
    given = torch.from_numpy(masks.copy())
    new, kept = Predictor.remove_small_regions(given, min_area=5)
    assert kept.tolist() == [1, 2, 3]  # of near copies the one that needed no change
    assert new.dtype == torch.bool
    assert torch.equal(new, given[[1, 2, 3]])
    assert np.array_equal(given.numpy(), masks)
    alone, kept = Predictor.remove_small_regions(given[:1], min_area=5)
    assert kept.tolist() == [0]
    assert torch.equal(alone[0], given[1])
    same, kept = Predictor.remove_small_regions(given[2:])
    assert torch.equal(same, given[2:])
    assert kept.tolist() == [0, 1]
    swapped, _ = Predictor.remove_small_regions(masks.astype(">f4"), min_area=5)
    assert torch.equal(swapped > 0, new)
    none, kept = Predictor.remove_small_regions(given[:0], min_area=5)
    assert (len(none), len(kept)) == (0, 0)
    floats, _ = Predictor.remove_small_regions(given.float(), 5)
    assert floats.dtype == torch.float32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"masks": np.zeros((30, 30), bool)}, r"masks: expected shape \(N, H, W\), got \(30, 30\)"),
        ({"masks": None}, "masks: expected a tensor"),
        ({"masks": "masks"}, "masks: expected a tensor"),
        ({"min_area": -3}, "min_area: expected pixels, 0 or more, got -3"),
        ({"min_area": 2.5}, "min_area: expected a whole number, got 2.5"),
        ({"nms_thresh": 2.0}, "nms_thresh: expected a number from 0 to 1, got 2.0"),
        ({"nms_thresh": float("nan")}, "nms_thresh"),
        ({"nms_thresh": None}, "nms_thresh"),
    ],
)
def test_bad_arguments_of_small_regions(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Predictor.remove_small_regions(**{"masks": np.zeros((0, 30, 30), bool), **given})
