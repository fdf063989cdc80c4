"""Sizes in the ``config.json`` of transformers, read and written.

One table for each type of model is used in both directions. A field that the file leaves out has
the default of transformers. Options that only one of the two libraries has raise errors.
"""

# Rows are lines of any length.
# ruff: noqa: E501

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from samkit.errors import CheckpointError
from samkit.sizes import HieraConfig, NetworkConfig, Sam2Config, SamConfig, ViTConfig
from samkit.weights.infer import ratio

__all__ = ["config_from_json", "config_to_json"]

_Json = Mapping[str, Any]

_Convert = tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]
"""(their value, sizes read so far) -> our value, and (our value, all sizes) -> their value."""


def _pair(value: int | list[int]) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int) else value
    return height, width


def _hidden(config: Any) -> int:
    return int(config.image_encoder.dim * config.image_encoder.mlp_ratio)


def _doubled(heads: int, config: Any) -> list[int]:
    return [heads * 2**i for i in range(len(config.image_encoder.stages))]


def _first(heads: list[int], config: Any) -> int:
    _expect("num_attention_heads_per_stage", heads, _doubled(heads[0], config))
    return heads[0]


# fmt: off
_SAME: _Convert = (lambda value, _: value, lambda value, _: value)
_LIST: _Convert = (lambda value, _: tuple(value), lambda value, _: list(value))
_PAIR: _Convert = (lambda value, _: _pair(value), lambda value, _: list(value))
_SIDE: _Convert = (lambda value, _: _pair(value), lambda value, _: value[0])
_HIDDEN: _Convert = (lambda value, c: ratio(c.image_encoder.dim, _hidden(c) if value is None else value), lambda _, c: _hidden(c))
_THETA: _Convert = (lambda value, c: float(c.memory.rope_theta if value is None else value), lambda value, _: value)
_HEADS: _Convert = (_first, _doubled)
# fmt: on


@dataclass(frozen=True)
class _Field:
    """A size that both have, with the default of transformers."""

    ours: str
    theirs: str
    default: object
    convert: _Convert = _SAME
    written: bool = True


@dataclass(frozen=True)
class _Implied:
    """A field of theirs that our sizes imply: a constant or a function of them.

    It is written, and checked on reading if the row has the default of transformers.
    """

    theirs: str
    value: object
    default: object = None

    def of(self, config: NetworkConfig) -> object:
        return self.value(config) if callable(self.value) else self.value


@dataclass(frozen=True, kw_only=True)
class _Table:
    """One type of model.

    Attributes:
        architecture: the class in transformers.
        start: our sizes where no row says otherwise.
        rows: in the order in which they are read and written; a later one overrides.
        fixed: their options that ours lack; they must be absent or have this value.
        limits: our options that theirs lack: (name, value, reason).
    """

    architecture: str
    start: NetworkConfig
    rows: tuple[_Field | _Implied, ...]
    fixed: dict[str, object]
    limits: tuple[tuple[str, object, str], ...]


# fmt: off
_DECODER = (
    _Implied("mask_decoder_config.hidden_size", lambda c: c.dim, 256),
    _Field("mask_decoder.mlp_dim", "mask_decoder_config.mlp_dim", 2048),
    _Field("mask_decoder.depth", "mask_decoder_config.num_hidden_layers", 2),
    _Field("mask_decoder.heads", "mask_decoder_config.num_attention_heads", 8),
    _Field("mask_decoder.candidates", "mask_decoder_config.num_multimask_outputs", 3),
    _Field("mask_decoder.iou_head_depth", "mask_decoder_config.iou_head_depth", 3),
    _Field("mask_decoder.iou_head_dim", "mask_decoder_config.iou_head_hidden_dim", 256),
)
_FIXED = {
    "prompt_encoder_config.num_point_embeddings": 4,
    "prompt_encoder_config.hidden_act": "gelu",
    "prompt_encoder_config.layer_norm_eps": 1e-6,
    "mask_decoder_config.attention_downsample_rate": 2,
    "mask_decoder_config.iou_head_depth": 3,
}
_LIMITS = (
    ("mask_decoder.iou_head_depth", 3, "its IoU head has three layers"),
)

