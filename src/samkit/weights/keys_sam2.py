"""Names of the tensors of SAM 2 and 2.1 elsewhere. Rows: (samkit, other)."""

# Rows are lines of any length.
# ruff: noqa: E501

from samkit.weights.keys import Layout, RenameTable, Repeated, Stacked
from samkit.weights.keys_sam import HUGGING_FACE_HEADS

__all__ = ["HUGGING_FACE", "LAYOUTS", "MEMORY", "META"]

# Tensors that images do not need. A checkpoint of transformers' Sam2Model has none of these tensors.
MEMORY = (
    "memory_attention.{rest}",
    "memory_encoder.{rest}",
    "mask_downsample.{rest}",
    "obj_ptr_proj.{rest}",
    "obj_ptr_tpos_proj.{rest}",
    "maskmem_tpos_enc",
    "no_mem_pos_enc",
    "no_obj_ptr",
    "no_obj_embed_spatial",
    "spatial_perceiver.{rest}",  # of EdgeTAM
)

# fmt: off
META = RenameTable(
    rows=(
        ("prompt_encoder.{rest}", "sam_prompt_encoder.{rest}"),
        ("mask_decoder.{rest}", "sam_mask_decoder.{rest}"),
    ),
)
"""Meta's sam2 and Ultralytics."""

