"""All masks of an image, as dicts."""

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from samkit import AutomaticMaskGenerator, ImagePredictor
from samkit.compat.segment_anything import SamAutomaticMaskGenerator
from samkit.errors import ImageError, InputError
from samkit.nn import Network

OPTIONS: dict[str, Any] = {
    "points_per_side": 3,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 0.9,
    "crop_n_layers": 1,
}


def test_the_masks_are_samkits(network: Network, core: ImagePredictor, photo: np.ndarray) -> None:
    found = SamAutomaticMaskGenerator(network, **OPTIONS).generate(photo)
    expected = AutomaticMaskGenerator(core, **OPTIONS)(photo)
    assert len(found) == len(expected)
    assert len(found) > 0
    for record, one in zip(found, expected, strict=True):
        assert record["segmentation"].dtype == np.bool_
        assert np.array_equal(record["segmentation"], one.masks[0])
        assert record["area"] == one.areas[0] == record["segmentation"].sum()
        x0, y0, x1, y1 = one.boxes[0]
        assert record["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert record["predicted_iou"] == one.scores[0]
        assert record["point_coords"] == one.points.tolist()
        assert record["stability_score"] == one.stability[0]
        x0, y0, x1, y1 = one.crop_boxes[0]
        assert record["crop_box"] == [x0, y0, x1 - x0, y1 - y0]
    assert {type(value) for value in found[0]["bbox"]} == {int}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_forms_of_masks(networks: dict[str, Network], photo: np.ndarray) -> None:
    forms = {
        mode: SamAutomaticMaskGenerator(networks["sam"], **OPTIONS, output_mode=mode)
        for mode in ("binary_mask", "uncompressed_rle", "coco_rle")
    }
    found = {mode: generator.generate(photo) for mode, generator in forms.items()}
    for plain, runs, packed in zip(*found.values(), strict=True):
        mask = plain.pop("segmentation")
        packed_rle, runs_rle = packed.pop("segmentation"), runs.pop("segmentation")
        assert plain == runs == packed
        assert np.array_equal(coco.decode(packed_rle), mask)
        assert runs_rle["size"] == [50, 83]
        assert sum(runs_rle["counts"]) == 50 * 83
        assert np.array_equal(coco.decode(coco.frPyObjects(runs_rle, 50, 83)), mask)


def test_no_masks(networks: dict[str, Network], photo: np.ndarray) -> None:
    generator = SamAutomaticMaskGenerator(
        networks["pico"], points_per_side=2, pred_iou_thresh=1.0, stability_score_thresh=1.0
    )
    assert generator.generate(photo) == []


def test_own_points(networks: dict[str, Network], photo: np.ndarray) -> None:
    one = SamAutomaticMaskGenerator(
        networks["sam"],
        None,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
        point_grids=[np.array([[0.5, 0.5]])],
    )
    assert {tuple(r["point_coords"][0]) for r in one.generate(photo)} == {(41.5, 25.0)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_mode": "png"}, "output_mode: expected binary_mask"),
        ({"points_per_side": None}, "points_per_side or point_grids"),
        ({"point_grids": [np.zeros((1, 2))]}, "points_per_side or point_grids"),
        ({"pred_iou_thresh": 2}, "pred_iou_thresh"),
        ({"crop_n_layers": -1}, "crop_n_layers"),
    ],
)
def test_wrong_options(networks: dict[str, Network], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SamAutomaticMaskGenerator(networks["sam"], **options)


def test_not_an_image(networks: dict[str, Network]) -> None:
    with pytest.raises(ImageError):
        SamAutomaticMaskGenerator(networks["sam"]).generate(np.zeros((4, 5, 6, 7)))
