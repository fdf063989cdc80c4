"""Names of the tensors of SAM 3 elsewhere, as far as clicks and memory need them. Rows: (samkit, other)."""

# Rows are lines of any length.
# ruff: noqa: E501

from samkit.weights import keys_sam2
from samkit.weights.keys import Layout, RenameTable, Repeated, Stacked

__all__ = ["HUGGING_FACE", "LAYOUTS", "META"]

_LAYERS = 32

# fmt: off
META = RenameTable(
    rows=(
        ("image_encoder.trunk.blocks.{i}.attn.out_proj.{rest}", "detector.backbone.vision_backbone.trunk.blocks.{i}.attn.proj.{rest}"),
        ("image_encoder.trunk.blocks.{i}.mlp.layers.0.{rest}", "detector.backbone.vision_backbone.trunk.blocks.{i}.mlp.fc1.{rest}"),
        ("image_encoder.trunk.blocks.{i}.mlp.layers.1.{rest}", "detector.backbone.vision_backbone.trunk.blocks.{i}.mlp.fc2.{rest}"),
        ("image_encoder.trunk.{rest}", "detector.backbone.vision_backbone.trunk.{rest}"),
        ("image_encoder.neck.{rest}", "detector.backbone.vision_backbone.sam2_{rest}"),
        ("prompt_encoder.{rest}", "tracker.sam_prompt_encoder.{rest}"),
        ("mask_decoder.transformer.layers.{i}.mlp.layers.0.{rest}", "tracker.sam_mask_decoder.transformer.layers.{i}.mlp.lin1.{rest}"),
        ("mask_decoder.transformer.layers.{i}.mlp.layers.1.{rest}", "tracker.sam_mask_decoder.transformer.layers.{i}.mlp.lin2.{rest}"),
        ("mask_decoder.{rest}", "tracker.sam_mask_decoder.{rest}"),
        ("memory_attention.{rest}", "tracker.transformer.encoder.{rest}"),
        ("memory_encoder.{rest}", "tracker.maskmem_backbone.{rest}"),
        ("{rest}", "tracker.{rest}"),
    ),
    stacked=tuple(
        Stacked(
            ours=tuple(f"image_encoder.trunk.blocks.{i}.attn.{part}_proj.{kind}" for part in "qkv"),
            theirs=f"detector.backbone.vision_backbone.trunk.blocks.{i}.attn.qkv.{kind}",
        )
        for i in range(_LAYERS)
        for kind in ("weight", "bias")
    ),
    class_positions=("detector.backbone.vision_backbone.trunk.pos_embed",),
    left_out=(
        "detector.backbone.vision_backbone.trunk.blocks.{i}.attn.freqs_cis",
        "detector.backbone.vision_backbone.convs.{rest}",
        "detector.backbone.language_backbone.{rest}",
        "detector.geometry_encoder.{rest}",
        "detector.transformer.{rest}",
        "detector.segmentation_head.{rest}",
        "detector.dot_prod_scoring.{rest}",
    ),
)
"""Meta's sam3.pt."""

_ENCODER = (
    ("image_encoder.trunk.pos_embed", "detector_model.vision_encoder.backbone.embeddings.position_embeddings"),
    ("image_encoder.trunk.patch_embed.proj.{rest}", "detector_model.vision_encoder.backbone.embeddings.patch_embeddings.projection.{rest}"),
    ("image_encoder.trunk.ln_pre.{rest}", "detector_model.vision_encoder.backbone.layer_norm.{rest}"),
    ("image_encoder.trunk.blocks.{i}.norm{j}.{rest}", "detector_model.vision_encoder.backbone.layers.{i}.layer_norm{j}.{rest}"),
    ("image_encoder.trunk.blocks.{i}.attn.out_proj.{rest}", "detector_model.vision_encoder.backbone.layers.{i}.attention.o_proj.{rest}"),
    ("image_encoder.trunk.blocks.{i}.attn.{rest}", "detector_model.vision_encoder.backbone.layers.{i}.attention.{rest}"),
    ("image_encoder.trunk.blocks.{i}.mlp.layers.0.{rest}", "detector_model.vision_encoder.backbone.layers.{i}.mlp.fc1.{rest}"),
    ("image_encoder.trunk.blocks.{i}.mlp.layers.1.{rest}", "detector_model.vision_encoder.backbone.layers.{i}.mlp.fc2.{rest}"),
    ("image_encoder.neck.convs.{i}.conv_1x1.{rest}", "tracker_neck.fpn_layers.{i}.proj1.{rest}"),
    ("image_encoder.neck.convs.{i}.conv_3x3.{rest}", "tracker_neck.fpn_layers.{i}.proj2.{rest}"),
    ("image_encoder.neck.convs.0.dconv_2x2_0.{rest}", "tracker_neck.fpn_layers.0.scale_layers.0.{rest}"),
    ("image_encoder.neck.convs.0.dconv_2x2_1.{rest}", "tracker_neck.fpn_layers.0.scale_layers.2.{rest}"),
    ("image_encoder.neck.convs.1.dconv_2x2.{rest}", "tracker_neck.fpn_layers.1.scale_layers.0.{rest}"),
)

HUGGING_FACE = RenameTable(
    rows=(
        *_ENCODER,
        # What transformers 5.24 itself writes has this before all names.
        *((ours, f"tracker_model.{theirs}") for ours, theirs in _ENCODER),
        *((ours, f"tracker_model.{theirs}") for ours, theirs in keys_sam2.HUGGING_FACE.rows if not ours.startswith("image_encoder.")),
        ("{rest}", "tracker_model.{rest}"),
    ),
    stacked=tuple(Stacked(ours=step.ours, theirs=f"tracker_model.{step.theirs}") for step in keys_sam2.HUGGING_FACE.stacked),
    repeated=tuple(
        Repeated(
            ours=step.ours,
            theirs=tuple(f"tracker_model.{name}" for name in step.theirs),
            written=tuple(f"tracker_model.{name}" for name in step.written),
        )
        for step in keys_sam2.HUGGING_FACE.repeated
    ),
    left_out=(
        "detector_model.vision_encoder.neck.{rest}",
        "detector_model.text_encoder.{rest}",
        "detector_model.text_projection.{rest}",
        "detector_model.geometry_encoder.{rest}",
        "detector_model.detr_encoder.{rest}",
        "detector_model.detr_decoder.{rest}",
        "detector_model.mask_decoder.{rest}",
        "detector_model.dot_product_scoring.{rest}",
    ),
)
"""facebook/sam3: Sam3VideoModel of transformers, and Sam3TrackerVideoModel and Sam3TrackerModel, which are parts of it; the
last one lacks the memory's tensors."""

LAYOUTS = (
    Layout(family="sam3", names="hugging-face", sign=r"tracker_model\.mask_decoder\..*", table=HUGGING_FACE),
    Layout(family="sam3", names="meta", sign=r"tracker\.sam_mask_decoder\..*", table=META),
    Layout(family="sam3", names="samkit", sign=r"image_encoder\.trunk\.ln_pre\..*"),
)
# fmt: on
