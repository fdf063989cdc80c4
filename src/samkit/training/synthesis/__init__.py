"""Synthetic scenes and clips with exact masks."""

from samkit.training.synthesis.clips import Clip, make_clip
from samkit.training.synthesis.scenes import Scene, make_scene

__all__ = ["Clip", "Scene", "make_clip", "make_scene"]
