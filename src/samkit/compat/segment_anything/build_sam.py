"""Networks by name.

    sam = sam_model_registry["vit_b"](checkpoint="sam_vit_b_01ec64.pth")
    sam.to("cuda")

Each function takes a checkpoint: a file, or anything else that `samkit.load` takes. Without one the
network has random weights, but for those under samkit's own names, which bring theirs. They raise
what `samkit.load` raises, and InputError for a checkpoint of another network.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from samkit.compat.networks import with_weights
from samkit.errors import UnknownModelError, shown
from samkit.nn import Network
from samkit.weights import MODELS

__all__ = [
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "sam_model_registry",
]


def build_sam_vit_h(checkpoint: str | Path | None = None) -> Network:
    """SAM ViT-H on the CPU, in evaluation mode."""
    return with_weights("sam-vit-h", checkpoint)


def build_sam_vit_l(checkpoint: str | Path | None = None) -> Network:
    """SAM ViT-L on the CPU, in evaluation mode."""
    return with_weights("sam-vit-l", checkpoint)


def build_sam_vit_b(checkpoint: str | Path | None = None) -> Network:
    """SAM ViT-B on the CPU, in evaluation mode."""
    return with_weights("sam-vit-b", checkpoint)


build_sam = build_sam_vit_h


def _of_samkit(name: str, checkpoint: str | Path | None = None) -> Network:
    return with_weights(name, name if checkpoint is None else checkpoint)


class _Registry(dict[str, Callable[..., Network]]):
    """Builders by name, with an error that has all names."""

    def __missing__(self, name: object) -> Callable[..., Network]:
        raise UnknownModelError(f"expected one of {', '.join(self)}, got {shown(name)}")


sam_model_registry: dict[str, Callable[..., Network]] = _Registry(
    {
        "default": build_sam_vit_h,
        "vit_h": build_sam_vit_h,
        "vit_l": build_sam_vit_l,
        "vit_b": build_sam_vit_b,
        **{name: partial(_of_samkit, name) for name in MODELS},
    }
)
"""Model type, or one of samkit's names, such as "pico" -> function of a checkpoint."""
