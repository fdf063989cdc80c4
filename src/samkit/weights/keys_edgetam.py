"""Names of the tensors of EdgeTAM elsewhere, where they are not those of SAM 2. Rows: (samkit, other)."""

# Rows are lines of any length.
# ruff: noqa: E501

from samkit.weights import keys_sam2
from samkit.weights.keys import Layout, RenameTable, Stacked

__all__ = ["HUGGING_FACE", "LAYOUTS", "META"]

# fmt: off
META = RenameTable(
    rows=keys_sam2.META.rows,
    # Keys and values of the perceiver are one projection, of each of its two layers.
    stacked=tuple(
        Stacked(
            ours=(f"spatial_perceiver.layers.{i}.{attention}.to_k.weight", f"spatial_perceiver.layers.{i}.{attention}.to_v.weight"),
            theirs=f"spatial_perceiver.layers.{i}.{attention}.to_kv.weight",
        )
        for i in range(2)
        for attention in ("attn", "self_attn")
    ),
)
"""The published EdgeTAM."""

HUGGING_FACE = RenameTable(
    rows=(
        ("image_encoder.trunk.body.{rest}", "vision_encoder.backbone.timm_model.{rest}"),
        ("memory_attention.layers.{i}.linear1.{rest}", "memory_attention.layers.{i}.mlp.up_proj.{rest}"),
        ("memory_attention.layers.{i}.linear2.{rest}", "memory_attention.layers.{i}.mlp.down_proj.{rest}"),
        ("spatial_perceiver.latents", "spatial_perceiver.latents_1d"),
        ("spatial_perceiver.norm.{rest}", "spatial_perceiver.layer_norm.{rest}"),
        ("spatial_perceiver.layers.{i}.attn.to_q.{rest}", "spatial_perceiver.layers.{i}.cross_attention.q_proj.{rest}"),
        ("spatial_perceiver.layers.{i}.attn.to_k.{rest}", "spatial_perceiver.layers.{i}.cross_attention.k_proj.{rest}"),
        ("spatial_perceiver.layers.{i}.attn.to_v.{rest}", "spatial_perceiver.layers.{i}.cross_attention.v_proj.{rest}"),
        ("spatial_perceiver.layers.{i}.attn.to_out.{rest}", "spatial_perceiver.layers.{i}.cross_attention.o_proj.{rest}"),
        ("spatial_perceiver.layers.{i}.self_attn.to_q.{rest}", "spatial_perceiver.layers.{i}.self_attention.q_proj.{rest}"),
        ("spatial_perceiver.layers.{i}.self_attn.to_k.{rest}", "spatial_perceiver.layers.{i}.self_attention.k_proj.{rest}"),
        ("spatial_perceiver.layers.{i}.self_attn.to_v.{rest}", "spatial_perceiver.layers.{i}.self_attention.v_proj.{rest}"),
        ("spatial_perceiver.layers.{i}.self_attn.to_out.{rest}", "spatial_perceiver.layers.{i}.self_attention.o_proj.{rest}"),
        ("spatial_perceiver.layers.{i}.attn.norm_x.{rest}", "spatial_perceiver.layers.{i}.layer_norm_input.{rest}"),
        ("spatial_perceiver.layers.{i}.attn.norm_latents.{rest}", "spatial_perceiver.layers.{i}.layer_norm_latents.{rest}"),
        ("spatial_perceiver.layers.{i}.self_attn.norm.{rest}", "spatial_perceiver.layers.{i}.layer_norm_self.{rest}"),
        ("spatial_perceiver.layers.{i}.ff.0.{rest}", "spatial_perceiver.layers.{i}.mlp.layer_norm.{rest}"),
        ("spatial_perceiver.layers.{i}.ff.1.{rest}", "spatial_perceiver.layers.{i}.mlp.up_proj.{rest}"),
        ("spatial_perceiver.layers.{i}.ff.3.{rest}", "spatial_perceiver.layers.{i}.mlp.down_proj.{rest}"),
        ("spatial_perceiver.layers.{i}.self_ff.0.{rest}", "spatial_perceiver.layers.{i}.self_mlp.layer_norm.{rest}"),
        ("spatial_perceiver.layers.{i}.self_ff.1.{rest}", "spatial_perceiver.layers.{i}.self_mlp.up_proj.{rest}"),
        ("spatial_perceiver.layers.{i}.self_ff.3.{rest}", "spatial_perceiver.layers.{i}.self_mlp.down_proj.{rest}"),
        *keys_sam2.HUGGING_FACE.rows,
    ),
    stacked=keys_sam2.HUGGING_FACE.stacked,
    repeated=keys_sam2.HUGGING_FACE.repeated,
)
"""EdgeTamModel and EdgeTamVideoModel of transformers; the former lacks the memory's tensors."""

LAYOUTS = (
    Layout(family="sam2", names="hugging-face", sign=r"vision_encoder\.backbone\.timm_model\..*", table=HUGGING_FACE),
    Layout(family="sam2", names="meta", sign=r"spatial_perceiver\.layers\.0\.attn\.to_kv\..*", table=META),
    Layout(family="sam2", names="samkit", sign=r"image_encoder\.trunk\.body\..*"),
)
# fmt: on
