"""Features of an image as the original hands them round, and as samkit's networks have them."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from samkit.compat.ultralytics.arrays import tensor_of
from samkit.errors import InputError
from samkit.nn import ImageFeatures, Sam, Sam2

__all__ = ["Features", "features_of", "image_features"]

Features: TypeAlias = Tensor | dict[str, Any]
"""SAM: (B, C, H, W). SAM 2: ``image_embed`` (B, C, H, W), which knows that there is no memory, and
``high_res_feats``, a list of the maps of stride 4 and 8."""

_KEYS = ("image_embed", "high_res_feats")


def features_of(network: Sam | Sam2, features: ImageFeatures) -> Features:
    """Features as the original has them."""
    if isinstance(network, Sam):
        return features.embedding
    with torch.no_grad():
        embed = network.without_memory(features).embedding
    return {
        "image_embed": embed,
        "high_res_feats": list(features.high_resolution),
    }


def image_features(network: Sam | Sam2, features: Any) -> ImageFeatures:
    """The inverse of `features_of`.

    Raises:
        InputError: not such features.
    """
    if isinstance(network, Sam):
        return ImageFeatures(embedding=_maps(features, "features"), stride=network.config.stride)
    if not isinstance(features, Mapping) or not set(_KEYS) <= set(features):
        raise InputError(
            f"features: expected a dict with {_KEYS[0]} and {_KEYS[1]}, "
            f"got {type(features).__name__}"
        )
    embed = _maps(features["image_embed"], "image_embed")
    empty = network.no_mem_embed.detach().view(1, -1, 1, 1).to(embed.device)
    if embed.shape[1] != empty.shape[1]:
        raise InputError(
            f"image_embed: expected {empty.shape[1]} channels, got shape {tuple(embed.shape)}"
        )
    levels = features["high_res_feats"]
    if not isinstance(levels, (list, tuple)):
        kind = type(levels).__name__
        raise InputError(
            f"high_res_feats: expected a list of the maps of stride 4 and 8, got {kind}"
        )
    return ImageFeatures(
        embedding=embed - empty,
        high_resolution=tuple(_maps(level, "high_res_feats") for level in levels),
    )


def _maps(value: Any, name: str) -> Tensor:
    maps = tensor_of(value, name)
    if maps.ndim != 4 or not maps.is_floating_point():
        raise InputError(
            f"{name}: expected floats (B, C, H, W), got {maps.dtype} of shape {tuple(maps.shape)}"
        )
    if not bool(maps.isfinite().all()):
        raise InputError(f"{name}: expected finite numbers, got NaN or infinity")
    return maps.detach().float()