HUGGING_FACE = RenameTable(
    rows=(
        ("image_encoder.trunk.pos_embed", "vision_encoder.backbone.pos_embed"),
        ("image_encoder.trunk.pos_embed_window", "vision_encoder.backbone.pos_embed_window"),
        ("image_encoder.trunk.patch_embed.proj.{rest}", "vision_encoder.backbone.patch_embed.projection.{rest}"),
        ("image_encoder.trunk.blocks.{i}.norm{j}.{rest}", "vision_encoder.backbone.blocks.{i}.layer_norm{j}.{rest}"),
        ("image_encoder.trunk.blocks.{i}.mlp.layers.0.{rest}", "vision_encoder.backbone.blocks.{i}.mlp.proj_in.{rest}"),
        ("image_encoder.trunk.blocks.{i}.mlp.layers.1.{rest}", "vision_encoder.backbone.blocks.{i}.mlp.proj_out.{rest}"),
        ("image_encoder.trunk.blocks.{i}.attn.{rest}", "vision_encoder.backbone.blocks.{i}.attn.{rest}"),
        ("image_encoder.trunk.blocks.{i}.proj.{rest}", "vision_encoder.backbone.blocks.{i}.proj.{rest}"),
        ("image_encoder.neck.convs.{i}.conv.{rest}", "vision_encoder.neck.convs.{i}.{rest}"),

        *HUGGING_FACE_HEADS,
        ("mask_decoder.transformer.layers.{i}.mlp.layers.0.{rest}", "mask_decoder.transformer.layers.{i}.mlp.proj_in.{rest}"),
        ("mask_decoder.transformer.layers.{i}.mlp.layers.1.{rest}", "mask_decoder.transformer.layers.{i}.mlp.proj_out.{rest}"),
        ("mask_decoder.transformer.layers.{i}.self_attn.out_proj.{rest}", "mask_decoder.transformer.layers.{i}.self_attn.o_proj.{rest}"),
        ("mask_decoder.transformer.layers.{i}.cross_attn_token_to_image.out_proj.{rest}", "mask_decoder.transformer.layers.{i}.cross_attn_token_to_image.o_proj.{rest}"),
        ("mask_decoder.transformer.layers.{i}.cross_attn_image_to_token.out_proj.{rest}", "mask_decoder.transformer.layers.{i}.cross_attn_image_to_token.o_proj.{rest}"),
        ("mask_decoder.transformer.final_attn_token_to_image.out_proj.{rest}", "mask_decoder.transformer.final_attn_token_to_image.o_proj.{rest}"),
        ("mask_decoder.pred_obj_score_head.layers.0.{rest}", "mask_decoder.pred_obj_score_head.proj_in.{rest}"),
        ("mask_decoder.pred_obj_score_head.layers.1.{rest}", "mask_decoder.pred_obj_score_head.layers.0.{rest}"),
        ("mask_decoder.pred_obj_score_head.layers.2.{rest}", "mask_decoder.pred_obj_score_head.proj_out.{rest}"),

        ("memory_attention.norm.{rest}", "memory_attention.layer_norm.{rest}"),
        ("memory_attention.layers.{i}.norm{j}.{rest}", "memory_attention.layers.{i}.layer_norm{j}.{rest}"),
        ("memory_attention.layers.{i}.self_attn.out_proj.{rest}", "memory_attention.layers.{i}.self_attn.o_proj.{rest}"),
        ("memory_attention.layers.{i}.cross_attn_image.out_proj.{rest}", "memory_attention.layers.{i}.cross_attn_image.o_proj.{rest}"),
        ("memory_encoder.pix_feat_proj.{rest}", "memory_encoder.feature_projection.{rest}"),
        ("memory_encoder.out_proj.{rest}", "memory_encoder.projection.{rest}"),
        ("memory_encoder.mask_downsampler.encoder.0.{rest}", "memory_encoder.mask_downsampler.layers.0.conv.{rest}"),
        ("memory_encoder.mask_downsampler.encoder.1.{rest}", "memory_encoder.mask_downsampler.layers.0.layer_norm.{rest}"),
        ("memory_encoder.mask_downsampler.encoder.3.{rest}", "memory_encoder.mask_downsampler.layers.1.conv.{rest}"),
        ("memory_encoder.mask_downsampler.encoder.4.{rest}", "memory_encoder.mask_downsampler.layers.1.layer_norm.{rest}"),
        ("memory_encoder.mask_downsampler.encoder.6.{rest}", "memory_encoder.mask_downsampler.layers.2.conv.{rest}"),
        ("memory_encoder.mask_downsampler.encoder.7.{rest}", "memory_encoder.mask_downsampler.layers.2.layer_norm.{rest}"),
        ("memory_encoder.mask_downsampler.encoder.9.{rest}", "memory_encoder.mask_downsampler.layers.3.conv.{rest}"),
        ("memory_encoder.mask_downsampler.encoder.10.{rest}", "memory_encoder.mask_downsampler.layers.3.layer_norm.{rest}"),
        ("memory_encoder.mask_downsampler.encoder.12.{rest}", "memory_encoder.mask_downsampler.final_conv.{rest}"),
        ("memory_encoder.fuser.layers.{i}.dwconv.{rest}", "memory_encoder.memory_fuser.layers.{i}.depthwise_conv.{rest}"),
        ("memory_encoder.fuser.layers.{i}.norm.{rest}", "memory_encoder.memory_fuser.layers.{i}.layer_norm.{rest}"),
        ("memory_encoder.fuser.layers.{i}.pwconv{j}.{rest}", "memory_encoder.memory_fuser.layers.{i}.pointwise_conv{j}.{rest}"),
        ("memory_encoder.fuser.layers.{i}.gamma", "memory_encoder.memory_fuser.layers.{i}.scale"),

        ("obj_ptr_proj.layers.0.{rest}", "object_pointer_proj.proj_in.{rest}"),
        ("obj_ptr_proj.layers.1.{rest}", "object_pointer_proj.layers.0.{rest}"),
        ("obj_ptr_proj.layers.2.{rest}", "object_pointer_proj.proj_out.{rest}"),
        ("obj_ptr_tpos_proj.{rest}", "temporal_positional_encoding_projection_layer.{rest}"),
        ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
        ("no_mem_embed", "no_memory_embedding"),
        ("no_mem_pos_enc", "no_memory_positional_encoding"),
        ("no_obj_ptr", "no_object_pointer"),
        ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
    ),
    stacked=(
        Stacked(
            ours=(
                "prompt_encoder.point_embeddings.0.weight",
                "prompt_encoder.point_embeddings.1.weight",
                "prompt_encoder.point_embeddings.2.weight",
                "prompt_encoder.point_embeddings.3.weight",
            ),
            theirs="prompt_encoder.point_embed.weight",
        ),
    ),
    repeated=(
        # The random Fourier matrix serves prompts and image; transformers writes it twice.
        Repeated(
            ours="prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
            theirs=("shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding"),
            written=("shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding"),
        ),
    ),
)
"""Sam2Model and Sam2VideoModel of transformers; the former lacks the memory's tensors."""

LAYOUTS = (
    Layout(family="sam2", names="hugging-face", sign=r"vision_encoder\.backbone\.blocks\..*", table=HUGGING_FACE),
    Layout(family="sam2", names="meta", sign=r"sam_mask_decoder\..*", table=META),
    Layout(family="sam2", names="samkit", sign=r"image_encoder\.trunk\..*"),
)
# fmt: on
