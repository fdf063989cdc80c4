"""Objects shown in some images, found in others, with the memory of SAM 2 (2408.00714)."""

from samkit.memory_predictor.entries import Entry
from samkit.memory_predictor.predictor import MemoryPredictor

__all__ = ["Entry", "MemoryPredictor"]
