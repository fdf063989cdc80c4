"""Features of an image in the original's form, and in that of samkit's networks."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from samkit.compat.ultralytics.arrays import tensor_of
from samkit.errors import InputError
from samkit.nn import ImageFeatures, Network

__all__ = ["Features", "features_of", "image_features"]

Features: TypeAlias = Tensor | dict[str, Any]
"""SAM: (B, C, H, W). SAM 2: ``image_embed`` (B, C, H, W), to which the embedding of "no memory" is
added, and ``high_res_feats``, a list of the maps of stride 4 and 8."""

_KEYS = {"image_embed", "high_res_feats"}


def features_of(network: Network, features: ImageFeatures) -> Features:
    """Features in the original's form."""
    if not features.high_resolution:
        return features.embedding
    with torch.no_grad():
        embed = network.without_memory(features).embedding
    return {"image_embed": embed, "high_res_feats": list(features.high_resolution)}


def image_features(network: Network, features: Any) -> ImageFeatures:
    """The inverse of `features_of`.

    Raises:
        InputError: features of another form.
    """
    stride = network.config.stride
    if not network.config.mask_decoder.high_resolution:
        return ImageFeatures(embedding=_maps(features, "features"), stride=stride)
    if not isinstance(features, Mapping) or not set(features) >= _KEYS:
        raise InputError(
            "features: expected a dict with image_embed and high_res_feats, "
            f"got {type(features).__name__}"
        )
    embed = _maps(features["image_embed"], "image_embed")
    dim = network.config.dim
    if embed.shape[1] != dim:
        raise InputError(f"image_embed: expected {dim} channels, got shape {tuple(embed.shape)}")
    levels = features["high_res_feats"]
    if not isinstance(levels, (list, tuple)):
        raise InputError(
            "high_res_feats: expected a list of the maps of stride 4 and 8, "
            f"got {type(levels).__name__}"
        )
    zeros = ImageFeatures(embedding=embed.new_zeros(1, dim, 1, 1))
    with torch.no_grad():
        no_memory = network.without_memory(zeros).embedding
    return ImageFeatures(
        embedding=embed - no_memory,
        high_resolution=tuple(_maps(level, "high_res_feats") for level in levels),
        stride=stride,
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
