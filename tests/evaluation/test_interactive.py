import json

import numpy as np
import pytest

from samkit.errors import InputError
from samkit.evaluation import (
    AnnotatedImage,
    contact_sheet,
    evaluate_interactive,
    protocol_names,
)
from samkit.masks import Masks


class Oracle:
    """Fills boxes; of the disc that a click hits it takes a strip, one wider with each click."""

    def __init__(self, masks):
        self.truth = masks
        self.priors = []

    def embed(self, image):
        return image

    def predict(self, image, prompts, *, candidates=1, prior=None):
        self.priors.append(None if prior is None else len(prior))
        masks, scores = [], []
        for prompt in prompts:
            if prompt.box_xyxy is not None:
                mask = np.zeros(image.shape[:2], bool)
                x0, y0, x1, y1 = prompt.box_xyxy.round().astype(int).clip(0)
                mask[y0:y1, x0:x1] = True
                masks.append(mask)
                scores.append(1.0)
                continue
            x, y = np.floor(prompt.point_coords[0]).astype(int)
            truth = self.truth[self.truth[:, y, x]][0]
            mask = truth.copy()
            mask[:, x + 2 * len(prompt.point_coords) :] = False
            if candidates == 1:
                masks.append(mask)
                scores.append(0.9)
            else:
                masks += [mask, truth, np.zeros_like(mask)]
                scores += [0.8, 0.5, 0.1]
        return Masks(
            np.stack(masks),
            np.array(scores, np.float32),
            prompt_index=np.repeat(np.arange(len(prompts)), len(masks) // len(prompts)),
        )


@pytest.fixture
def discs():
    y, x = np.mgrid[:40, :60]
    masks = np.stack([np.hypot(x - cx, y - 20) < r for cx, r in ((15, 12), (40, 8), (57, 1))])
    return AnnotatedImage(
        name="discs",
        image=np.zeros((40, 60, 3), np.uint8),
        masks=masks,
        ignore=np.zeros((40, 60), bool),
    )


def test_measures(discs):
    seen = []
    oracle = Oracle(discs.masks)
    report = evaluate_interactive(
        oracle, [discs], on_image=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 1)]
    assert [item.index for item in report.objects] == [0, 1]  # the third is too small
    means = report.means()
    assert list(means)[:4] == ["box", "jittered box", "1 click", "3 clicks"]
    assert means["box"].iou == pytest.approx(np.pi / 4, abs=0.1)
    assert means["jittered box"].iou < means["box"].iou
    assert means["box"].predicted_iou == 1
    assert means["box"].calibration_error == pytest.approx(1 - means["box"].iou)
    clicks = [means[name].iou for name in ("1 click", "3 clicks", "5 clicks", "8 clicks")]
    assert clicks == sorted(clicks)
    assert clicks[0] < 0.8
    assert clicks[-1] == 1
    assert means["1 click, best-scored of 3"].iou == pytest.approx(clicks[0])
    assert means["1 click, best of 3"].iou == 1
    assert means["8 clicks"].boundary_f == 1
    # Each click after the first is given the mask before it.
    assert oracle.priors == [None, None, *[None, *[2] * 7] * 2]


@pytest.mark.parametrize("clicks", [(), (1,), (5, 2, 2)])
def test_the_names_of_protocols_are_known_before(discs, clicks):
    report = evaluate_interactive(Oracle(discs.masks), [discs], clicks=clicks)
    assert protocol_names(clicks) == list(report.means())
    assert len(protocol_names(clicks)) == 2 + 3 * len(set(clicks))


def test_reports_are_json_and_have_worst_cases(discs):
    report = evaluate_interactive(Oracle(discs.masks), [discs], clicks=(1,))
    content = json.loads(json.dumps(report.to_dict()))
    assert content["objects"] == 2
    assert len(content["per_object"][0]["measurements"]) == 5
    worst = report.worst("1 click", 1)
    assert len(worst) == 1
    ious = [{m.protocol: m.iou for m in item.measurements} for item in report.objects]
    assert worst[0][1].iou == min(iou["1 click"] for iou in ious)
    with pytest.raises(InputError, match="expected a protocol out of box, jittered box"):
        report.worst("nonsense", 1)


def test_the_contact_sheet_shows_truth_and_prediction(discs):
    report = evaluate_interactive(Oracle(discs.masks), [discs], clicks=())
    sheet = contact_sheet(report.worst("box", 9), [discs])
    assert sheet.shape == (258, 480, 3)
    colours = {tuple(pixel) for pixel in sheet.reshape(-1, 3).tolist()}
    assert {(0, 200, 83), (255, 109, 0)} <= colours
    with pytest.raises(InputError, match="at least one"):
        contact_sheet([], [discs])


def test_the_same_seed_moves_boxes_the_same_way(discs):
    def jittered(seed):
        report = evaluate_interactive(Oracle(discs.masks), [discs], clicks=(), seed=seed)
        return report.means()["jittered box"].iou

    assert jittered(1) == jittered(1) != jittered(2)


def test_small_objects_can_be_asked_for(discs):
    report = evaluate_interactive(Oracle(discs.masks), [discs], min_area=0, clicks=())
    assert len(report.objects) == 3


def test_nothing_to_measure(discs):
    report = evaluate_interactive(Oracle(discs.masks), [discs], min_area=1)
    assert report.means() == {}
    assert report.worst("box", 3) == []


def test_numbers_of_clicks_start_at_1(discs):
    with pytest.raises(InputError, match="from 1 on"):
        evaluate_interactive(Oracle(discs.masks), [discs], clicks=(0, 3))
