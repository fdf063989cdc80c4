"""Sizes as ``config.json`` of transformers states them, read and written.

A field that the file leaves out has the default of transformers. What samkit's networks cannot
do, or transformers' cannot, is an error instead of a silent difference.
"""

from collections.abc import Mapping
from typing import Any

from samkit.errors import CheckpointError
from samkit.sizes import (
    HieraConfig,
    MaskDecoderConfig,
    MemoryConfig,
    PromptEncoderConfig,
    Sam2Config,
    SamConfig,
    ViTConfig,
)
from samkit.weights.infer import ratio

__all__ = ["config_from_json", "config_to_json"]

_Json = Mapping[str, Any]

# The one width that transformers' memory attention is written for.
_MEMORY_DIM = 64


def config_from_json(values: _Json, source: str = "config.json") -> SamConfig | Sam2Config:
    """Sizes from a parsed ``config.json`` of SamModel, Sam2Model or Sam2VideoModel.

    Raises:
        CheckpointError: another kind of model, or an option that samkit has no network for.
    """
    kind = values.get("model_type")
    try:
        if kind == "sam":
            return _sam(values)
        if kind in ("sam2", "sam2_video"):
            return _sam2(values, video=kind == "sam2_video")
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise CheckpointError(f"cannot understand {source}: {error}") from error
    raise CheckpointError(
        f"{source} describes a model of type {kind!r}; expected 'sam', 'sam2' or 'sam2_video'"
    )


def _require(values: _Json, **expected: object) -> None:
    """Fields that samkit's networks fix must be absent or have that value."""
    for name, want in expected.items():
        got = values.get(name, want)
        if got != want:
            raise CheckpointError(f"{name}={got!r} is not supported: expected {want!r}")


def _require_widths(width: int, *parts: _Json) -> None:
    if any(part.get("hidden_size", 256) != width for part in parts):
        raise CheckpointError(f"expected hidden_size={width} in prompt encoder and mask decoder")


