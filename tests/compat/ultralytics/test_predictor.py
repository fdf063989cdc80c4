"""Calls on images with tiny random networks."""

import gc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from samkit import Prompt
from samkit.compat.ultralytics import Predictor, SAM2Predictor
from samkit.errors import ImageError, InputError, PromptError

LOOSE: dict[str, Any] = {"conf_thres": 0.0, "stability_score_thresh": 0.0, "points_stride": 3}


def test_as_the_core(predictor: Predictor, photo: np.ndarray) -> None:
    """The same masks, scores and order as samkit's own predictor."""
    (result,) = predictor(photo, bboxes=[[3, 4, 50, 40]], points=[[9, 9]], labels=[0])
    prompt = Prompt.box(3, 4, 50, 40) + Prompt.point(9, 9, label=0)
    masks = predictor.core.predict(photo[..., ::-1].copy(), prompt)
    assert np.array_equal(result.masks.data.numpy(), masks.masks)
    assert result.boxes.conf.tolist() == masks.scores.tolist()
    assert np.array_equal(result.orig_img, photo)
    three = predictor(photo, points=[[9, 9], [40, 30]], multimask_output=True)
    masks = predictor.core.predict(
        photo[..., ::-1].copy(), [Prompt.point(9, 9), Prompt.point(40, 30)], candidates=3
    )
    assert np.array_equal(three[0].masks.data.numpy(), masks.masks)  # type: ignore[index]
    assert three[0].boxes.cls.tolist() == [0, 1, 2, 3, 4, 5]  # type: ignore[index]


def test_everything_as_the_core(predictor: Predictor, photo: np.ndarray) -> None:
    from samkit import AutomaticMaskGenerator

    (result,) = predictor(photo, **LOOSE)
    generator = AutomaticMaskGenerator(
        predictor.core,
        points_per_side=3,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        stability_score_offset=0.95,
    )
    masks = generator(photo[..., ::-1].copy())
    assert len(result) == len(masks) > 0
    assert np.array_equal(result.masks.data.numpy(), masks.masks)
    assert result.boxes.conf.tolist() == masks.scores.tolist()


def test_options_of_generate_are_handed_on(sam: Predictor) -> None:
    from samkit.compat.ultralytics.everything import GenerateOptions

    grids = [np.array([[0.5, 0.5]]), np.array([[0.1, 0.9]])]
    config = (
        GenerateOptions(
            crop_n_layers=1,
            crop_overlap_ratio=0.2,
            crop_downscale_factor=2,
            point_grids=grids,
            points_batch_size=5,
            conf_thres=0.1,
            stability_score_thresh=0.3,
            stability_score_offset=0.4,
            crop_nms_thresh=0.6,
        )
        .generator(sam.core, 0.8)
        .config
    )
    assert config.crop_n_layers == 1
    assert config.crop_overlap_ratio == 0.2
    assert config.crop_n_points_downscale_factor == 2
    assert config.point_grids is grids
    assert config.points_per_batch == 5
    assert config.pred_iou_thresh == 0.1
    assert config.stability_score_thresh == 0.3
    assert config.stability_score_offset == 0.4
    assert config.crop_nms_thresh == 0.6
    assert config.box_nms_thresh == 0.8
    assert GenerateOptions(points_stride=7).generator(sam.core, 0.8).config.points_per_side == 7


def test_unknown_options_and_options_with_prompts(sam: Predictor, photo: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"options of generate .*got pointz_stride"):
        sam(photo, pointz_stride=3)
    with pytest.raises(InputError, match="no prompts with the options points_stride"):
        sam(photo, points=[9, 9], points_stride=3)
    with pytest.raises(InputError, match=r"^conf_thres: expected a number from 0 to 1, got 7"):
        sam(photo, conf_thres=7)


def test_stream_is_lazy(sam: Predictor, photo: np.ndarray) -> None:
    results = sam([photo, photo[::-1], photo], points=[9, 9], stream=True)
    assert iter(results) is results
    first = next(results)
    assert first.path == "image0.jpg"
    assert [one.path for one in results] == ["image1.jpg", "image2.jpg"]
    assert isinstance(sam(photo, points=[9, 9]), list)


def test_speed_is_measured(sam: Predictor, photo: np.ndarray) -> None:
    (result,) = sam(photo, points=[9, 9])
    assert set(result.speed) == {"preprocess", "inference", "postprocess"}
    assert all(value >= 0 for value in result.speed.values())


