import contextlib
import io
import warnings

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from samkit.evaluation import AnnotatedImage, evaluate_proposals
from samkit.masks import Masks
from samkit.rle import encode

SIZE = (48, 64)


def discs(rng, count, noise=0.0):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    centres = rng.uniform(8, 40, (count, 2))
    radii = rng.uniform(3, 12, count)
    masks = [np.hypot(y - cy, x - cx) < r for (cy, cx), r in zip(centres, radii, strict=True)]
    return np.stack(masks), centres, radii


def scene(seed, proposals=150):
    """An image with true discs, and discs near them and elsewhere as proposals."""
    rng = np.random.default_rng(seed)
    truth, centres, radii = discs(rng, 5)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    masks = []
    for _ in range(proposals):
        i = rng.integers(5)
        cy, cx = centres[i] + rng.normal(0, 3, 2)
        masks.append(np.hypot(y - cy, x - cx) < max(1.0, radii[i] + rng.normal(0, 2)))
    item = AnnotatedImage(
        name=str(seed),
        image=np.full((*SIZE, 3), seed, np.uint8),
        masks=truth,
        ignore=np.zeros(SIZE, bool),
    )
    return item, Masks(np.stack(masks), rng.permutation(proposals) / proposals)


def coco_average_recall(scenes, limit):
    """COCO's own evaluation code, without categories."""
    truth = {"images": [], "annotations": [], "categories": [{"id": 1}]}
    found = []
    for number, (item, proposals) in enumerate(scenes, 1):
        truth["images"].append({"id": number, "height": SIZE[0], "width": SIZE[1]})
        for mask in item.masks:
            run = {"size": list(SIZE), "counts": encode([mask])[0].decode()}
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "segmentation": run,
                    "area": int(mask.sum()),
                    "bbox": [0, 0, 1, 1],
                    "iscrowd": 0,
                }
            )
        for mask, score in zip(proposals.masks, proposals.scores, strict=True):
            run = {"size": list(SIZE), "counts": encode([mask])[0]}
            found.append(
                {
                    "image_id": number,
                    "category_id": 1,
                    "segmentation": run,
                    "score": float(score),
                    "area": int(coco_mask.area(run)),
                    "bbox": [0, 0, 1, 1],
                }
            )
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pycocotools uses what numpy has deprecated
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        results = COCO()
        results.dataset = {**truth, "annotations": [{**f, "id": i} for i, f in enumerate(found, 1)]}
        results.createIndex()
        judge = COCOeval(reference, results, "segm")
        judge.params.useCats = 0
        judge.params.maxDets = [1, 10, limit]
        judge.evaluate()
        judge.accumulate()
    return judge.eval["recall"][:, 0, 0, -1].mean()


def test_average_recall_agrees_with_pycocotools():
    scenes = [scene(seed) for seed in range(4)]
    answers = {item.image[0, 0, 0]: proposals for item, proposals in scenes}
    report = evaluate_proposals(lambda im: answers[im[0, 0, 0]], [item for item, _ in scenes])
    assert report.average_recall_100 == pytest.approx(coco_average_recall(scenes, 100))
    assert report.average_recall_1000 == pytest.approx(coco_average_recall(scenes, 1000))
    assert report.average_recall_100 < report.average_recall_1000
    assert report.objects == 20
    assert report.proposals_per_image == 150


def test_recall_counts_what_any_proposal_meets():
    item, _ = scene(0)
    half = item.masks.copy()
    half[:, :, ::3] = False  # about two thirds of each disc
    report = evaluate_proposals(lambda image: Masks(half, np.ones(5)), [item])
    assert report.recall_50 == 1
    assert report.recall_75 == 0
    whole = evaluate_proposals(lambda image: Masks(item.masks, np.ones(5)), [item])
    assert whole.recall_90 == whole.average_recall_100 == 1


def test_no_proposals_and_no_objects():
    item, _ = scene(0)
    nothing = evaluate_proposals(lambda image: Masks.empty(SIZE), [item])
    assert nothing.recall_50 == nothing.average_recall_1000 == 0
    assert evaluate_proposals(lambda image: Masks.empty(SIZE), [item], min_area=1).objects == 0
    assert evaluate_proposals(lambda image: Masks.empty(SIZE), []).objects == 0


def test_several_annotations_of_one_image_are_asked_about_once():
    item, proposals = scene(0)
    other, _ = scene(1)
    asked = []

    def generate(image):
        asked.append(int(image[0, 0, 0]))
        return proposals

    report = evaluate_proposals(generate, [item, item, other])
    assert asked == [0, 1]
    assert report.objects == 15
