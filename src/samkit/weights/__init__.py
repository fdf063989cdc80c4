"""Weights: named models, verified downloads, rename tables, strict loading and conversion.

What is public here is imported on first use (PEP 562): the registry needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = [
    "MODELS",
    "Layout",
    "RegisteredModel",
    "cache_folder",
    "convert",
    "find_model",
    "load_network",
    "save_network",
]

_HOME = {
    "MODELS": "registry",
    "Layout": "conversion",
    "RegisteredModel": "registry",
    "cache_folder": "download",
    "convert": "conversion",
    "find_model": "registry",
    "load_network": "loading",
    "save_network": "loading",
}
"""Public name -> the module of samkit.weights that defines it."""

if TYPE_CHECKING:
    from samkit.weights.conversion import Layout, convert
    from samkit.weights.download import cache_folder
    from samkit.weights.loading import load_network, save_network
    from samkit.weights.registry import MODELS, RegisteredModel, find_model


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