def test_set_image_from_a_file_and_from_bgr(
    predictor: Predictor, tmp_path: Path, photo: np.ndarray
) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    found = []
    for image in (str(tmp_path / "photo.png"), photo):
        predictor.set_image(image)
        found.append(predictor(points=[9, 9])[0].masks.data)  # type: ignore[index]
    assert torch.equal(found[0], found[1])
    predictor.set_image(photo[..., ::-1])
    other = predictor(points=[9, 9])[0]  # type: ignore[index]
    predictor.set_image(photo)
    same = predictor(points=[9, 9])[0]  # type: ignore[index]
    assert not np.array_equal(other.core.logits, same.core.logits)  # blue is not red


def test_a_source_counts_over_the_image_that_was_set(sam: Predictor, photo: np.ndarray) -> None:
    other = np.ascontiguousarray(photo[::-1])
    alone = sam(other, points=[9, 9])[0]  # type: ignore[index]
    sam.set_image(photo)
    kept = sam(points=[9, 9])[0]  # type: ignore[index]
    assert torch.equal(sam(other, points=[9, 9])[0].masks.data, alone.masks.data)  # type: ignore[index]
    assert torch.equal(sam(points=[9, 9])[0].masks.data, kept.masks.data)  # type: ignore[index]


def test_one_image_and_no_more(sam: Predictor, photo: np.ndarray, clip: Path) -> None:
    for several in ([photo, photo], clip, torch.zeros(2, 3, 8, 8)):
        with pytest.raises(InputError, match="exactly one"):
            sam.set_image(several)
    with pytest.raises(InputError, match="set_image or setup_source"):
        sam(points=[9, 9])
    sam.set_image(photo)
    sam.reset_image()
    with pytest.raises(InputError, match="set_image or setup_source"):
        sam(points=[9, 9])


def test_a_failed_set_image_keeps_the_one_before(sam: Predictor, photo: np.ndarray) -> None:
    sam.set_image(photo)
    with pytest.raises(ImageError):
        sam.set_image("missing.jpg")
    assert len(sam(points=[9, 9])[0]) == 1  # type: ignore[index]


def test_setup_source(sam: Predictor, photo: np.ndarray) -> None:
    sam.setup_source([photo, photo])
    assert len(sam(points=[9, 9])) == len(sam(points=[9, 9])) == 2  # type: ignore[arg-type]
    sam.setup_source(None)
    with pytest.raises(InputError):
        sam(points=[9, 9])
    with pytest.raises(ImageError):
        sam.setup_source("missing")


def test_pre_transform_keeps_the_aspect_or_stretches(
    sam: Predictor, sam2: SAM2Predictor, photo: np.ndarray
) -> None:
    (small,) = sam.pre_transform([photo])
    assert small.shape == (128, 128, 3)
    assert small.dtype == np.uint8
    assert (small[77:] == (104, 116, 124)).all()  # the mean, in BGR: 0 to the network
    enlarged = cv2.resize(photo, (128, 77), interpolation=cv2.INTER_LINEAR)
    assert np.abs(small[:77].astype(int) - enlarged).mean() < 2
    (stretched,) = sam2.pre_transform([photo])
    enlarged = cv2.resize(photo, (128, 128), interpolation=cv2.INTER_LINEAR)
    assert np.abs(stretched.astype(int) - enlarged).mean() < 2


def test_preprocess(predictor: Predictor, photo: np.ndarray) -> None:
    im = predictor.preprocess([photo, photo[:30]])
    assert im.shape == (2, 3, 128, 128)
    assert im is predictor.im
    (seen,) = predictor.pre_transform([photo])
    rgb = torch.from_numpy(seen[..., ::-1].copy()).permute(2, 0, 1).float()
    expected = (rgb - predictor.mean) / predictor.std
    assert (im[0] - expected).abs().max() < 0.02  # rounded to 8 bits
    assert torch.equal(predictor.preprocess(im), im)
    for bad in ([], photo, [photo[..., 0]], None):
        with pytest.raises(ImageError):
            predictor.preprocess(bad)


