"""Prompts on the clip, and what was tracked."""

import warnings
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from samkit import Masks, Prompt

TIMES = [0, 40, 80, 200, 240, 1000, 1040, 1080]


BOX, CLICK = Prompt.box(5, 6, 25, 30), Prompt.point(40, 20) + Prompt.point(3, 4, label=0)
PROMPTS = [(1, 7, BOX), (3, 2, CLICK)]
OPTIONS = ("--box", "1:7:5,6,25,30", "--point", "3:2:40,20", "--point", "3:2:3,4,0")


def masks_of(path: Path) -> dict[int, Masks]:
    """Frame -> masks of a .json, read by pycocotools."""
    coco = COCO(str(path))
    found = {}
    for image in coco.loadImgs(coco.getImgIds()):
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        with warnings.catch_warnings():  # pycocotools with numpy 2
            warnings.simplefilter("ignore", DeprecationWarning)
            areas = [int(coco.annToMask(one).sum()) for one in annotations]
        assert areas == [one["area"] for one in annotations]
        found[image["frame"]] = Masks.from_rle(
            [one["segmentation"] for one in annotations],
            (image["height"], image["width"]),
            [one["score"] for one in annotations],
            object_ids=[one["object_id"] for one in annotations],
            presence=[one["presence"] for one in annotations],
        )
    return found


def check_same(found: dict[int, Masks], expected: dict[int, Masks]) -> None:
    assert list(found) == sorted(expected)
    for frame, masks in found.items():
        assert np.array_equal(masks.masks, expected[frame].masks), frame
        assert masks.object_ids.tolist() == expected[frame].object_ids.tolist()
        np.testing.assert_allclose(masks.scores, expected[frame].scores, rtol=1e-5)
        np.testing.assert_allclose(masks.presence, expected[frame].presence, rtol=1e-5)
