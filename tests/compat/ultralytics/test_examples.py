"""The usual examples, as people write them, on real images and clips."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from samkit.compat.ultralytics import Predictor as SAMPredictor
from samkit.compat.ultralytics import (
    SAM2DynamicInteractivePredictor,
    SAM2Predictor,
    SAM2VideoPredictor,
)

ROOT = Path(__file__).parents[3]
COFFEE = ROOT / "examples" / "coffee.jpg"
SAMPLES = ROOT.parent / "shared" / "data" / "samples"
CUP = [172, 18, 424, 285]

needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"{SAMPLES} is not there")


@pytest.fixture(scope="module")
def pico() -> dict[str, Any]:
    return {
        "conf": 0.25,
        "task": "segment",
        "mode": "predict",
        "imgsz": 320,
        "model": "pico",
        "device": "cpu",
        "verbose": False,
    }


def cup() -> np.ndarray:
    """The cup without its handle, drawn by hand: the rim's ellipse and the body."""
    y, x = np.mgrid[:400, :600]
    rim = ((x - 291) / 118) ** 2 + ((y - 107) / 90) ** 2 <= 1
    body = ((x - 291) / 112) ** 2 + ((y - 185) / 100) ** 2 <= 1
    return rim | body


def iou(result: Any, i: int = 0) -> float:
    mask = result.masks.data[i].numpy()
    return float((mask & cup()).sum() / (mask | cup()).sum())


@pytest.mark.parametrize("cls", [SAMPredictor, SAM2Predictor])
def test_set_image_then_prompts(cls: type[SAMPredictor], pico: dict[str, Any]) -> None:
    predictor = cls(overrides=pico)
    predictor.set_image(str(COFFEE))  # with a file
    predictor.set_image(cv2.imread(str(COFFEE)))  # with an array
    (boxed,) = predictor(bboxes=CUP)
    assert iou(boxed) > 0.5
    (sure,) = predictor(bboxes=CUP, points=[290, 150], labels=[1])
    assert iou(sure) > 0.8
    (clicked,) = predictor(points=[290, 150], labels=[1])
    assert clicked.masks.data[0, 150, 290]
    (two,) = predictor(points=[[290, 150], [100, 300]], labels=[1, 1])
    assert torch.equal(two.masks.data[0], clicked.masks.data[0])
    (one,) = predictor(points=[[[290, 150], [100, 300]]], labels=[[1, 0]])
    assert len(one) == 1
    assert not one.masks.data[0, 300, 100]
    predictor.reset_image()


def test_blue_is_not_red(pico: dict[str, Any]) -> None:
    """A file and OpenCV's BGR array are the same picture; RGB in their place is another."""
    predictor = SAMPredictor(overrides=pico)
    image = cv2.imread(str(COFFEE))
    file, bgr = predictor(COFFEE, bboxes=CUP)[0], predictor(image, bboxes=CUP)[0]  # type: ignore[index]
    assert np.array_equal(bgr.orig_img, image)
    # Two JPEG decoders differ by a little.
    assert (file.masks.data == bgr.masks.data).float().mean() > 0.999
    rgb = predictor(image[..., ::-1], bboxes=CUP)[0]  # type: ignore[index]
    near = np.abs(bgr.core.logits - file.core.logits).mean()
    assert np.abs(bgr.core.logits - rgb.core.logits).mean() > 10 * near


def test_everything(pico: dict[str, Any]) -> None:
    predictor = SAMPredictor(overrides=pico)
    sure: dict[str, Any] = {"conf_thres": 0.4, "stability_score_thresh": 0.6}
    results = predictor(source=str(COFFEE), crop_n_layers=1, points_stride=4, **sure)
    (result,) = results
    assert len(result) > 5
    assert (result.boxes.conf > 0.4).all()
    masks, kept = SAMPredictor.remove_small_regions(result.masks.data, min_area=100)
    assert 0 < len(masks) == len(kept) <= len(result)
    assert (masks.sum((1, 2)) >= 1).all()


def test_prompts_for_a_folder(pico: dict[str, Any], tmp_path: Path) -> None:
    image = cv2.imread(str(COFFEE))
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cv2.imwrite(str(tmp_path / "b.png"), cv2.convertScaleAbs(image, alpha=0.8))
    predictor = SAMPredictor(overrides=pico)
    predictor.set_prompts({"bboxes": [CUP], "points": [[290, 150]], "labels": [1]})
    results = predictor(tmp_path, stream=True)
    found = {Path(result.path).name: iou(result) for result in results}
    assert set(found) == {"a.png", "b.png"}
    assert min(found.values()) > 0.7