def test_inference_and_postprocess_as_a_call(predictor: Predictor, photo: np.ndarray) -> None:
    (called,) = predictor(photo, points=[[9, 9], [40, 30]])
    im = predictor.preprocess([photo])
    preds = predictor.inference(im, points=[[9, 9], [40, 30]])
    (result,) = predictor.postprocess(preds, im, [photo])
    assert torch.equal(result.masks.data, called.masks.data)
    assert torch.equal(result.boxes.data, called.boxes.data)
    assert np.array_equal(result.orig_img, photo)
    tensor = torch.from_numpy(photo[..., ::-1].copy()).permute(2, 0, 1)[None]
    (result,) = predictor.postprocess(preds, im, tensor)
    assert torch.equal(result.masks.data, called.masks.data)
    with pytest.raises(PromptError):
        predictor.prompt_inference(im)
    with pytest.raises(InputError, match="one image at a time"):
        predictor.postprocess(preds, im, [photo, photo])
    with pytest.raises(InputError, match=r"size \(50, 83\), got \(9, 9\)"):
        predictor.postprocess((torch.zeros(1, 9, 9, dtype=torch.bool), [1.0]), im, [photo])


def test_inference_on_the_image_that_was_set(sam: Predictor, photo: np.ndarray) -> None:
    sam.set_image(photo)
    assert sam.im is not None
    masks, _ = sam.inference(sam.im, points=[9, 9])
    assert np.array_equal(masks.numpy(), sam(points=[9, 9])[0].core.logits)  # type: ignore[index]


def test_a_tensor_of_other_origin_is_its_own_image(predictor: Predictor) -> None:
    im = torch.randn(1, 3, 128, 128)
    masks, _, _ = predictor.generate(im, **LOOSE)
    assert masks.shape[1:] == (128, 128)
    assert predictor.inference(im, points=[100, 100])[0].shape == (1, 32, 32)
    with pytest.raises(InputError, match="one image at a time, got 2"):
        predictor.inference(im.repeat(2, 1, 1, 1), points=[9, 9])
    with pytest.raises(ImageError, match=r"\(N, 3, H, W\)"):
        predictor.get_im_features(im[0])


def test_a_tensor_keeps_its_image(predictor: Predictor, photo: np.ndarray) -> None:
    """Coordinates of a preprocessed image stay its own, whatever was preprocessed since."""
    box, other = [3, 4, 50, 40], photo[:30, :70]
    im = predictor.preprocess([photo])
    expected, _ = predictor.inference(im, bboxes=box)
    predictor.preprocess([other])
    assert torch.equal(predictor.inference(im, bboxes=box)[0], expected)
    predictor(other, bboxes=box)
    assert torch.equal(predictor.inference(im, bboxes=box)[0], expected)
    assert torch.equal(predictor.inference(predictor.preprocess(im), bboxes=box)[0], expected)
    assert predictor.generate(im, **LOOSE)[0].shape[1:] == photo.shape[:2]
    settings = {"model": predictor.model, "device": "cpu", "verbose": False}
    again = Predictor(overrides=settings)
    assert torch.equal(again.inference(im, bboxes=box)[0], expected)
    half = Predictor(overrides={**settings, "half": True})
    assert half.generate(half.preprocess(im), **LOOSE)[0].shape[1:] == photo.shape[:2]


def test_one_of_several_preprocessed_images(predictor: Predictor, photo: np.ndarray) -> None:
    box, other = [3, 4, 50, 40], photo[:30, :70]
    expected = [
        predictor.inference(predictor.preprocess([one]), bboxes=box)[0] for one in (photo, other)
    ]
    batch = predictor.preprocess([photo, other])
    for one in (batch[:1], batch[0][None], next(iter(batch))[None]):
        assert torch.equal(predictor.inference(one, bboxes=box)[0], expected[0])
    last = batch[1:]
    del batch
    predictor.preprocess([photo])
    assert torch.equal(predictor.inference(last, bboxes=box)[0], expected[1])


def test_a_copy_is_not_taken_for_another_image(predictor: Predictor, photo: np.ndarray) -> None:
    im = predictor.preprocess([photo])
    for copy in (im.clone(), im.flip(3), im.transpose(2, 3), im[..., :64], torch.randn(im.shape)):
        with pytest.raises(InputError, match="expected a tensor of preprocess itself"):
            predictor.inference(copy, bboxes=[3, 4, 50, 40])
        with pytest.raises(InputError, match="expected a tensor of preprocess itself"):
            predictor.generate(copy, **LOOSE)


