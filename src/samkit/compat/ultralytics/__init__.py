"""The Segment Anything interface of ultralytics, over samkit's core.

Change the import, keep the code; docs/coming-from-ultralytics.md has what differs, and what the
core offers instead. Written from the documented behaviour alone.
"""

from samkit.compat.ultralytics.dynamic import SAM2DynamicInteractivePredictor
from samkit.compat.ultralytics.model import SAM
from samkit.compat.ultralytics.predictor import Predictor, SAM2Predictor, SAM3Predictor
from samkit.compat.ultralytics.results import ResultBoxes, ResultMasks, Results
from samkit.compat.ultralytics.semantic import SAM3SemanticPredictor
from samkit.compat.ultralytics.semantic_video import SAM3VideoSemanticPredictor
from samkit.compat.ultralytics.settings import DEFAULT_CFG, Settings
from samkit.compat.ultralytics.video import SAM2VideoPredictor, SAM3VideoPredictor

__all__ = [
    "DEFAULT_CFG",
    "SAM",
    "Predictor",
    "ResultBoxes",
    "ResultMasks",
    "Results",
    "SAM2DynamicInteractivePredictor",
    "SAM2Predictor",
    "SAM2VideoPredictor",
    "SAM3Predictor",
    "SAM3SemanticPredictor",
    "SAM3VideoPredictor",
    "SAM3VideoSemanticPredictor",
    "Settings",
]
