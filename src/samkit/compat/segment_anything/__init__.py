"""The interface of Meta's package segment_anything (SAM), over samkit's core.

Change the import, keep the code; docs/coming-from-segment-anything.md has what differs, and what
the core offers instead.
"""

from samkit.compat.segment_anything.automatic_mask_generator import SamAutomaticMaskGenerator
from samkit.compat.segment_anything.build_sam import (
    build_sam,
    build_sam_vit_b,
    build_sam_vit_h,
    build_sam_vit_l,
    sam_model_registry,
)
from samkit.compat.segment_anything.predictor import SamPredictor

__all__ = [
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "sam_model_registry",
]
