"""Promptable segmentation of images and video.

Names that need torch, numpy or other packages are imported on first use, so that ``import samkit``
is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from samkit.errors import (
    CheckpointError,
    CheckpointKeysError,
    DownloadError,
    ExportError,
    ImageError,
    InputError,
    MissingDependencyError,
    PromptError,
    SamkitError,
    UnknownModelError,
    UnsafeCheckpointError,
)

__version__ = "0.1.0"

__all__ = [
    "AutomaticMaskGenerator",
    "CheckpointError",
    "CheckpointKeysError",
    "Concept",
    "ConceptTracking",
    "DownloadError",
    "ExportError",
    "ImageEmbedding",
    "ImageError",
    "ImagePredictor",
    "InputError",
    "Masks",
    "MemoryPredictor",
    "MissingDependencyError",
    "Prompt",
    "PromptError",
    "SamkitError",
    "UnknownModelError",
    "UnsafeCheckpointError",
    "VideoPredictor",
    "__version__",
    "export",
    "load",
    "read_image",
    "set_limits",
]

_HOME = {
    "AutomaticMaskGenerator": "mask_generator",
    "Concept": "prompts",
    "ConceptTracking": "video",
    "ImageEmbedding": "image_predictor",
    "ImagePredictor": "image_predictor",
    "Masks": "masks",
    "MemoryPredictor": "memory_predictor",
    "Prompt": "prompts",
    "VideoPredictor": "video",
    "export": "exporter",
    "load": "image_predictor",
    "read_image": "media",
    "set_limits": "limits",
}
"""Name -> the module of samkit that defines it."""

if TYPE_CHECKING:
    from samkit.exporter import export
    from samkit.image_predictor import ImageEmbedding, ImagePredictor, load
    from samkit.limits import set_limits
    from samkit.mask_generator import AutomaticMaskGenerator
    from samkit.masks import Masks
    from samkit.media import read_image
    from samkit.memory_predictor import MemoryPredictor
    from samkit.prompts import Concept, Prompt
    from samkit.video import ConceptTracking, VideoPredictor


def __getattr__(name: str) -> object:
    """Import a name of `_HOME` on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
