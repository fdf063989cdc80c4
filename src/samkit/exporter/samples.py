"""The photograph and the clip with which networks are compared and timed."""

from pathlib import Path

__all__ = ["CLIP", "PHOTOGRAPH"]


def _sample(name: str) -> Path:
    """As the installed package has it, or the examples of a checkout."""
    package = Path(__file__).parent
    places = package / "samples" / name, package.parents[2] / "examples" / name
    return next((place for place in places if place.is_file()), places[0])


PHOTOGRAPH, CLIP = _sample("coffee.jpg"), _sample("coffee.mp4")
