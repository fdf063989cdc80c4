"""Everything mode under the original's names, and the removal of small regions."""

from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samkit.arguments import whole_number
from samkit.compat.ultralytics.arrays import tensor_of
from samkit.errors import InputError, shown
from samkit.geometry import mask_boxes
from samkit.image_predictor import ImagePredictor
from samkit.mask_generator import AutomaticMaskGenerator
from samkit.mask_generator.selection import non_maximum_suppression
from samkit.masks.regions import without_small_regions

__all__ = ["GenerateOptions", "remove_small_regions"]

_CORE_NAMES = {
    "crop_downscale_factor": "crop_n_points_downscale_factor",
    "points_stride": "points_per_side",
    "points_batch_size": "points_per_batch",
    "conf_thres": "pred_iou_thresh",
}
"""Options that have another name in `AutomaticMaskGenerator`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GenerateOptions:
    """Options of `Predictor.generate`.

    Attributes:
        crop_n_layers: layer n has 4^n crops of the image; 0: none.
        crop_overlap_ratio: overlap of the crops, as a fraction of the image's shorter side.
        crop_downscale_factor: each layer has so many times fewer points per side.
        point_grids: own points, one array (P, 2) from 0 to 1 of the crop for each layer.
        points_stride: points along each side of the grid.
        points_batch_size: points that are decoded at a time.
        conf_thres: masks with a predicted IoU of at most this are left out.
        stability_score_thresh: masks with a lower stability score are left out.
        stability_score_offset: shift of the mask threshold by which stability is measured.
        crop_nms_thresh: of masks of several crops whose boxes overlap more than this, one is kept.
    """

    crop_n_layers: int = 0
    crop_overlap_ratio: float = 512 / 1500
    crop_downscale_factor: int = 1
    point_grids: Any = None
    points_stride: int = 32
    points_batch_size: int = 64
    conf_thres: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 0.95
    crop_nms_thresh: float = 0.7

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> "GenerateOptions":
        """Options by name.

        Raises:
            InputError: there is no such option.
        """
        known = [field.name for field in fields(cls)]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise InputError(f"expected options of generate ({', '.join(known)}), got {unknown[0]}")
        return cls(**options)

    def generator(self, predictor: ImagePredictor, iou: float) -> AutomaticMaskGenerator:
        """A mask generator with these options.

        Args:
            predictor: of the network.
            iou: of masks of one crop whose boxes overlap more than this, one is kept.

        Raises:
            InputError: a value is out of range.
        """
        options = {
            _CORE_NAMES.get(field.name, field.name): getattr(self, field.name)
            for field in fields(self)
        }
        if self.point_grids is not None:
            options["points_per_side"] = None
        try:
            return AutomaticMaskGenerator(predictor, box_nms_thresh=iou, **options)
        except InputError as error:
            text = str(error)
            for own, core in _CORE_NAMES.items():
                text = text.replace(core, own)
            raise InputError(text) from error


def remove_small_regions(
    masks: Any, min_area: int = 0, nms_thresh: float = 0.7
) -> tuple[Tensor, Tensor]:
    """Fill holes and remove separate parts smaller than `min_area`, then remove near copies.

    Args:
        masks: (N, H, W).
        min_area: in pixels.
        nms_thresh: of masks whose boxes overlap more than this one is kept, preferably one that
            needed no change.

    Returns:
        The M remaining masks (M, H, W), of the type given, and their indices (M,), in order.

    Raises:
        InputError: another shape, or a value out of range.
    """
    given = tensor_of(masks, "masks")
    if given.ndim != 3:
        raise InputError(f"masks: expected shape (N, H, W), got {tuple(given.shape)}")
    min_area = whole_number("min_area", min_area)
    if min_area < 0:
        raise InputError(f"min_area: expected pixels, 0 or more, got {min_area}")
    if not isinstance(nms_thresh, Real) or not 0 <= nms_thresh <= 1:
        raise InputError(f"nms_thresh: expected a number from 0 to 1, got {shown(nms_thresh)}")
    if not len(given):
        return given.clone(), torch.zeros(0, dtype=torch.int64, device="cpu")
    cleaned = [without_small_regions(one, min_area) for one in (given > 0).cpu().numpy()]
    unchanged = np.array([float(not changed) for _, changed in cleaned])
    new = np.stack([one for one, _ in cleaned])
    keep = np.sort(non_maximum_suppression(mask_boxes(new), unchanged, nms_thresh))
    return torch.from_numpy(new[keep]).to(given), torch.from_numpy(keep)
