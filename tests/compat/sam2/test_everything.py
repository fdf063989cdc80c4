"""All masks of an image, as dicts."""

from typing import Any

import numpy as np
import pytest

from samkit import AutomaticMaskGenerator, ImagePredictor
from samkit.compat.sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from samkit.errors import InputError
from samkit.nn import Network

OPTIONS: dict[str, Any] = {
    "points_per_side": 3,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 0.9,
}


@pytest.mark.parametrize(
    "more", [{}, {"use_m2m": True, "mask_threshold": 0.3}, {"multimask_output": False}]
)
def test_the_masks_are_samkits(
    network: Network, core: ImagePredictor, photo: np.ndarray, more: dict[str, Any]
) -> None:
    found = SAM2AutomaticMaskGenerator(network, **OPTIONS, **more).generate(photo)
    expected = AutomaticMaskGenerator(core, **OPTIONS, **more)(photo)
    assert len(found) == len(expected) > 0
    for record, one in zip(found, expected, strict=True):
        assert np.array_equal(record["segmentation"], one.masks[0])
        assert record["predicted_iou"] == one.scores[0]
        assert record["point_coords"] == one.points.tolist()


def test_wrong_options(networks: dict[str, Network]) -> None:
    for options in ({"output_mode": None}, {"use_m2m": "no"}, {"mask_threshold": "a"}):
        with pytest.raises(InputError, match=next(iter(options))):
            SAM2AutomaticMaskGenerator(networks["sam2"], **options)
