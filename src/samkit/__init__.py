"""Promptable segmentation of images and video.

Everything public is listed in ``__all__`` and imported on first use, so that ``import samkit``
is quick: torch, numpy and the rest are loaded by the first name that needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "AutomaticMaskGenerator",
    "CheckpointError",
    "CheckpointKeysError",
    "DownloadError",
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
    "load",
    "read_image",
]

_HOME = {
    "AutomaticMaskGenerator": "mask_generator",
    "CheckpointError": "errors",
    "CheckpointKeysError": "errors",
    "DownloadError": "errors",
    "ImageEmbedding": "image_predictor",
    "ImageError": "errors",
    "ImagePredictor": "image_predictor",
    "InputError": "errors",
    "Masks": "masks",
    "MemoryPredictor": "memory_predictor",
    "MissingDependencyError": "errors",
    "Prompt": "prompts",
    "PromptError": "errors",
    "SamkitError": "errors",
    "UnknownModelError": "errors",
    "UnsafeCheckpointError": "errors",
    "VideoPredictor": "video",
    "load": "image_predictor",
    "read_image": "media",
}
"""Public name -> the module of samkit that defines it."""

if TYPE_CHECKING:
    from samkit.errors import (
        CheckpointError,
        CheckpointKeysError,
        DownloadError,
        ImageError,
        InputError,
        MissingDependencyError,
        PromptError,
        SamkitError,
        UnknownModelError,
        UnsafeCheckpointError,
    )
    from samkit.image_predictor import ImageEmbedding, ImagePredictor, load
    from samkit.mask_generator import AutomaticMaskGenerator
    from samkit.masks import Masks
    from samkit.media import read_image
    from samkit.memory_predictor import MemoryPredictor
    from samkit.prompts import Prompt
    from samkit.video import VideoPredictor


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
