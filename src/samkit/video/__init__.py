"""Objects through a video, with memory (2408.00714)."""

from samkit.memory import Memory, MemoryBank
from samkit.video.concepts import ConceptTracking
from samkit.video.predictor import VideoPredictor

__all__ = ["ConceptTracking", "Memory", "MemoryBank", "VideoPredictor"]
