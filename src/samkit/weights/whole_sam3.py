"""The detector of SAM 3 as it lies beside the rest in each layout."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from samkit.nn.position_encoding import axial_rotary
from samkit.sizes import PeViTConfig, Sam3Config
from samkit.weights.detector import OpenedDetector, is_unused
from samkit.weights.hugging_face_detector import whole_to_json
from samkit.weights.keys_sam3_detector import TABLES

__all__ = ["as_meta", "as_samkit", "in_transformers"]

_PROJECTION = "text_encoder.text_projection"
_TRUNK = "detector.backbone.vision_backbone.trunk"


def as_samkit(detector: OpenedDetector) -> dict[str, Tensor]:
    """Its tensors as in samkit's own files."""
    return TABLES["samkit"].from_samkit(detector.state)


def in_transformers(
    detector: OpenedDetector, tracker: Mapping[str, Any], dim: int
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Its tensors as in a folder of transformers, and the config.json of the whole.

    Args:
        detector: what is written.
        tracker: the config.json of the rest.
        dim: channels of the network.
    """
    # That of texts is the only unused tensor that transformers has, too.
    state = {
        name: tensor
        for name, tensor in detector.state.items()
        if name == _PROJECTION or not is_unused(name)
    }
    projection = state[_PROJECTION].shape[1] if _PROJECTION in state else dim
    config = whole_to_json(tracker, detector.config, dim, projection)
    return TABLES["hugging-face"].from_samkit(state), config


def as_meta(detector: OpenedDetector, network: Sam3Config) -> dict[str, Tensor]:
    """Its tensors as in Meta's file, with what follows from the sizes of the network."""
    state = {**_examples_that_are_points(detector.state), **detector.state}
    return TABLES["meta"].from_samkit(state) | _rotary_positions(network)


def _examples_that_are_points(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Zeros for layers that Meta's file has, transformers has not, and nothing uses."""
    like = state["geometry_encoder.final_proj.weight"]
    dim = len(like)
    widths = {"direct": 2, "pool": dim, "pos_enc": dim}
    result = {}
    for name, width in widths.items():
        layer = f"geometry_encoder.points_{name}_project"
        result[f"{layer}.weight"] = like.new_zeros(dim, width)
        result[f"{layer}.bias"] = like.new_zeros(dim)
    return result


def _rotary_positions(network: Sam3Config) -> dict[str, Tensor]:
    """The buffers of its attention, which it keeps in its file."""
    encoder = network.image_encoder
    assert isinstance(encoder, PeViTConfig)
    window = (encoder.window_size, encoder.window_size)
    result = {}
    for i in range(encoder.depth):
        turns = axial_rotary(
            encoder.dim // encoder.heads,
            *(network.grid if i in encoder.global_blocks else window),
            theta=encoder.rope_theta,
            span=encoder.window_size,
            device=torch.device("cpu"),
        )
        result[f"{_TRUNK}.blocks.{i}.attn.freqs_cis"] = torch.view_as_complex(turns.contiguous())
    return result
