"""The Segment Anything interface of tfimm: numpy in, numpy out, channels last, PyTorch inside.

Change the import, keep the code; docs/coming-from-tfimm.md has what differs, and what the core
offers instead.
"""

from samkit.compat.tfimm.config import SegmentAnythingModelConfig
from samkit.compat.tfimm.factory import create_model, create_preprocessing, list_models
from samkit.compat.tfimm.model import Prediction, SegmentAnythingModel
from samkit.compat.tfimm.predictor import SAMPredictor
from samkit.compat.tfimm.resizer import ImageResizer

__all__ = [
    "ImageResizer",
    "Prediction",
    "SAMPredictor",
    "SegmentAnythingModel",
    "SegmentAnythingModelConfig",
    "create_model",
    "create_preprocessing",
    "list_models",
]
