"""Objects that words find in a video, and track through it (SAM 3, 2511.16719)."""

from samkit.video.concepts.settings import ConceptTracking

__all__ = ["ConceptTracking"]
