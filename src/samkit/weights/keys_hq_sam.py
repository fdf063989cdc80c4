"""Names of the tensors of HQ-SAM elsewhere, where they are not those of SAM. Rows: (samkit, other)."""

# Rows are lines of any length.
# ruff: noqa: E501

from samkit.weights import keys_sam
from samkit.weights.keys import Layout, RenameTable

__all__ = ["HUGGING_FACE", "LAYOUTS", "META"]

# fmt: off
META = RenameTable(
    rows=(
        ("mask_decoder.hq.token.{rest}", "mask_decoder.hf_token.{rest}"),
        ("mask_decoder.hq.mlp.{rest}", "mask_decoder.hf_mlp.{rest}"),
        ("mask_decoder.hq.compress_vit_feat.{rest}", "mask_decoder.compress_vit_feat.{rest}"),
        ("mask_decoder.hq.embedding_encoder.{rest}", "mask_decoder.embedding_encoder.{rest}"),
        ("mask_decoder.hq.embedding_maskfeature.{rest}", "mask_decoder.embedding_maskfeature.{rest}"),
        *keys_sam.META.rows,
    ),
)
"""The published HQ-SAM, and the light one with MobileSAM's image encoder."""

HUGGING_FACE = RenameTable(
    rows=(
        ("mask_decoder.hq.token.{rest}", "mask_decoder.hq_token.{rest}"),
        ("mask_decoder.hq.mlp.layers.0.{rest}", "mask_decoder.hq_mask_mlp.proj_in.{rest}"),
        ("mask_decoder.hq.mlp.layers.1.{rest}", "mask_decoder.hq_mask_mlp.layers.0.{rest}"),
        ("mask_decoder.hq.mlp.layers.2.{rest}", "mask_decoder.hq_mask_mlp.proj_out.{rest}"),
        ("mask_decoder.hq.compress_vit_feat.0.{rest}", "mask_decoder.compress_vit_conv1.{rest}"),
        ("mask_decoder.hq.compress_vit_feat.1.{rest}", "mask_decoder.compress_vit_norm.{rest}"),
        ("mask_decoder.hq.compress_vit_feat.3.{rest}", "mask_decoder.compress_vit_conv2.{rest}"),
        ("mask_decoder.hq.embedding_encoder.0.{rest}", "mask_decoder.encoder_conv1.{rest}"),
        ("mask_decoder.hq.embedding_encoder.1.{rest}", "mask_decoder.encoder_norm.{rest}"),
        ("mask_decoder.hq.embedding_encoder.3.{rest}", "mask_decoder.encoder_conv2.{rest}"),
        ("mask_decoder.hq.embedding_maskfeature.0.{rest}", "mask_decoder.mask_conv1.{rest}"),
        ("mask_decoder.hq.embedding_maskfeature.1.{rest}", "mask_decoder.mask_norm.{rest}"),
        ("mask_decoder.hq.embedding_maskfeature.3.{rest}", "mask_decoder.mask_conv2.{rest}"),
        *keys_sam.HUGGING_FACE.rows,
    ),
    repeated=keys_sam.HUGGING_FACE.repeated,
)
"""SamHQModel of transformers."""

LAYOUTS = (
    Layout(family="sam", names="hugging-face", sign=r"mask_decoder\.hq_mask_mlp\..*", table=HUGGING_FACE),
    Layout(family="sam", names="meta", sign=r"mask_decoder\.hf_mlp\..*", table=META),
    Layout(family="sam", names="samkit", sign=r"mask_decoder\.hq\.compress_vit_feat\..*"),
)
# fmt: on
