"""Metrics and protocols: how good masks are, and on which data."""

from samkit.evaluation.boundary import boundary_f
from samkit.evaluation.clicks import farthest_point, next_click
from samkit.evaluation.contact_sheet import contact_sheet
from samkit.evaluation.datasets import AnnotatedImage, Dataset, open_dataset
from samkit.evaluation.interactive import (
    InteractiveReport,
    Measurement,
    ObjectResult,
    ProtocolMeans,
    evaluate_interactive,
    protocol_names,
)
from samkit.evaluation.metrics import bounding_box, mask_iou
from samkit.evaluation.proposals import ProposalReport, evaluate_proposals
from samkit.evaluation.sequences import AnnotatedFrame, AnnotatedVideo, open_sequences
from samkit.evaluation.video import (
    VideoReport,
    VideoScore,
    evaluate_video,
    score_sequence,
    tracking_by,
)

__all__ = [
    "AnnotatedFrame",
    "AnnotatedImage",
    "AnnotatedVideo",
    "Dataset",
    "InteractiveReport",
    "Measurement",
    "ObjectResult",
    "ProposalReport",
    "ProtocolMeans",
    "VideoReport",
    "VideoScore",
    "boundary_f",
    "bounding_box",
    "contact_sheet",
    "evaluate_interactive",
    "evaluate_proposals",
    "evaluate_video",
    "farthest_point",
    "mask_iou",
    "next_click",
    "open_dataset",
    "open_sequences",
    "protocol_names",
    "score_sequence",
    "tracking_by",
]
