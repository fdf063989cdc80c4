"""Options of everything mode."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from samkit.arguments import switch
from samkit.errors import InputError, shown
from samkit.nn import Network

__all__ = ["PRESETS", "MaskGeneratorConfig"]

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "recall": {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 0.9},
    "disjoint": {"disjoint": True, "min_mask_region_area": 100},
}
"""Preset -> the options in which it differs. `recall` keeps every proposal that is no near copy of
another, for search by score; `disjoint` gives each pixel to the best mask there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskGeneratorConfig:
    """Options of `AutomaticMaskGenerator`, by the names that Meta's generators gave them.

    Attributes:
        points_per_side: points along each side of the grid of prompts.
        point_grids: own points instead, one array (P, 2) xy in 0..1 of the crop for each layer.
        points_per_batch: the most points that are decoded at a time; fewer where that is faster or
            needed to bound the memory.
        pred_iou_thresh: masks predicted to be no better than this are left out.
        stability_score_thresh: masks less stable than this are left out. Stability is the IoU of
            the mask cut `stability_score_offset` above and below `mask_threshold`.
        stability_score_offset: of the logits.
        mask_threshold: a pixel belongs to a mask where its logit is above this.
        box_nms_thresh: of masks of one crop whose boxes overlap by a larger IoU than this, the
            best-scored one is kept.
        crop_n_layers: layer n has 4^n crops of the image, each segmented on its own; 0: none.
        crop_nms_thresh: as `box_nms_thresh`, between crops; masks of smaller crops are kept.
        crop_overlap_ratio: overlap of the crops of layer 1, as a fraction of the image's shorter
            side; half of it in layer 2, and so on.
        crop_n_points_downscale_factor: each layer has so many times fewer points per side.
        min_mask_region_area: holes and separate parts smaller than this, in pixels, are removed.
        use_m2m: each mask is given to the network once more with its point, to be refined.
        multimask_output: three candidates for each point, or the single mask.
        disjoint: each pixel belongs to at most one mask, the best-scored.
    """

    points_per_side: int | None = 32
    point_grids: Sequence[npt.NDArray[np.float64]] | None = None
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    mask_threshold: float = 0.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0
    use_m2m: bool = False
    multimask_output: bool = True
    disjoint: bool = False

    @classmethod
    def for_network(
        cls, network: Network, preset: str = "default", **options: Any
    ) -> "MaskGeneratorConfig":
        """The options of a preset with the thresholds that suit a network, and with changes.

        Raises:
            InputError: an unknown preset or option, or a value that is out of range.
        """
        if not isinstance(preset, str) or preset not in PRESETS:
            raise InputError(f"preset: expected one of {', '.join(PRESETS)}, got {shown(preset)}")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(options) - known):
            raise InputError(f"unknown option {unknown[0]}: expected {', '.join(sorted(known))}")
        if options.get("point_grids") is not None:
            options.setdefault("points_per_side", None)
        iou, stability = network.config.quality_thresholds
        thresholds = {"pred_iou_thresh": iou, "stability_score_thresh": stability}
        values: dict[str, Any] = {**thresholds, **PRESETS[preset], **options}
        config = cls(**values)
        config.check()
        return config

    def check(self) -> None:
        """Raise InputError where a value is out of range."""
        if (self.points_per_side is None) == (self.point_grids is None):
            raise InputError("expected either points_per_side or point_grids")
        whole = {
            "points_per_side": (self.points_per_side, 1, 1024),
            "points_per_batch": (self.points_per_batch, 1, None),
            "crop_n_layers": (self.crop_n_layers, 0, 6),
            "crop_n_points_downscale_factor": (self.crop_n_points_downscale_factor, 1, None),
            "min_mask_region_area": (self.min_mask_region_area, 0, None),
        }
        for name, (count, low, high) in whole.items():
            if count is None and name == "points_per_side":
                continue
            if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
                raise InputError(f"{name}: expected a whole number, got {shown(count)}")
            if count < low or (high is not None and count > high):
                limits = f"from {low}" if high is None else f"from {low} to {high}"
                raise InputError(f"{name}: expected a number {limits}, got {shown(count)}")
        for name in ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh",
                     "crop_nms_thresh", "crop_overlap_ratio"):  # fmt: skip
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value <= 1:
                raise InputError(f"{name}: expected a number from 0 to 1, got {shown(value)}")
        for name in ("stability_score_offset", "mask_threshold"):
            value = getattr(self, name)
            if not _is_number(value) or (name == "stability_score_offset" and value < 0):
                raise InputError(f"{name}: expected a finite number, got {shown(value)}")
        for name in ("use_m2m", "multimask_output", "disjoint"):
            switch(name, getattr(self, name))
        if self.point_grids is not None:
            _check_grids(self.point_grids, self.crop_n_layers)

    def grid(self, layer: int) -> npt.NDArray[np.float64]:
        """Points (P, 2) xy in 0..1 of a crop of a layer, row by row."""
        if self.point_grids is not None:
            return np.asarray(self.point_grids[layer], np.float64).reshape(-1, 2)
        assert self.points_per_side is not None
        count = int(self.points_per_side / self.crop_n_points_downscale_factor**layer)
        line = (np.arange(count) + 0.5) / max(count, 1)
        return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


def _is_number(value: object) -> bool:
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _check_grids(grids: Any, layers: int) -> None:
    is_list = isinstance(grids, Sequence) and not isinstance(grids, str)
    count = len(grids) if is_list else type(grids).__name__
    if count != layers + 1:
        raise InputError(
            f"point_grids: expected a list of {layers + 1} arrays, one for each layer, got {count}"
        )
    for i, grid in enumerate(grids):
        try:
            array = np.asarray(grid)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise InputError(f"point_grids[{i}]: expected numbers (P, 2)") from error
        if array.dtype.kind not in "iuf":
            raise InputError(f"point_grids[{i}]: expected numbers (P, 2), got {array.dtype}")
        if array.ndim != 2 or array.shape[1] != 2:
            raise InputError(f"point_grids[{i}]: expected shape (P, 2), got {array.shape}")
        if not ((array >= 0) & (array <= 1)).all():  # NaN is neither
            raise InputError(f"point_grids[{i}]: expected values from 0 to 1 of the crop's size")
