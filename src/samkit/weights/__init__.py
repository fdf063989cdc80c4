"""Weights: named models, verified downloads, rename tables, strict loading and conversion.

Names that need torch are imported on first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from samkit.weights.download import cache_folder
from samkit.weights.registry import MODELS, RegisteredModel, find_model

__all__ = [
    "MODELS",
    "Layout",
    "RegisteredModel",
    "cache_folder",
    "convert",
    "find_model",
    "load_detector",
    "load_network",
    "save_network",
]

_HOME = {
    "Layout": "conversion",
    "convert": "conversion",
    "load_detector": "detector",
    "load_network": "loading",
    "save_network": "saving",
}
"""Name -> the module of samkit.weights that defines it."""

if TYPE_CHECKING:
    from samkit.weights.conversion import Layout, convert
    from samkit.weights.detector import load_detector
    from samkit.weights.loading import load_network
    from samkit.weights.saving import save_network


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
