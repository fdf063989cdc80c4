"""The interface of Meta's package sam2 (SAM 2 and 2.1), over samkit's core, in modules of the same
names.

Change the import, keep the code; docs/coming-from-sam2.md has what differs, and what the
core offers instead.
"""

from samkit.compat.sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from samkit.compat.sam2.build_sam import (
    build_sam2,
    build_sam2_hf,
    build_sam2_video_predictor,
    build_sam2_video_predictor_hf,
)
from samkit.compat.sam2.sam2_image_predictor import SAM2ImagePredictor
from samkit.compat.sam2.sam2_video_predictor import InferenceState, SAM2VideoPredictor

__all__ = [
    "InferenceState",
    "SAM2AutomaticMaskGenerator",
    "SAM2ImagePredictor",
    "SAM2VideoPredictor",
    "build_sam2",
    "build_sam2_hf",
    "build_sam2_video_predictor",
    "build_sam2_video_predictor_hf",
]