_SAM = _Table(
    architecture="SamModel",
    start=SamConfig(),
    rows=(
        _Implied("vision_config.model_type", "sam_vision_model"),
        _Field("image_encoder.dim", "vision_config.hidden_size", 768),
        _Field("dim", "vision_config.output_channels", 256),
        _Field("image_encoder.depth", "vision_config.num_hidden_layers", 12),
        _Field("image_encoder.heads", "vision_config.num_attention_heads", 12),
        _Field("image_encoder.in_channels", "vision_config.num_channels", 3),
        _Field("image_size", "vision_config.image_size", 1024, _SIDE),
        _Field("image_encoder.patch_size", "vision_config.patch_size", 16),
        _Field("image_encoder.mlp_ratio", "vision_config.mlp_ratio", 4.0),
        _Field("image_encoder.mlp_ratio", "vision_config.mlp_dim", None, _HIDDEN),
        _Field("image_encoder.window_size", "vision_config.window_size", 14),
        _Field("image_encoder.global_blocks", "vision_config.global_attn_indexes", [2, 5, 8, 11], _LIST),
        _Implied("vision_config.num_pos_feats", lambda c: c.dim // 2),
        _Field("image_encoder.qkv_bias", "vision_config.qkv_bias", True),
        _Field("image_encoder.activation", "vision_config.hidden_act", "gelu"),
        _Field("image_encoder.norm_eps", "vision_config.layer_norm_eps", 1e-6),
        _Field("image_encoder.attention_dropout", "vision_config.attention_dropout", 0.0),

        _Implied("prompt_encoder_config.model_type", "sam_prompt_encoder"),
        _Implied("prompt_encoder_config.hidden_size", lambda c: c.dim, 256),
        _Implied("prompt_encoder_config.image_size", lambda c: c.image_size[0]),
        _Implied("prompt_encoder_config.patch_size", lambda c: c.image_encoder.patch_size),
        _Field("prompt_encoder.mask_channels", "prompt_encoder_config.mask_input_channels", 16),

        _Implied("mask_decoder_config.model_type", "sam_mask_decoder"),
        *_DECODER,
    ),
    fixed={
        **_FIXED,
        "vision_config.use_abs_pos": True,
        "vision_config.use_rel_pos": True,
        "mask_decoder_config.hidden_act": "relu",
    },
    limits=(
        *_LIMITS,
        ("image_encoder.__class__", ViTConfig, "MobileSAM is not part of it"),
        ("image_encoder.published_norms", True, "its ViT has layer norms"),
        ("prompt_encoder.pad_boxes", False, "its SAM does not pad boxes"),
    ),
)

_SAM2 = _Table(
    architecture="Sam2Model",
    start=Sam2Config(),
    rows=(
        _Implied("vision_config.model_type", "sam2_vision_model"),
        _Implied("vision_config.backbone_config.model_type", "sam2_hiera_det_model"),
        _Field("image_encoder.dim", "vision_config.backbone_config.hidden_size", 96),
        _Implied("vision_config.backbone_config.num_attention_heads", lambda c: c.image_encoder.heads),
        _Field("image_encoder.in_channels", "vision_config.backbone_config.num_channels", 3),
        _Implied("vision_config.backbone_config.image_size", lambda c: list(c.image_size)),
        _Field("image_encoder.position_size", "vision_config.backbone_config.window_positional_embedding_background_size", [7, 7], _PAIR),
        _Field("image_encoder.stages", "vision_config.backbone_config.blocks_per_stage", [1, 2, 7, 2], _LIST),
        _Implied("vision_config.backbone_config.embed_dim_per_stage", lambda c: list(c.image_encoder.stage_dims), [96, 192, 384, 768]),
        _Field("image_encoder.heads", "vision_config.backbone_config.num_attention_heads_per_stage", [1, 2, 4, 8], _HEADS),
        _Field("image_encoder.window_sizes", "vision_config.backbone_config.window_size_per_stage", [8, 4, 14, 7], _LIST),
        _Field("image_encoder.global_blocks", "vision_config.backbone_config.global_attention_blocks", [5, 7, 9], _LIST),
        _Field("image_encoder.mlp_ratio", "vision_config.backbone_config.mlp_ratio", 4.0),
        _Implied("vision_config.backbone_channel_list", lambda c: list(reversed(c.image_encoder.stage_dims)), [768, 384, 192, 96]),
        _Implied("vision_config.backbone_feature_sizes", lambda c: [[c.image_size[0] // stride] * 2 for stride in (4, 8, 16)]),
        _Field("dim", "vision_config.fpn_hidden_size", 256),
        _Field("fpn_top_down_levels", "vision_config.fpn_top_down_levels", [2, 3], _LIST),

        _Implied("prompt_encoder_config.model_type", "sam2_prompt_encoder"),
        _Implied("prompt_encoder_config.hidden_size", lambda c: c.dim, 256),
        _Field("image_size", "prompt_encoder_config.image_size", 1024, _SIDE),
        _Implied("prompt_encoder_config.patch_size", 16),
        _Field("prompt_encoder.mask_channels", "prompt_encoder_config.mask_input_channels", 16),

        _Implied("mask_decoder_config.model_type", "sam2_mask_decoder"),
        *_DECODER,
        _Field("mask_decoder.dynamic_multimask", "mask_decoder_config.dynamic_multimask_via_stability", True),
        _Field("mask_decoder.stability_delta", "mask_decoder_config.dynamic_multimask_stability_delta", 0.05),
        _Field("mask_decoder.stability_threshold", "mask_decoder_config.dynamic_multimask_stability_thresh", 0.98),
    ),
    fixed={
        **_FIXED,
        "vision_config.backbone_config.patch_kernel_size": [7, 7],
        "vision_config.backbone_config.patch_stride": [4, 4],
        "vision_config.backbone_config.patch_padding": [3, 3],
        "vision_config.backbone_config.query_stride": [2, 2],
        "vision_config.backbone_config.num_query_pool_stages": 3,
        "vision_config.backbone_config.hidden_act": "gelu",
        "vision_config.backbone_config.layer_norm_eps": 1e-6,
        "vision_config.fpn_kernel_size": 1,
        "vision_config.fpn_stride": 1,
        "vision_config.fpn_padding": 0,
        "vision_config.num_feature_levels": 3,
        "mask_decoder_config.num_hidden_layers": 2,
    },
    limits=(
        *_LIMITS,
        ("image_encoder.__class__", HieraConfig, "its SAM 2 has Hiera as image encoder"),
        ("mask_decoder.depth", 2, "its SAM 2 has a two-way transformer of two layers"),
        ("mask_decoder.high_resolution", True, "its SAM 2 uses high-resolution features"),
        ("mask_decoder.iou_sigmoid", True, "its SAM 2 puts the predicted IoU through a sigmoid"),
        ("mask_decoder.object_score", True, "its SAM 2 has object scores"),
    ),
)

_SAM2_VIDEO = _Table(
    architecture="Sam2VideoModel",
    start=_SAM2.start,
    rows=(
        *_SAM2.rows,
        _Implied("prompt_encoder_config.model_type", "sam2_video_prompt_encoder"),
        _Implied("mask_decoder_config.model_type", "sam2_video_mask_decoder"),
        _Implied("image_size", lambda c: c.image_size[0]),
        _Field("memory.slots", "num_maskmem", 7),
        _Field("memory.pointers", "max_object_pointers_in_encoder", 16),
        _Field("memory.sigmoid_scale", "sigmoid_scale_for_mem_enc", 20.0),
        _Field("memory.sigmoid_bias", "sigmoid_bias_for_mem_enc", -10.0),
        _Field("memory.occlusion_embedding", "enable_occlusion_spatial_embedding", True),
        _Field("memory.pointer_time", "enable_temporal_pos_encoding_for_object_pointers", True),
        _Implied("memory_attention_hidden_size", lambda c: c.dim, 256),
        _Field("memory.layers", "memory_attention_num_layers", 4),
        _Field("memory.heads", "memory_attention_num_attention_heads", 1),
        _Field("memory.mlp_dim", "memory_attention_feed_forward_hidden_size", 2048),
        _Field("memory.dropout", "memory_attention_dropout", 0.1),
        _Implied("memory_attention_rope_dropout", lambda c: c.memory.dropout),
        _Implied("memory_attention_rope_feat_sizes", lambda c: [c.image_size[0] // 16] * 2),
        _Field("memory.rope_theta", "memory_attention_rope_theta", None, _THETA, written=False),  # in older files
        _Implied("rope_parameters.rope_type", "axial"),
        _Field("memory.rope_theta", "rope_parameters.rope_theta", None, _THETA),
        _Implied("memory_encoder_hidden_size", lambda c: c.dim, 256),
        _Field("memory.dim", "memory_encoder_output_channels", 64),
        _Implied("mask_downsampler_embed_dim", lambda c: c.dim, 256),
        _Field("memory.fuser_layers", "memory_fuser_num_layers", 2),
        _Implied("memory_fuser_embed_dim", lambda c: c.dim, 256),
        _Implied("memory_fuser_intermediate_dim", lambda c: c.dim * 4, 1024),
    ),
    fixed={
        **_SAM2.fixed,
        "memory_attention_downsample_rate": 1,
        "memory_attention_feed_forward_hidden_act": "relu",
        "mask_downsampler_kernel_size": 3,
        "mask_downsampler_stride": 2,
        "mask_downsampler_padding": 1,
        "mask_downsampler_total_stride": 16,
        "mask_downsampler_hidden_act": "gelu",
        "memory_fuser_kernel_size": 7,
        "memory_fuser_padding": 3,
        "memory_fuser_hidden_act": "gelu",
    },
    limits=(
        *_SAM2.limits,
        ("memory.dim", 64, "its memories have 64 channels"),
    ),
)

_TABLES = {"sam": _SAM, "sam2": _SAM2, "sam2_video": _SAM2_VIDEO}
# fmt: on


def config_from_json(values: _Json, source: str = "config.json") -> NetworkConfig:
    """Sizes from a parsed ``config.json`` of SamModel, Sam2Model or Sam2VideoModel.

    Raises:
        CheckpointError: another kind of model, or an option that samkit has no network for.
    """
    try:
        kind = values.get("model_type")
        if kind in _TABLES:
            return _read(values, _TABLES[kind])
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot understand {source}: {error}") from error
    expected = " or ".join(map(repr, _TABLES))
    raise CheckpointError(f"{source} describes a model of type {kind!r}; expected {expected}")


def _read(values: _Json, table: _Table) -> NetworkConfig:
    for theirs, want in table.fixed.items():
        _expect(theirs, _find(values, theirs, want), want)
    config = table.start
    for row in table.rows:
        got = _find(values, row.theirs, row.default)
        if isinstance(row, _Field):
            config = _replaced(config, row.ours, row.convert[0](got, config))
        elif row.default is not None:
            _expect(row.theirs, got, row.of(config))
    return config


def _find(values: _Json, theirs: str, default: object) -> Any:
    *parts, name = theirs.split(".")
    for part in parts:
        values = values.get(part) or {}
    return values.get(name, default)


def _expect(theirs: str, got: object, want: object) -> None:
    if got != want:
        raise CheckpointError(f"expected {theirs}={want!r}, got {theirs}={got!r}")


def _replaced(config: Any, ours: str, value: object) -> Any:
    """A config with another value of the attribute at a dotted path."""
    name, _, rest = ours.partition(".")
    return replace(
        config, **{name: _replaced(getattr(config, name), rest, value) if rest else value}
    )


def config_to_json(config: NetworkConfig, *, memory: bool, dtype: str) -> dict[str, Any]:
    """The ``config.json`` of these sizes; SAM 2 without its memory becomes a Sam2Model.

    Raises:
        CheckpointError: transformers has no such network.
    """
    video = f"{config.family}_video"
    kind = video if memory and video in _TABLES else config.family
    table = _TABLES[kind]
    reasons = [reason for ours, want, reason in table.limits if attrgetter(ours)(config) != want]
    if config.image_size[0] != config.image_size[1]:
        reasons.append(f"it needs square images, not {config.image_size}")
    if own := config.unpublished_features:
        reasons.append(f"it lacks samkit's own additions: {', '.join(own)}")
    if reasons:
        raise CheckpointError(f"transformers has no such network: {'; '.join(reasons)}")
    values = {"architectures": [table.architecture], "model_type": kind, "dtype": dtype}
    for row in table.rows:
        *parts, name = row.theirs.split(".")
        target: dict[str, Any] = values
        for part in parts:
            target = target.setdefault(part, {})
        if isinstance(row, _Implied):
            target[name] = row.of(config)
        elif row.written:
            target[name] = row.convert[1](attrgetter(row.ours)(config), config)
    return values
