"""Networks that were exported, run by another engine than torch."""

from samkit.runtimes.engine import RUNTIMES, Engine, Runtime
from samkit.runtimes.folder import (
    LAYOUT_VERSION,
    MANIFEST,
    ExportedFolder,
    Weights,
    checksum,
    is_export,
    open_folder,
)
from samkit.runtimes.network import WEIGHTS, is_exported, load_exported, weights_between

__all__ = [
    "LAYOUT_VERSION",
    "MANIFEST",
    "RUNTIMES",
    "WEIGHTS",
    "Engine",
    "ExportedFolder",
    "Runtime",
    "Weights",
    "checksum",
    "is_export",
    "is_exported",
    "load_exported",
    "open_folder",
    "weights_between",
]