def test_features_computed_earlier(pico: dict[str, Any]) -> None:
    """Encode once, prompt later in a copy of half the size."""
    encoder = SAM2Predictor(overrides=pico)
    encoder.setup_model()
    encoder.set_image(str(COFFEE))
    features = encoder.features
    prompting = SAM2Predictor(overrides=pico)
    masks, boxes = prompting.inference_features(
        features, src_shape=(400, 600), bboxes=[CUP], points=[[290, 150]]
    )
    truth = torch.from_numpy(cup())
    assert (masks[0] & truth).sum() / (masks[0] | truth).sum() > 0.8
    half, _ = prompting.inference_features(
        features,
        src_shape=(200, 300),
        bboxes=[[side / 2 for side in CUP]],
        points=[[145, 75]],
    )
    assert half.shape == (1, 200, 300)
    small = truth[::2, ::2]
    assert (half[0] & small).sum() / (half[0] | small).sum() > 0.8
    assert boxes.shape == (1, 6)


def test_what_people_do_with_results(pico: dict[str, Any], tmp_path: Path) -> None:
    predictor = SAMPredictor(overrides=pico)
    for r in predictor(str(COFFEE), bboxes=[CUP, [300, 240, 420, 330]]):
        for box in r.boxes:
            x1, y1, x2, y2 = box.xyxy[0].cpu().numpy()
            assert x1 < x2
            assert y1 < y2
            assert 0 < float(box.conf) <= 1
        for polygon in r.masks.xy:
            cv2.polylines(r.orig_img.copy(), [polygon.astype(np.int32)], True, (0, 255, 0))
        r.save(str(tmp_path / "out.jpg"))
        r.save_txt(tmp_path / "out.txt")
        assert [line[0] for line in (tmp_path / "out.txt").read_text().splitlines()] == ["0", "1"]
        assert len(r.summary()) == 2


def test_a_clip(tracker: SAM2VideoPredictor, clip: Path) -> None:
    """Stream; a second object; a correction; a second video after the first."""
    for result in tracker(source=str(clip), points=[20, 20], labels=[1], stream=True):
        if result.frame == 3:
            tracker.add_new_prompts(obj_id=1, points=[[50, 10]], labels=[1], frame_idx=3)
        if result.frame == 6:
            tracker.add_new_prompts(obj_id=0, points=[[5, 5]], labels=[0], frame_idx=6)
    assert result.boxes.cls.tolist() == [0, 1]
    second = tracker(source=str(clip), bboxes=[[5, 5, 30, 30]])
    assert [len(result) for result in second] == [1] * 12


@needs_samples
def test_a_real_clip(tracker: SAM2VideoPredictor) -> None:
    results = tracker(SAMPLES / "03_skateboarder.mp4", bboxes=[300, 100, 400, 300], stream=True)
    first, second = next(results), next(results)
    assert first.orig_img.shape == second.orig_img.shape
    assert (first.frame, second.frame) == (0, 1)
    assert not np.array_equal(first.orig_img, second.orig_img)


@needs_samples
def test_real_photographs(pico: dict[str, Any]) -> None:
    results = SAMPredictor(overrides=pico)(SAMPLES / "*.jpg", points=[300, 300])
    assert [Path(result.path).name for result in results] == [
        "dog.jpg",
        "groceries.jpg",
        "truck.jpg",
    ]
    assert all(result.masks.data.any() for result in results)


def test_the_same_objects_in_other_images(
    memory: SAM2DynamicInteractivePredictor, tmp_path: Path
) -> None:
    """Two images with an object each, queries, a correction."""
    image = cv2.imread(str(COFFEE))
    for name, part in {"one": image, "two": image[:, ::-1], "three": image[50:]}.items():
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), part)
    memory(source=tmp_path / "one.jpg", bboxes=[CUP], obj_ids=[1], update_memory=True)
    memory(
        source=tmp_path / "two.jpg", points=[[300, 280]], labels=[1], obj_ids=[2],
        update_memory=True,
    )  # fmt: skip
    (found,) = memory(source=tmp_path / "three.jpg")
    assert found.boxes.cls.tolist() == [1, 2]
    (corrected,) = memory(
        source=tmp_path / "three.jpg", points=[[290, 100]], labels=[1], obj_ids=[1],
        update_memory=True,
    )  # fmt: skip
    assert not np.array_equal(corrected.core.logits[0], found.core.logits[0])
    assert len(memory.memory_bank) == 3
