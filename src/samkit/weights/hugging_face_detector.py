"""Sizes of SAM 3's detector in the ``config.json`` of transformers, read and written."""

from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from samkit.sizes import DetectorConfig

__all__ = ["detector_from_json", "whole_to_json"]

_Json = Mapping[str, Any]

# (samkit, transformers). What their file leaves out is as in the released network.
_TEXT = (
    ("vocabulary", "vocab_size"),
    ("context", "max_position_embeddings"),
    ("dim", "hidden_size"),
    ("depth", "num_hidden_layers"),
    ("heads", "num_attention_heads"),
    ("mlp_dim", "intermediate_size"),
)
_REST = (
    ("exemplar_layers", "geometry_encoder_config", "num_layers"),
    ("pool_size", "geometry_encoder_config", "roi_size"),
    ("encoder_layers", "detr_encoder_config", "num_layers"),
    ("heads", "detr_encoder_config", "num_attention_heads"),
    ("mlp_dim", "detr_encoder_config", "intermediate_size"),
    ("decoder_layers", "detr_decoder_config", "num_layers"),
    ("queries", "detr_decoder_config", "num_queries"),
)
# Their parts that have the channels and heads of all others, and those that also have their MLPs.
_WITH_HEADS = (
    "geometry_encoder_config",
    "detr_encoder_config",
    "detr_decoder_config",
    "mask_decoder_config",
)
_WITH_MLP = _WITH_HEADS[:3]


def detector_from_json(values: _Json) -> DetectorConfig:
    """Sizes from a parsed ``config.json`` of Sam3VideoModel; unchecked.

    Raises:
        AttributeError: parts of it are no objects.
    """
    parts = values.get("detector_config") or {}
    usual = DetectorConfig()
    text = parts.get("text_config") or {}
    text = {ours: text.get(theirs, getattr(usual.text, ours)) for ours, theirs in _TEXT}
    rest = {
        ours: (parts.get(part) or {}).get(theirs, getattr(usual, ours))
        for ours, part, theirs in _REST
    }
    return replace(usual, text=replace(usual.text, **text), **rest)


def whole_to_json(
    tracker: _Json, config: DetectorConfig, dim: int, projection: int
) -> dict[str, Any]:
    """The ``config.json`` of Sam3VideoModel.

    Args:
        tracker: that of Sam3TrackerVideoModel, which is a part of it.
        config: sizes of the detector.
        dim: its channels.
        projection: channels of the text's projection, which nothing uses.
    """
    parts: dict[str, dict[str, Any]] = {name: {"hidden_size": dim} for name in _WITH_HEADS}
    for name in _WITH_HEADS:
        parts[name]["num_attention_heads"] = config.heads
    for name in _WITH_MLP:
        parts[name]["intermediate_size"] = config.mlp_dim
    for ours, name, theirs in _REST:
        parts[name][theirs] = attrgetter(ours)(config)
    text = {theirs: getattr(config.text, ours) for ours, theirs in _TEXT}
    detector = {
        "model_type": "sam3",
        "vision_config": tracker["vision_config"],
        "text_config": {
            "model_type": "clip_text_model",
            "hidden_act": "gelu",
            "projection_dim": projection,
            **text,
        },
        **parts,
    }
    return {
        "architectures": ["Sam3VideoModel"],
        "model_type": "sam3_video",
        "dtype": tracker["dtype"],
        "detector_config": detector,
        "tracker_config": tracker,
    }
