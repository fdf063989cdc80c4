"""One table for each type of model that transformers has: sizes, by our name and by theirs.

A field that a file leaves out has the default of transformers.
"""

# Rows are lines of any length.
# ruff: noqa: E501

from samkit.sizes import (
    HieraConfig,
    NetworkConfig,
    PeViTConfig,
    RepViTConfig,
    Sam2Config,
    SamConfig,
    ViTConfig,
    edge_tam,
    hq_sam,
    sam3,
)
from samkit.weights.hugging_face_fields import (
    FIRST,
    HIDDEN,
    LIST,
    NEAREST,
    PAIR,
    PATCHES,
    SIDE,
    SQUARED,
    THETA,
    Field,
    Implied,
    Table,
)

__all__ = ["NESTED", "TABLES", "kind_of"]

# fmt: off
_DECODER = (
    Implied("mask_decoder_config.hidden_size", lambda c: c.dim, 256),
    Field("mask_decoder.mlp_dim", "mask_decoder_config.mlp_dim", 2048),
    Field("mask_decoder.depth", "mask_decoder_config.num_hidden_layers", 2),
    Field("mask_decoder.heads", "mask_decoder_config.num_attention_heads", 8),
    Field("mask_decoder.candidates", "mask_decoder_config.num_multimask_outputs", 3),
    Field("mask_decoder.iou_head_depth", "mask_decoder_config.iou_head_depth", 3),
    Field("mask_decoder.iou_head_dim", "mask_decoder_config.iou_head_hidden_dim", 256),
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

_SAM = Table(
    architecture="SamModel",
    start=SamConfig(),
    rows=(
        Implied("vision_config.model_type", "sam_vision_model"),
        Field("image_encoder.dim", "vision_config.hidden_size", 768),
        Field("dim", "vision_config.output_channels", 256),
        Field("image_encoder.depth", "vision_config.num_hidden_layers", 12),
        Field("image_encoder.heads", "vision_config.num_attention_heads", 12),
        Field("image_encoder.in_channels", "vision_config.num_channels", 3),
        Field("image_size", "vision_config.image_size", 1024, SIDE),
        Field("image_encoder.patch_size", "vision_config.patch_size", 16),
        Field("image_encoder.mlp_ratio", "vision_config.mlp_ratio", 4.0),
        Field("image_encoder.mlp_ratio", "vision_config.mlp_dim", None, HIDDEN),
        Field("image_encoder.window_size", "vision_config.window_size", 14),
        Field("image_encoder.global_blocks", "vision_config.global_attn_indexes", [2, 5, 8, 11], LIST),
        Implied("vision_config.num_pos_feats", lambda c: c.dim // 2),
        Field("image_encoder.qkv_bias", "vision_config.qkv_bias", True),
        Field("image_encoder.activation", "vision_config.hidden_act", "gelu"),
        Field("image_encoder.norm_eps", "vision_config.layer_norm_eps", 1e-6),
        Field("image_encoder.attention_dropout", "vision_config.attention_dropout", 0.0),

        Implied("prompt_encoder_config.model_type", "sam_prompt_encoder"),
        Implied("prompt_encoder_config.hidden_size", lambda c: c.dim, 256),
        Implied("prompt_encoder_config.image_size", lambda c: c.image_size[0]),
        Implied("prompt_encoder_config.patch_size", lambda c: c.image_encoder.patch_size),
        Field("prompt_encoder.mask_channels", "prompt_encoder_config.mask_input_channels", 16),

        Implied("mask_decoder_config.model_type", "sam_mask_decoder"),
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

_SAM_HQ = Table(
    architecture="SamHQModel",
    start=hq_sam("b"),
    rows=(
        *_SAM.rows,
        Implied("vision_config.model_type", "sam_hq_vision_model"),
        Implied("prompt_encoder_config.model_type", "sam_hq_prompt_encoder"),
        Implied("mask_decoder_config.model_type", "sam_hq_mask_decoder"),
        Implied("mask_decoder_config.vit_dim", lambda c: c.image_encoder.dim, 768),
    ),
    fixed=_SAM.fixed,
    limits=_SAM.limits,
)

_SAM2 = Table(
    architecture="Sam2Model",
    start=Sam2Config(),
    rows=(
        Implied("vision_config.model_type", "sam2_vision_model"),
        Implied("vision_config.backbone_config.model_type", "sam2_hiera_det_model"),
        Field("image_encoder.dim", "vision_config.backbone_config.hidden_size", 96),
        Implied("vision_config.backbone_config.num_attention_heads", lambda c: c.image_encoder.heads),
        Field("image_encoder.in_channels", "vision_config.backbone_config.num_channels", 3),
        Implied("vision_config.backbone_config.image_size", lambda c: list(c.image_size)),
        Field("image_encoder.position_size", "vision_config.backbone_config.window_positional_embedding_background_size", [7, 7], PAIR),
        Field("image_encoder.stages", "vision_config.backbone_config.blocks_per_stage", [1, 2, 7, 2], LIST),
        Implied("vision_config.backbone_config.embed_dim_per_stage", lambda c: list(c.image_encoder.stage_dims), [96, 192, 384, 768]),
        Field("image_encoder.heads", "vision_config.backbone_config.num_attention_heads_per_stage", [1, 2, 4, 8], FIRST),
        Field("image_encoder.window_sizes", "vision_config.backbone_config.window_size_per_stage", [8, 4, 14, 7], LIST),
        Field("image_encoder.global_blocks", "vision_config.backbone_config.global_attention_blocks", [5, 7, 9], LIST),
        Field("image_encoder.mlp_ratio", "vision_config.backbone_config.mlp_ratio", 4.0),
        Implied("vision_config.backbone_channel_list", lambda c: list(reversed(c.image_encoder.stage_dims)), [768, 384, 192, 96]),
        Implied("vision_config.backbone_feature_sizes", lambda c: [[c.image_size[0] // stride] * 2 for stride in (4, 8, 16)]),
        Field("dim", "vision_config.fpn_hidden_size", 256),
        Field("fpn_top_down_levels", "vision_config.fpn_top_down_levels", [2, 3], LIST),

        Implied("prompt_encoder_config.model_type", "sam2_prompt_encoder"),
        Implied("prompt_encoder_config.hidden_size", lambda c: c.dim, 256),
        Field("image_size", "prompt_encoder_config.image_size", 1024, SIDE),
        Implied("prompt_encoder_config.patch_size", 16),
        Field("prompt_encoder.mask_channels", "prompt_encoder_config.mask_input_channels", 16),

        Implied("mask_decoder_config.model_type", "sam2_mask_decoder"),
        *_DECODER,
        Field("mask_decoder.dynamic_multimask", "mask_decoder_config.dynamic_multimask_via_stability", True),
        Field("mask_decoder.stability_delta", "mask_decoder_config.dynamic_multimask_stability_delta", 0.05),
        Field("mask_decoder.stability_threshold", "mask_decoder_config.dynamic_multimask_stability_thresh", 0.98),
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
        ("mask_decoder.high_quality", False, "HQ-SAM 2 is not part of it"),
    ),
)

_SAM2_VIDEO = Table(
    architecture="Sam2VideoModel",
    start=_SAM2.start,
    rows=(
        *_SAM2.rows,
        Implied("prompt_encoder_config.model_type", "sam2_video_prompt_encoder"),
        Implied("mask_decoder_config.model_type", "sam2_video_mask_decoder"),
        Implied("image_size", lambda c: c.image_size[0]),
        Field("memory.slots", "num_maskmem", 7),
        Field("memory.pointers", "max_object_pointers_in_encoder", 16),
        Field("memory.nearest_prompts", "max_cond_frame_num", -1, NEAREST),
        Field("memory.sigmoid_scale", "sigmoid_scale_for_mem_enc", 20.0),
        Field("memory.sigmoid_bias", "sigmoid_bias_for_mem_enc", -10.0),
        Field("memory.occlusion_embedding", "enable_occlusion_spatial_embedding", True),
        Field("memory.pointer_time", "enable_temporal_pos_encoding_for_object_pointers", True),
        Implied("memory_attention_hidden_size", lambda c: c.dim, 256),
        Field("memory.layers", "memory_attention_num_layers", 4),
        Field("memory.heads", "memory_attention_num_attention_heads", 1),
        Field("memory.mlp_dim", "memory_attention_feed_forward_hidden_size", 2048),
        Field("memory.dropout", "memory_attention_dropout", 0.1),
        Implied("memory_attention_rope_dropout", lambda c: c.memory.dropout),
        Implied("memory_attention_rope_feat_sizes", lambda c: [c.image_size[0] // 16] * 2),
        Field("memory.rope_theta", "memory_attention_rope_theta", None, THETA, written=False),  # in older files
        Implied("rope_parameters.rope_type", "axial"),
        Field("memory.rope_theta", "rope_parameters.rope_theta", None, THETA),
        Implied("memory_encoder_hidden_size", lambda c: c.dim, 256),
        Field("memory.dim", "memory_encoder_output_channels", 64),
        Implied("mask_downsampler_embed_dim", lambda c: c.dim, 256),
        Field("memory.fuser_layers", "memory_fuser_num_layers", 2),
        Implied("memory_fuser_embed_dim", lambda c: c.dim, 256),
        Implied("memory_fuser_intermediate_dim", lambda c: c.dim * 4, 1024),
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

_OF_HIERA = "vision_config.backbone_config."

_EDGETAM = Table(
    architecture="EdgeTamModel",
    start=edge_tam(),
    rows=(
        *(row for row in _SAM2.rows if not row.theirs.startswith((_OF_HIERA, "vision_config.backbone_channel"))),
        Implied("vision_config.model_type", "edgetam_vision_model"),
        Implied("vision_config.backbone_config.model_type", "timm_wrapper"),
        Implied("vision_config.backbone_config.architecture", "repvit_m1"),
        Implied("vision_config.backbone_config.model_args.features_only", True),
        Implied("vision_config.backbone_config.model_args.out_indices", [0, 1, 2, 3]),
        Field("image_encoder.in_channels", "vision_config.backbone_config.model_args.in_chans", 3),
        Field("image_encoder.dims", "vision_config.backbone_config.model_args.embed_dim", [48, 96, 192, 384], LIST),
        Field("image_encoder.depths", "vision_config.backbone_config.model_args.depth", [2, 2, 14, 2], LIST),
        Implied("vision_config.backbone_channel_list", lambda c: list(reversed(c.image_encoder.dims)), [384, 192, 96, 48]),
        Implied("prompt_encoder_config.model_type", "edgetam_prompt_encoder"),
        Implied("mask_decoder_config.model_type", "edgetam_mask_decoder"),
    ),
    fixed={
        **{name: value for name, value in _SAM2.fixed.items() if not name.startswith(_OF_HIERA)},
        "vision_config.backbone_config.architecture": "repvit_m1",
    },
    limits=(
        *(row for row in _SAM2.limits if row[0] != "image_encoder.__class__"),
        ("image_encoder.__class__", RepViTConfig, "its EdgeTAM has RepViT as image encoder"),
    ),
)

_EDGETAM_VIDEO = Table(
    architecture="EdgeTamVideoModel",
    start=_EDGETAM.start,
    rows=(
        *_EDGETAM.rows,
        *(row for row in _SAM2_VIDEO.rows[len(_SAM2.rows):] if "feed_forward" not in row.theirs and row.theirs != "memory_attention_num_layers"),
        Implied("prompt_encoder_config.model_type", "edgetam_video_prompt_encoder"),
        Implied("mask_decoder_config.model_type", "edgetam_video_mask_decoder"),
        Field("memory.layers", "memory_attention_num_layers", 2),
        Field("memory.mlp_dim", "memory_attention_mlp_hidden_size", 2048),
        Field("memory.latents", "perceiver_resampler_num_latents", 256),
        Field("memory.grid_latents", "perceiver_resampler_num_latents_2d", 256, SQUARED),
        Field("memory.perceiver_layers", "perceiver_resampler_num_layers", 2),
        Implied("memory_attention_rope_k_sizes", lambda c: [c.memory.grid_latents] * 2),
        Implied("perceiver_resampler_hidden_size", lambda c: c.memory.dim, 64),
        Implied("perceiver_resampler_attention_head_dim", lambda c: c.memory.dim, 64),
        Implied("perceiver_resampler_mlp_intermediate_size", lambda c: 4 * c.memory.dim, 256),
    ),
    fixed={
        **{name: value for name, value in _SAM2_VIDEO.fixed.items() if name in _EDGETAM.fixed or ("feed_forward" not in name and not name.startswith(_OF_HIERA))},
        **_EDGETAM.fixed,
        "memory_attention_mlp_hidden_act": "relu",
        "perceiver_resampler_num_attention_heads": 1,
    },
    limits=(
        *_EDGETAM.limits,
        ("memory.dim", 64, "its memories have 64 channels"),
    ),
)

_SAM3_TRACKER = Table(
    architecture="Sam3TrackerModel",
    start=sam3(),
    rows=(
        Implied("vision_config.model_type", "sam3_vision_model"),
        Implied("vision_config.backbone_config.model_type", "sam3_vit_model"),
        Field("image_encoder.dim", "vision_config.backbone_config.hidden_size", 1024),
        Field("image_encoder.mlp_ratio", "vision_config.backbone_config.intermediate_size", 4736, HIDDEN),
        Field("image_encoder.depth", "vision_config.backbone_config.num_hidden_layers", 32),
        Field("image_encoder.heads", "vision_config.backbone_config.num_attention_heads", 16),
        Field("image_encoder.in_channels", "vision_config.backbone_config.num_channels", 3),
        Field("image_size", "vision_config.backbone_config.image_size", 1008, SIDE),
        Field("image_encoder.patch_size", "vision_config.backbone_config.patch_size", 14),
        Field("image_encoder.window_size", "vision_config.backbone_config.window_size", 24),
        Field("image_encoder.global_blocks", "vision_config.backbone_config.global_attn_indexes", [7, 15, 23, 31], LIST),
        Field("image_encoder.position_size", "vision_config.backbone_config.pretrain_image_size", 336, PATCHES),
        # The authors have 1e-5.
        Field("image_encoder.norm_eps", "vision_config.backbone_config.layer_norm_eps", 1e-6),
        Implied("vision_config.backbone_config.rope_parameters.rope_type", "axial"),
        Field("image_encoder.rope_theta", "vision_config.backbone_config.rope_parameters.rope_theta", 10000.0),
        Implied("vision_config.backbone_feature_sizes", lambda c: [[c.grid[0] * finer] * 2 for finer in (4, 2, 1)]),
        Field("dim", "vision_config.fpn_hidden_size", 256),
        *(row for row in _SAM2.rows if row.theirs.startswith(("prompt_encoder_config", "mask_decoder_config")) and not row.theirs.endswith("image_size")),
        Implied("prompt_encoder_config.model_type", "sam3_tracker_prompt_encoder"),
        Implied("prompt_encoder_config.image_size", lambda c: c.image_size[0]),
        Implied("prompt_encoder_config.patch_size", lambda c: c.image_encoder.patch_size, 14),
        Implied("mask_decoder_config.model_type", "sam3_tracker_mask_decoder"),
    ),
    fixed={
        **{name: value for name, value in _SAM2.fixed.items() if not name.startswith("vision_config")},
        "vision_config.scale_factors": [4.0, 2.0, 1.0, 0.5],
        "vision_config.backbone_config.hidden_act": "gelu",
        "vision_config.backbone_config.attention_dropout": 0.0,
        "vision_config.backbone_config.hidden_dropout": 0.0,
        "vision_config.backbone_config.layer_scale_init_value": None,
        "vision_config.backbone_config.rope_parameters.rope_type": "axial",
    },
    limits=(
        *(row for row in _SAM2.limits if row[0] != "image_encoder.__class__"),
        ("image_encoder.neck_levels", 4, "its SAM 3 has a neck of four levels"),
    ),
)

_SAM3_TRACKER_VIDEO = Table(
    architecture="Sam3TrackerVideoModel",
    start=_SAM3_TRACKER.start,
    rows=(
        *_SAM3_TRACKER.rows,
        *_SAM2_VIDEO.rows[len(_SAM2.rows):],
        Implied("prompt_encoder_config.model_type", "sam3_tracker_video_prompt_encoder"),
        Implied("mask_decoder_config.model_type", "sam3_tracker_video_mask_decoder"),
        Field("memory.nearest_prompts", "max_cond_frame_num", 4, NEAREST),
        Implied("memory_attention_rope_feat_sizes", lambda c: list(c.grid)),
    ),
    fixed={
        **_SAM3_TRACKER.fixed,
        **{name: value for name, value in _SAM2_VIDEO.fixed.items() if name not in _SAM2.fixed},
    },
    limits=(
        *_SAM3_TRACKER.limits,
        ("memory.dim", 64, "its memories have 64 channels"),
    ),
)

NESTED = {"sam3_video": "tracker_config"}
"""Types of models of which one part is in a table, and where that is in their files."""

TABLES = {
    "sam": _SAM,
    "sam_hq": _SAM_HQ,
    "sam2": _SAM2,
    "sam2_video": _SAM2_VIDEO,
    "edgetam": _EDGETAM,
    "edgetam_video": _EDGETAM_VIDEO,
    "sam3_tracker": _SAM3_TRACKER,
    "sam3_tracker_video": _SAM3_TRACKER_VIDEO,
}
# fmt: on


def kind_of(config: NetworkConfig, *, memory: bool) -> str:
    """The type of model that holds a network of these sizes, as far as transformers has one."""
    kind = "edgetam" if isinstance(config.image_encoder, RepViTConfig) else config.family
    if isinstance(config.image_encoder, PeViTConfig):
        kind = "sam3_tracker"
    if config.mask_decoder.high_quality and f"{kind}_hq" in TABLES:
        kind = f"{kind}_hq"
    return f"{kind}_video" if memory and f"{kind}_video" in TABLES else kind