def _pair(value: int | list[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    height, width = value
    return height, width


def _sam(values: _Json) -> SamConfig:
    vision = values.get("vision_config") or {}
    prompts = values.get("prompt_encoder_config") or {}
    decoder = values.get("mask_decoder_config") or {}
    _require(vision, use_abs_pos=True, use_rel_pos=True)
    _require(prompts, num_point_embeddings=4, hidden_act="gelu", layer_norm_eps=1e-6)
    _require(decoder, hidden_act="relu", attention_downsample_rate=2, iou_head_depth=3)
    dim = vision.get("hidden_size", 768)
    width = vision.get("output_channels", 256)
    _require_widths(width, prompts, decoder)
    mlp_dim = vision.get("mlp_dim") or int(dim * vision.get("mlp_ratio", 4.0))
    encoder = ViTConfig(
        dim=dim,
        depth=vision.get("num_hidden_layers", 12),
        heads=vision.get("num_attention_heads", 12),
        mlp_ratio=ratio(dim, mlp_dim),
        patch_size=vision.get("patch_size", 16),
        window_size=vision.get("window_size", 14),
        global_blocks=tuple(vision.get("global_attn_indexes", (2, 5, 8, 11))),
        in_channels=vision.get("num_channels", 3),
        qkv_bias=vision.get("qkv_bias", True),
        activation=vision.get("hidden_act", "gelu"),
        norm_eps=vision.get("layer_norm_eps", 1e-6),
        attention_dropout=vision.get("attention_dropout", 0.0),
    )
    return SamConfig(
        image_encoder=encoder,
        prompt_encoder=PromptEncoderConfig(mask_channels=prompts.get("mask_input_channels", 16)),
        mask_decoder=MaskDecoderConfig(**_decoder_sizes(decoder)),
        dim=width,
        image_size=_pair(vision.get("image_size", 1024)),
    )


def _decoder_sizes(decoder: _Json) -> dict[str, Any]:
    return {
        "depth": decoder.get("num_hidden_layers", 2),
        "heads": decoder.get("num_attention_heads", 8),
        "mlp_dim": decoder.get("mlp_dim", 2048),
        "candidates": decoder.get("num_multimask_outputs", 3),
        "iou_head_dim": decoder.get("iou_head_hidden_dim", 256),
    }


def _sam2(values: _Json, *, video: bool) -> Sam2Config:
    vision = values.get("vision_config") or {}
    prompts = values.get("prompt_encoder_config") or {}
    decoder = values.get("mask_decoder_config") or {}
    dim = vision.get("fpn_hidden_size", 256)
    encoder = _hiera(vision.get("backbone_config") or {})
    channels = list(reversed(encoder.stage_dims))
    _require(vision, fpn_kernel_size=1, fpn_stride=1, fpn_padding=0, num_feature_levels=3)
    if vision.get("backbone_channel_list", [768, 384, 192, 96]) != channels:
        raise CheckpointError(f"expected backbone_channel_list={channels}")
    _require(prompts, num_point_embeddings=4, hidden_act="gelu", layer_norm_eps=1e-6)
    _require(decoder, attention_downsample_rate=2, iou_head_depth=3, num_hidden_layers=2)
    _require_widths(dim, prompts, decoder)
    return Sam2Config(
        image_encoder=encoder,
        prompt_encoder=PromptEncoderConfig(
            pad_boxes=True, mask_channels=prompts.get("mask_input_channels", 16)
        ),
        mask_decoder=MaskDecoderConfig(
            **_decoder_sizes(decoder),
            high_resolution=True,
            iou_sigmoid=True,
            object_score=True,
            dynamic_multimask=decoder.get("dynamic_multimask_via_stability", True),
            stability_delta=decoder.get("dynamic_multimask_stability_delta", 0.05),
            stability_threshold=decoder.get("dynamic_multimask_stability_thresh", 0.98),
        ),
        memory=_memory(values, dim) if video else MemoryConfig(),
        dim=dim,
        fpn_top_down_levels=tuple(vision.get("fpn_top_down_levels", (2, 3))),
        image_size=_pair(prompts.get("image_size", 1024)),
    )


def _hiera(backbone: _Json) -> HieraConfig:
    dim = backbone.get("hidden_size", 96)
    heads = backbone.get("num_attention_heads_per_stage", [1, 2, 4, 8])
    config = HieraConfig(
        dim=dim,
        heads=heads[0],
        stages=tuple(backbone.get("blocks_per_stage", (1, 2, 7, 2))),
        global_blocks=tuple(backbone.get("global_attention_blocks", (5, 7, 9))),
        window_sizes=tuple(backbone.get("window_size_per_stage", (8, 4, 14, 7))),
        position_size=_pair(backbone.get("window_positional_embedding_background_size", [7, 7])),
        mlp_ratio=backbone.get("mlp_ratio", 4.0),
        in_channels=backbone.get("num_channels", 3),
    )
    _require(
        backbone,
        patch_kernel_size=[7, 7],
        patch_stride=[4, 4],
        patch_padding=[3, 3],
        query_stride=[2, 2],
        num_query_pool_stages=3,
        hidden_act="gelu",
        layer_norm_eps=1e-6,
    )
    dims = list(config.stage_dims)
    if backbone.get("embed_dim_per_stage", [96, 192, 384, 768]) != dims:
        raise CheckpointError(f"expected embed_dim_per_stage={dims}: each twice the one before")
    doubled = [heads[0] * 2**i for i in range(len(dims))]
    if heads != doubled:
        raise CheckpointError(f"expected num_attention_heads_per_stage={doubled}, got {heads}")
    return config


def _memory(values: _Json, dim: int) -> MemoryConfig:
    widths = {
        "memory_attention_hidden_size": 256,
        "memory_encoder_hidden_size": 256,
        "mask_downsampler_embed_dim": 256,
        "memory_fuser_embed_dim": 256,
    }
    for name, default in widths.items():
        if values.get(name, default) != dim:
            raise CheckpointError(f"expected {name}={dim}, got {values.get(name, default)}")
    _require(
        values,
        memory_attention_downsample_rate=1,
        memory_attention_feed_forward_hidden_act="relu",
        mask_downsampler_kernel_size=3,
        mask_downsampler_stride=2,
        mask_downsampler_padding=1,
        mask_downsampler_total_stride=16,
        mask_downsampler_hidden_act="gelu",
        memory_fuser_kernel_size=7,
        memory_fuser_padding=3,
        memory_fuser_hidden_act="gelu",
    )
    if values.get("memory_fuser_intermediate_dim", 1024) != dim * 4:
        raise CheckpointError(f"expected memory_fuser_intermediate_dim={dim * 4}")
    rope = values.get("rope_parameters") or {}
    return MemoryConfig(
        dim=values.get("memory_encoder_output_channels", 64),
        slots=values.get("num_maskmem", 7),
        pointers=values.get("max_object_pointers_in_encoder", 16),
        layers=values.get("memory_attention_num_layers", 4),
        heads=values.get("memory_attention_num_attention_heads", 1),
        mlp_dim=values.get("memory_attention_feed_forward_hidden_size", 2048),
        dropout=values.get("memory_attention_dropout", 0.1),
        rope_theta=float(
            rope.get("rope_theta") or values.get("memory_attention_rope_theta") or 10000.0
        ),
        fuser_layers=values.get("memory_fuser_num_layers", 2),
        sigmoid_scale=values.get("sigmoid_scale_for_mem_enc", 20.0),
        sigmoid_bias=values.get("sigmoid_bias_for_mem_enc", -10.0),
        occlusion_embedding=values.get("enable_occlusion_spatial_embedding", True),
        pointer_time=values.get("enable_temporal_pos_encoding_for_object_pointers", True),
    )


def config_to_json(config: SamConfig | Sam2Config, *, memory: bool, dtype: str) -> dict[str, Any]:
    """The ``config.json`` of these sizes; SAM 2 without its memory becomes a Sam2Model.

    Raises:
        CheckpointError: transformers has no such network.
    """
    if own := config.unpublished_features:
        raise _impossible(f"it has samkit's own additions: {', '.join(own)}")
    if config.image_size[0] != config.image_size[1]:
        raise _impossible(f"it needs square images, not {config.image_size}")
    if config.mask_decoder.iou_head_depth != 3:
        raise _impossible("its IoU head has three layers")
    if isinstance(config, SamConfig):
        return _sam_json(config, dtype)
    return _sam2_json(config, memory=memory, dtype=dtype)


def _impossible(reason: str) -> CheckpointError:
    return CheckpointError(f"transformers has no such network: {reason}")


def _sam_json(config: SamConfig, dtype: str) -> dict[str, Any]:
    encoder = config.image_encoder
    if not isinstance(encoder, ViTConfig):
        raise _impossible("MobileSAM is not part of it")
    if config.prompt_encoder.pad_boxes:
        raise _impossible("its SAM does not pad boxes")
    size = config.image_size[0]
    return {
        "architectures": ["SamModel"],
        "model_type": "sam",
        "dtype": dtype,
        "vision_config": {
            "model_type": "sam_vision_model",
            "hidden_size": encoder.dim,
            "output_channels": config.dim,
            "num_hidden_layers": encoder.depth,
            "num_attention_heads": encoder.heads,
            "num_channels": encoder.in_channels,
            "image_size": size,
            "patch_size": encoder.patch_size,
            "mlp_ratio": encoder.mlp_ratio,
            "mlp_dim": int(encoder.dim * encoder.mlp_ratio),
            "window_size": encoder.window_size,
            "global_attn_indexes": list(encoder.global_blocks),
            "num_pos_feats": config.dim // 2,
            "qkv_bias": encoder.qkv_bias,
            "hidden_act": encoder.activation,
            "layer_norm_eps": encoder.norm_eps,
            "attention_dropout": encoder.attention_dropout,
        },
        "prompt_encoder_config": {
            "model_type": "sam_prompt_encoder",
            "hidden_size": config.dim,
            "image_size": size,
            "patch_size": encoder.patch_size,
            "mask_input_channels": config.prompt_encoder.mask_channels,
        },
        "mask_decoder_config": {
            "model_type": "sam_mask_decoder",
            **_decoder_json(config.mask_decoder, config.dim),
        },
    }


def _decoder_json(decoder: MaskDecoderConfig, dim: int) -> dict[str, Any]:
    return {
        "hidden_size": dim,
        "mlp_dim": decoder.mlp_dim,
        "num_hidden_layers": decoder.depth,
        "num_attention_heads": decoder.heads,
        "num_multimask_outputs": decoder.candidates,
        "iou_head_depth": decoder.iou_head_depth,
        "iou_head_hidden_dim": decoder.iou_head_dim,
    }


def _sam2_json(config: Sam2Config, *, memory: bool, dtype: str) -> dict[str, Any]:
    decoder = config.mask_decoder
    if not (decoder.high_resolution and decoder.iou_sigmoid and decoder.object_score):
        raise _impossible("its SAM 2 uses high-resolution features, a sigmoid and object scores")
    if decoder.depth != 2:
        raise _impossible("its SAM 2 has a two-way transformer of two layers")
    if memory and config.memory.dim != _MEMORY_DIM:
        raise _impossible(f"its memories have {_MEMORY_DIM} channels, not {config.memory.dim}")
    kind = "sam2_video" if memory else "sam2"
    size = config.image_size[0]
    values: dict[str, Any] = {
        "architectures": ["Sam2VideoModel" if memory else "Sam2Model"],
        "model_type": kind,
        "dtype": dtype,
        "vision_config": _vision_json(config),
        "prompt_encoder_config": {
            "model_type": f"{kind}_prompt_encoder",
            "hidden_size": config.dim,
            "image_size": size,
            "patch_size": 16,
            "mask_input_channels": config.prompt_encoder.mask_channels,
        },
        "mask_decoder_config": {
            "model_type": f"{kind}_mask_decoder",
            **_decoder_json(decoder, config.dim),
            "dynamic_multimask_via_stability": decoder.dynamic_multimask,
            "dynamic_multimask_stability_delta": decoder.stability_delta,
            "dynamic_multimask_stability_thresh": decoder.stability_threshold,
        },
    }
    return values | (_memory_json(config) if memory else {})


def _vision_json(config: Sam2Config) -> dict[str, Any]:
    encoder, size = config.image_encoder, config.image_size[0]
    assert isinstance(encoder, HieraConfig)
    return {
        "model_type": "sam2_vision_model",
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": encoder.dim,
            "num_attention_heads": encoder.heads,
            "num_channels": encoder.in_channels,
            "image_size": [size, size],
            "window_positional_embedding_background_size": list(encoder.position_size),
            "blocks_per_stage": list(encoder.stages),
            "embed_dim_per_stage": list(encoder.stage_dims),
            "num_attention_heads_per_stage": [
                encoder.heads * 2**i for i in range(len(encoder.stages))
            ],
            "window_size_per_stage": list(encoder.window_sizes),
            "global_attention_blocks": list(encoder.global_blocks),
            "mlp_ratio": encoder.mlp_ratio,
        },
        "backbone_channel_list": list(reversed(encoder.stage_dims)),
        "backbone_feature_sizes": [[size // stride, size // stride] for stride in (4, 8, 16)],
        "fpn_hidden_size": config.dim,
        "fpn_top_down_levels": list(config.fpn_top_down_levels),
    }


def _memory_json(config: Sam2Config) -> dict[str, Any]:
    memory, dim = config.memory, config.dim
    grid = config.image_size[0] // 16
    return {
        "image_size": config.image_size[0],
        "num_maskmem": memory.slots,
        "max_object_pointers_in_encoder": memory.pointers,
        "sigmoid_scale_for_mem_enc": memory.sigmoid_scale,
        "sigmoid_bias_for_mem_enc": memory.sigmoid_bias,
        "enable_occlusion_spatial_embedding": memory.occlusion_embedding,
        "enable_temporal_pos_encoding_for_object_pointers": memory.pointer_time,
        "memory_attention_hidden_size": dim,
        "memory_attention_num_layers": memory.layers,
        "memory_attention_num_attention_heads": memory.heads,
        "memory_attention_feed_forward_hidden_size": memory.mlp_dim,
        "memory_attention_dropout": memory.dropout,
        "memory_attention_rope_dropout": memory.dropout,
        "memory_attention_rope_feat_sizes": [grid, grid],
        "rope_parameters": {"rope_type": "axial", "rope_theta": memory.rope_theta},
        "memory_encoder_hidden_size": dim,
        "memory_encoder_output_channels": memory.dim,
        "mask_downsampler_embed_dim": dim,
        "memory_fuser_num_layers": memory.fuser_layers,
        "memory_fuser_embed_dim": dim,
        "memory_fuser_intermediate_dim": dim * 4,
    }
