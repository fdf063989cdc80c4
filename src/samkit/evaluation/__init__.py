"""Metrics and protocols: how good masks are, and on which data."""

from samkit.evaluation.clicks import farthest_point, next_click
from samkit.evaluation.datasets import AnnotatedImage, Dataset, open_dataset
from samkit.evaluation.interactive import InteractiveReport, ObjectResult, evaluate_interactive
from samkit.evaluation.metrics import bounding_box, mask_iou

__all__ = [
    "AnnotatedImage",
    "Dataset",
    "InteractiveReport",
    "ObjectResult",
    "bounding_box",
    "evaluate_interactive",
    "farthest_point",
    "mask_iou",
    "next_click",
    "open_dataset",
]