def test_images_are_forgotten_with_their_tensors(sam: Predictor, photo: np.ndarray) -> None:
    from samkit.compat.ultralytics.tensor_sources import _IMAGES

    gc.collect()
    before = len(_IMAGES)
    for _ in range(5):
        sam.preprocess([photo])
    gc.collect()
    assert len(_IMAGES) == before + 1  # of sam.im
    sam.reset_image()
    gc.collect()
    assert len(_IMAGES) == before


def test_labels_without_points(
    sam: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = "labels: expected points for them, got none"
    sam.set_image(photo)
    assert sam.im is not None
    monkeypatch.setattr(Predictor, "_everything", lambda *_: pytest.fail("everything mode"))
    for call in (
        lambda: sam(labels=[1]),
        lambda: sam(labels=[1], stream=True),
        lambda: sam.inference(sam.im, labels=[1]),
        lambda: sam(bboxes=[3, 4, 50, 40], labels=[0]),
        lambda: sam.set_prompts({"labels": [1]}),
    ):
        with pytest.raises(PromptError, match=message):
            call()
    sam.set_prompts({"points": [9, 9]})
    stored = sam(labels=[0])[0]  # type: ignore[index]
    given = sam(points=[9, 9], labels=[0])[0]  # type: ignore[index]
    assert np.array_equal(stored.core.logits, given.core.logits)


@pytest.mark.parametrize(
    ("preds", "message"),
    [
        (None, "preds: expected masks, scores and perhaps boxes, got NoneType"),
        ((torch.zeros(1, 32, 32),), "preds: expected .*, got tuple of 1"),
        (torch.zeros(2, 32, 32), "preds: .*got Tensor"),
        ((None, [1.0]), "masks: expected a tensor"),
        (
            (torch.zeros(32, 32), [1.0]),
            r"masks: .*\(N, H, W\), got torch.float32 of shape \(32, 32\)",
        ),
        ((torch.zeros(1, 32, 32, dtype=torch.int64), [1.0]), "masks: .*got torch.int64"),
        ((torch.full((1, 32, 32), torch.nan), [1.0]), "masks: expected finite"),
        ((torch.zeros(1, 32, 32), None), r"scores: .*shape \(1,\).*got object"),
        ((torch.zeros(1, 32, 32), [1.0, 2.0]), r"scores: .*shape \(1,\).*of shape \(2,\)"),
        ((torch.zeros(1, 32, 32), ["a"]), "scores"),
        ((torch.zeros(1, 32, 32), [float("nan")]), "scores"),
    ],
)
def test_postprocess_of_something_else(
    sam: Predictor, photo: np.ndarray, preds: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        sam.postprocess(preds, sam.preprocess([photo]), [photo])


def test_postprocess_of_arrays_and_without_images(sam: Predictor, photo: np.ndarray) -> None:
    im = sam.preprocess([photo])
    masks, scores = sam.inference(im, points=[9, 9])
    (expected,) = sam.postprocess((masks, scores), im, [photo])
    (result,) = sam.postprocess((masks.numpy(), scores.numpy()), im, [photo])
    assert torch.equal(result.masks.data, expected.masks.data)
    assert torch.equal(result.boxes.data, expected.boxes.data)
    bools = expected.masks.data.numpy()
    (result,) = sam.postprocess([bools, scores], im, [photo])
    assert torch.equal(result.masks.data, expected.masks.data)
    with pytest.raises(ImageError, match="im: expected a tensor"):
        sam.postprocess((masks, scores), None, [photo])  # type: ignore[arg-type]
    with pytest.raises(InputError):
        sam.postprocess((masks, scores), im, None)


def test_masks_refine(predictor: Predictor, photo: np.ndarray) -> None:
    predictor.set_image(photo)
    assert predictor.im is not None
    logits, _ = predictor.inference(predictor.im, points=[9, 9])
    click = predictor(points=[9, 9])[0]  # type: ignore[index]
    refined = predictor(points=[9, 9], masks=logits)[0]  # type: ignore[index]
    assert not np.array_equal(click.core.logits, refined.core.logits)
    alone = predictor(masks=[logits[0], click.masks.data[0]])[0]  # type: ignore[index]
    assert len(alone) == 2
