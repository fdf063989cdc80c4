"""All masks of an image."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from samkit.compat.records import check_output_mode, records
from samkit.compat.segment_anything.predictor import SamPredictor
from samkit.image_predictor import ImagePredictor
from samkit.mask_generator import AutomaticMaskGenerator
from samkit.nn import Network

__all__ = ["SamAutomaticMaskGenerator"]


class SamAutomaticMaskGenerator:
    """All masks of an image, from a grid of points (2304.02643, appendix B).

        generator = SamAutomaticMaskGenerator(sam)
        for record in generator.generate(image): ...

    The defaults suit SAM ViT-H. Other networks predict lower values: `pico` needs some
    ``pred_iou_thresh=0.4, stability_score_thresh=0.6``.

    Args:
        model: as for `SamPredictor`.
        output_mode: form of the masks: "binary_mask", "uncompressed_rle" or "coco_rle".
        points_per_side, points_per_batch, pred_iou_thresh, stability_score_thresh,
            stability_score_offset, box_nms_thresh, crop_n_layers, crop_nms_thresh,
            crop_overlap_ratio, crop_n_points_downscale_factor, point_grids, min_mask_region_area:
            as in `samkit.mask_generator.MaskGeneratorConfig`; exactly one of points_per_side and
            point_grids is given, the other is None.

    Attributes:
        predictor: a `SamPredictor` of the model.
        core: samkit's own generator, which does the work.

    Raises:
        InputError: no model, or a value that is out of range.
    """

    def __init__(
        self,
        model: Network | ImagePredictor,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[NDArray[Any]] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
    ) -> None:
        self.output_mode = check_output_mode(output_mode)
        self.predictor = SamPredictor(model)
        self.core = AutomaticMaskGenerator(
            self.predictor.core,
            points_per_side=points_per_side,
            points_per_batch=points_per_batch,
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            stability_score_offset=stability_score_offset,
            box_nms_thresh=box_nms_thresh,
            crop_n_layers=crop_n_layers,
            crop_nms_thresh=crop_nms_thresh,
            crop_overlap_ratio=crop_overlap_ratio,
            crop_n_points_downscale_factor=crop_n_points_downscale_factor,
            point_grids=point_grids,
            min_mask_region_area=min_mask_region_area,
        )

    def generate(self, image: Any) -> list[dict[str, Any]]:
        """A dict for each mask, see `samkit.compat.records.records`.

        Args:
            image: an array (H, W, 3) uint8 RGB, or whatever `samkit.read_image` takes.

        Raises:
            ImageError: not an image.
        """
        return records(self.core(image), self.output_mode)
