"""Names of the tensors of SAM 3 and 3.1 elsewhere, as far as clicks and memory need them. Rows: (samkit, other)."""

# Rows are lines of any length.
# ruff: noqa: E501

from samkit.weights import keys_sam2
from samkit.weights.keys import Layout, RenameTable, Repeated, Stacked

__all__ = ["HUGGING_FACE", "LAYOUTS", "LAYOUTS_31", "META", "META_31", "UNUSED"]

_LAYERS = 32

# Tensors that files of samkit hold so that Meta's can be written, and no network has.
UNUSED = ("image_encoder.trunk.class_position",)

# fmt: off
_TRUNK = (
    ("image_encoder.trunk.blocks.{i}.attn.out_proj.{rest}", "detector.backbone.vision_backbone.trunk.blocks.{i}.attn.proj.{rest}"),
    ("image_encoder.trunk.blocks.{i}.mlp.layers.0.{rest}", "detector.backbone.vision_backbone.trunk.blocks.{i}.mlp.fc1.{rest}"),
    ("image_encoder.trunk.blocks.{i}.mlp.layers.1.{rest}", "detector.backbone.vision_backbone.trunk.blocks.{i}.mlp.fc2.{rest}"),
    ("image_encoder.trunk.{rest}", "detector.backbone.vision_backbone.trunk.{rest}"),
)
_FUSED = tuple(
    Stacked(
        ours=tuple(f"image_encoder.trunk.blocks.{i}.attn.{part}_proj.{kind}" for part in "qkv"),
        theirs=f"detector.backbone.vision_backbone.trunk.blocks.{i}.attn.qkv.{kind}",
    )
    for i in range(_LAYERS)
    for kind in ("weight", "bias")
)
_CLASS = (("image_encoder.trunk.class_position", "detector.backbone.vision_backbone.trunk.pos_embed"),)
# Positions that follow from the sizes, and the detector's parts.
_BESIDE = (
    "detector.backbone.vision_backbone.trunk.blocks.{i}.attn.freqs_cis",
    "detector.backbone.vision_backbone.convs.{rest}",
    "detector.backbone.language_backbone.{rest}",
    "detector.geometry_encoder.{rest}",
    "detector.transformer.{rest}",
    "detector.segmentation_head.{rest}",
    "detector.dot_prod_scoring.{rest}",
)

META = RenameTable(
    rows=(
        *_TRUNK,
        ("image_encoder.neck.{rest}", "detector.backbone.vision_backbone.sam2_{rest}"),
        ("prompt_encoder.{rest}", "tracker.sam_prompt_encoder.{rest}"),
        ("mask_decoder.transformer.layers.{i}.mlp.layers.0.{rest}", "tracker.sam_mask_decoder.transformer.layers.{i}.mlp.lin1.{rest}"),
        ("mask_decoder.transformer.layers.{i}.mlp.layers.1.{rest}", "tracker.sam_mask_decoder.transformer.layers.{i}.mlp.lin2.{rest}"),
        ("mask_decoder.{rest}", "tracker.sam_mask_decoder.{rest}"),
        ("memory_attention.{rest}", "tracker.transformer.encoder.{rest}"),
        ("memory_encoder.{rest}", "tracker.maskmem_backbone.{rest}"),
        ("{rest}", "tracker.{rest}"),
    ),
    stacked=_FUSED,
    class_positions=_CLASS,
    left_out=_BESIDE,
)
"""Meta's sam3.pt."""

_CLICKS_31 = "tracker.model.interactive_"

META_31 = RenameTable(
    rows=(
        *_TRUNK,
        ("image_encoder.neck.{rest}", "detector.backbone.vision_backbone.interactive_{rest}"),
        ("prompt_encoder.{rest}", f"{_CLICKS_31}sam_prompt_encoder.{{rest}}"),
        ("mask_decoder.transformer.layers.{i}.mlp.layers.0.{rest}", f"{_CLICKS_31}sam_mask_decoder.transformer.layers.{{i}}.mlp.lin1.{{rest}}"),
        ("mask_decoder.transformer.layers.{i}.mlp.layers.1.{rest}", f"{_CLICKS_31}sam_mask_decoder.transformer.layers.{{i}}.mlp.lin2.{{rest}}"),
        ("mask_decoder.{rest}", f"{_CLICKS_31}sam_mask_decoder.{{rest}}"),
        ("no_mem_embed", "tracker.model.interactivity_no_mem_embed"),
    ),
    stacked=_FUSED,
    class_positions=_CLASS,
    left_out=(
        *_BESIDE,
        # The memory of 16 objects at a time, which Meta calls multiplex, and what makes it of clicks.
        "detector.backbone.vision_backbone.propagation_convs.{rest}",
        "tracker.model.sam_mask_decoder.{rest}",
        "tracker.model.image_pe_layer.{rest}",
        "tracker.model.transformer.encoder.{rest}",
        "tracker.model.maskmem_backbone.{rest}",
        "tracker.model.maskmem_tpos_enc",
        "tracker.model.obj_ptr_proj.{rest}",
        "tracker.model.obj_ptr_tpos_proj.{rest}",
        "tracker.model.no_obj_ptr_linear.{rest}",
        "tracker.model.no_obj_embed_spatial",
        "tracker.model.output_valid_embed",
        "tracker.model.output_invalid_embed",
        f"{_CLICKS_31}obj_ptr_proj.{{rest}}",
        f"{_CLICKS_31}mask_downsample.{{rest}}",
    ),
)
"""Meta's sam3.1_multiplex.pt."""

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
    # What transformers 5.24 itself writes: of Sam3TrackerVideoModel, and of Sam3VideoModel.
    beginnings=(
        ("tracker_model.detector_model.", "detector_model."),
        ("tracker_model.tracker_neck.", "tracker_neck."),
        ("tracker_model.tracker_model.", "tracker_model."),
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

# Files of samkit hold the detector too.
_SAMKIT = RenameTable(rows=(), left_out=("concept_detector.{rest}",))

LAYOUTS = (
    Layout(family="sam3", names="hugging-face", sign=r"(tracker_model\.){1,2}mask_decoder\..*", table=HUGGING_FACE),
    Layout(family="sam3", names="meta", sign=r"tracker\.sam_mask_decoder\..*", table=META),
    Layout(family="sam3", names="samkit", sign=r"image_encoder\.neck\.convs\.3\.conv_1x1\..*", table=_SAMKIT),
)
LAYOUTS_31 = (
    Layout(family="sam3.1", names="meta", sign=r"tracker\.model\.interactive_sam_mask_decoder\..*", table=META_31),
    Layout(family="sam3.1", names="samkit", sign=r"image_encoder\.trunk\.ln_pre\..*", table=_SAMKIT),
)
# fmt: on
