"""Masks of everything mode as Meta's generators give them: a dict for each."""

from typing import Any

from samkit import rle
from samkit.errors import InputError, shown
from samkit.masks import Masks

__all__ = ["OUTPUT_MODES", "check_output_mode", "records"]

OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")


def check_output_mode(mode: object) -> str:
    """One of `OUTPUT_MODES`.

    Raises:
        InputError: anything else.
    """
    if not isinstance(mode, str) or mode not in OUTPUT_MODES:
        raise InputError(f"output_mode: expected {', '.join(OUTPUT_MODES)}, got {shown(mode)}")
    return mode


def records(masks: Masks, output_mode: str) -> list[dict[str, Any]]:
    """A dict for each mask of everything mode, in their order.

    Returns:
        ``segmentation`` (an array (H, W) bool, or a COCO RLE of ``size`` [H, W] and ``counts``, a
        list of run lengths or a compressed text), ``area`` in pixels, ``bbox`` [x, y, width,
        height], ``predicted_iou``, ``point_coords`` [[x, y]], ``stability_score``, and ``crop_box``
        [x, y, width, height], the part of the image in which the mask was found.
    """
    assert masks.points is not None
    assert masks.stability is not None
    assert masks.crop_boxes is not None
    return [
        {
            "segmentation": segmentation,
            "area": area,
            "bbox": _xywh(box),
            "predicted_iou": score,
            "point_coords": [point],
            "stability_score": stability,
            "crop_box": _xywh(crop),
        }
        for segmentation, area, box, score, point, stability, crop in zip(
            _segmentations(masks, output_mode),
            masks.areas.tolist(),
            masks.boxes.tolist(),
            masks.scores.tolist(),
            masks.points.tolist(),
            masks.stability.tolist(),
            masks.crop_boxes.tolist(),
            strict=True,
        )
    ]


def _segmentations(masks: Masks, output_mode: str) -> list[Any]:
    if output_mode == "binary_mask":
        return [one.masks[0].copy() for one in masks]
    encoded = masks.to_rle()
    if output_mode == "coco_rle":
        return encoded
    return [{"size": one["size"], "counts": rle.run_lengths(one["counts"])} for one in encoded]


def _xywh(box: list[float]) -> list[int]:
    x0, y0, x1, y1 = map(int, box)
    return [x0, y0, x1 - x0, y1 - y0]
