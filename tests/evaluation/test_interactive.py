import json

import numpy as np
import pytest

from samkit.evaluation import AnnotatedImage, evaluate_interactive
from samkit.masks import Masks


class Oracle:
    """Answers a box with the box and a click with the disc that it hits, in part or in whole."""

    def __init__(self, masks):
        self.truth = masks

    def embed(self, image):
        return image

    def predict(self, image, prompts, *, candidates=1):
        masks, scores = [], []
        for prompt in prompts:
            if prompt.box_xyxy is not None:
                mask = np.zeros(image.shape[:2], bool)
                x0, y0, x1, y1 = prompt.box_xyxy.astype(int)
                mask[y0:y1, x0:x1] = True
                masks.append(mask)
                scores.append(1.0)
                continue
            x, y = np.floor(prompt.point_coords[0]).astype(int)
            mask = self.truth[self.truth[:, y, x]][0]
            half = mask.copy()
            half[:, x:] = False
            if candidates == 1:
                masks.append(mask)
                scores.append(0.9)
            else:
                masks += [half, mask, np.zeros_like(mask)]
                scores += [0.8, 0.5, 0.1]
        count = len(masks)
        stacked = np.stack(masks)
        return Masks(
            masks=stacked,
            scores=np.array(scores, np.float32),
            prompt_index=np.repeat(np.arange(len(prompts)), count // len(prompts)),
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
    report = evaluate_interactive(
        Oracle(discs.masks), [discs], on_image=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 1)]
    assert [item.index for item in report.objects] == [0, 1]  # the third is too small
    means = report.means()
    assert means["box"] == pytest.approx(np.pi / 4, abs=0.1)
    assert means["click"] == 1
    assert means["click_scored"] == pytest.approx(0.5, abs=0.1)
    assert means["click_oracle"] == 1
    assert len(report.rows()) == len(means)
    assert json.loads(json.dumps(report.to_dict()))["objects"] == 2


def test_small_objects_can_be_asked_for(discs):
    assert len(evaluate_interactive(Oracle(discs.masks), [discs], min_area=0).objects) == 3


def test_nothing_to_measure(discs):
    report = evaluate_interactive(Oracle(discs.masks), [discs], min_area=1)
    assert report.means() == {}
    assert report.rows() == []
