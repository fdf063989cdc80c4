"""Names of the tensors of SAM and MobileSAM elsewhere. Rows: (samkit, other)."""

# Rows are lines of any length.
# ruff: noqa: E501

from samkit.weights.keys import Layout, RenameTable, Repeated

__all__ = ["HUGGING_FACE", "LAYOUTS", "META", "UNUSED"]

# Tensors that some checkpoints carry and no forward pass of a mask reads: MobileSAM's classifier
# head, the lookup indices of its attention biases, and the constants of the input normalisation.
# They are never an error, and conversion keeps them unchanged.
UNUSED = (
    "image_encoder.head.{rest}",
    "image_encoder.norm_head.{rest}",
    "image_encoder.layers.{i}.blocks.{j}.attn.attention_bias_idxs",
    "pixel_mean",
    "pixel_std",
)

# fmt: off
META = RenameTable(
    rows=(
        ("image_encoder.blocks.{i}.mlp.layers.0.{rest}", "image_encoder.blocks.{i}.mlp.lin1.{rest}"),
        ("image_encoder.blocks.{i}.mlp.layers.1.{rest}", "image_encoder.blocks.{i}.mlp.lin2.{rest}"),
        ("mask_decoder.transformer.layers.{i}.mlp.layers.0.{rest}", "mask_decoder.transformer.layers.{i}.mlp.lin1.{rest}"),
        ("mask_decoder.transformer.layers.{i}.mlp.layers.1.{rest}", "mask_decoder.transformer.layers.{i}.mlp.lin2.{rest}"),
    ),
)
"""Meta's segment-anything, MobileSAM and Ultralytics."""

HUGGING_FACE_HEADS = (
    ("prompt_encoder.mask_downscaling.0.{rest}", "prompt_encoder.mask_embed.conv1.{rest}"),
    ("prompt_encoder.mask_downscaling.1.{rest}", "prompt_encoder.mask_embed.layer_norm1.{rest}"),
    ("prompt_encoder.mask_downscaling.3.{rest}", "prompt_encoder.mask_embed.conv2.{rest}"),
    ("prompt_encoder.mask_downscaling.4.{rest}", "prompt_encoder.mask_embed.layer_norm2.{rest}"),
    ("prompt_encoder.mask_downscaling.6.{rest}", "prompt_encoder.mask_embed.conv3.{rest}"),
    ("mask_decoder.transformer.layers.{i}.norm{j}.{rest}", "mask_decoder.transformer.layers.{i}.layer_norm{j}.{rest}"),
    ("mask_decoder.transformer.norm_final_attn.{rest}", "mask_decoder.transformer.layer_norm_final_attn.{rest}"),
    ("mask_decoder.output_upscaling.0.{rest}", "mask_decoder.upscale_conv1.{rest}"),
    ("mask_decoder.output_upscaling.1.{rest}", "mask_decoder.upscale_layer_norm.{rest}"),
    ("mask_decoder.output_upscaling.3.{rest}", "mask_decoder.upscale_conv2.{rest}"),
    ("mask_decoder.output_hypernetworks_mlps.{i}.layers.0.{rest}", "mask_decoder.output_hypernetworks_mlps.{i}.proj_in.{rest}"),
    ("mask_decoder.output_hypernetworks_mlps.{i}.layers.1.{rest}", "mask_decoder.output_hypernetworks_mlps.{i}.layers.0.{rest}"),
    ("mask_decoder.output_hypernetworks_mlps.{i}.layers.2.{rest}", "mask_decoder.output_hypernetworks_mlps.{i}.proj_out.{rest}"),
    ("mask_decoder.iou_prediction_head.layers.0.{rest}", "mask_decoder.iou_prediction_head.proj_in.{rest}"),
    ("mask_decoder.iou_prediction_head.layers.1.{rest}", "mask_decoder.iou_prediction_head.layers.0.{rest}"),
    ("mask_decoder.iou_prediction_head.layers.2.{rest}", "mask_decoder.iou_prediction_head.proj_out.{rest}"),
)
"""The prompt encoder and the mask decoder, as far as SAM 2 has the same rows."""

HUGGING_FACE = RenameTable(
    rows=(
        ("image_encoder.pos_embed", "vision_encoder.pos_embed"),
        ("image_encoder.patch_embed.proj.{rest}", "vision_encoder.patch_embed.projection.{rest}"),
        ("image_encoder.blocks.{i}.norm{j}.{rest}", "vision_encoder.layers.{i}.layer_norm{j}.{rest}"),
        ("image_encoder.blocks.{i}.attn.{rest}", "vision_encoder.layers.{i}.attn.{rest}"),
        ("image_encoder.blocks.{i}.mlp.layers.0.{rest}", "vision_encoder.layers.{i}.mlp.lin1.{rest}"),
        ("image_encoder.blocks.{i}.mlp.layers.1.{rest}", "vision_encoder.layers.{i}.mlp.lin2.{rest}"),
        ("image_encoder.neck.0.{rest}", "vision_encoder.neck.conv1.{rest}"),
        ("image_encoder.neck.1.{rest}", "vision_encoder.neck.layer_norm1.{rest}"),
        ("image_encoder.neck.2.{rest}", "vision_encoder.neck.conv2.{rest}"),
        ("image_encoder.neck.3.{rest}", "vision_encoder.neck.layer_norm2.{rest}"),

        ("prompt_encoder.point_embeddings.{i}.{rest}", "prompt_encoder.point_embed.{i}.{rest}"),
        *HUGGING_FACE_HEADS,
        ("mask_decoder.transformer.layers.{i}.mlp.layers.0.{rest}", "mask_decoder.transformer.layers.{i}.mlp.lin1.{rest}"),
        ("mask_decoder.transformer.layers.{i}.mlp.layers.1.{rest}", "mask_decoder.transformer.layers.{i}.mlp.lin2.{rest}"),
    ),
    repeated=(
        # The random Fourier matrix serves prompts and image; transformers writes it once.
        Repeated(
            ours="prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
            theirs=("shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding"),
            written=("shared_image_embedding.positional_embedding",),
        ),
    ),
)
"""SamModel of transformers."""

LAYOUTS = (
    Layout(family="sam", names="hugging-face", sign=r"vision_encoder\.layers\..*", table=HUGGING_FACE),
    Layout(family="sam", names="meta", sign=r"mask_decoder\.transformer\.layers\.0\.mlp\.lin1\..*", table=META),
    Layout(family="sam", names="samkit", sign=r"mask_decoder\.transformer\.layers\.0\.mlp\.layers\.0\..*"),
)
# fmt: on
