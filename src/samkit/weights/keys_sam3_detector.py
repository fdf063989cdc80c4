"""Names of the tensors of SAM 3's detector of concepts elsewhere. Rows: (samkit, other)."""

# Rows are lines of any length.
# ruff: noqa: E501

from samkit.weights.keys import RenameTable, Stacked

__all__ = ["BEGINNINGS", "HUGGING_FACE", "META", "TABLES", "UNUSED"]

# Tensors that the authors' files hold, and our detector does not have.
UNUSED = ("text_encoder.text_projection", "geometry_encoder.points_{rest}")

# Layers of a part at most, in Meta's file.
_TEXT_LAYERS, _LAYERS = 24, 6

# fmt: off
_META_FUSED = (
    *((f"text_encoder.blocks.{i}.attn", f"backbone.language_backbone.encoder.transformer.resblocks.{i}.attn") for i in range(_TEXT_LAYERS)),
    *((f"geometry_encoder.layers.{i}.self_attn", f"geometry_encoder.encode.{i}.self_attn") for i in range(_LAYERS)),
    *((f"geometry_encoder.layers.{i}.cross_attn", f"geometry_encoder.encode.{i}.cross_attn_image") for i in range(_LAYERS)),
    *((f"encoder.{i}.self_attn", f"transformer.encoder.layers.{i}.self_attn") for i in range(_LAYERS)),
    *((f"encoder.{i}.cross_attn", f"transformer.encoder.layers.{i}.cross_attn_image") for i in range(_LAYERS)),
    *((f"decoder.layers.{i}.{name}", f"transformer.decoder.layers.{i}.{name}") for i in range(_LAYERS) for name in ("self_attn", "ca_text", "cross_attn")),
    ("segmentation_head.cross_attend_prompt", "segmentation_head.cross_attend_prompt"),
)

META = RenameTable(
    rows=(
        ("neck.{rest}", "detector.backbone.vision_backbone.{rest}"),
        ("text_encoder.blocks.{i}.norm{j}.{rest}", "detector.backbone.language_backbone.encoder.transformer.resblocks.{i}.ln_{j}.{rest}"),
        ("text_encoder.blocks.{i}.mlp.layers.0.{rest}", "detector.backbone.language_backbone.encoder.transformer.resblocks.{i}.mlp.c_fc.{rest}"),
        ("text_encoder.blocks.{i}.mlp.layers.1.{rest}", "detector.backbone.language_backbone.encoder.transformer.resblocks.{i}.mlp.c_proj.{rest}"),
        ("text_encoder.blocks.{rest}", "detector.backbone.language_backbone.encoder.transformer.resblocks.{rest}"),
        ("text_encoder.norm.{rest}", "detector.backbone.language_backbone.encoder.ln_final.{rest}"),
        ("text_encoder.resizer.{rest}", "detector.backbone.language_backbone.resizer.{rest}"),
        ("text_encoder.{rest}", "detector.backbone.language_backbone.encoder.{rest}"),
        ("geometry_encoder.layers.{i}.cross_attn.{rest}", "detector.geometry_encoder.encode.{i}.cross_attn_image.{rest}"),
        ("geometry_encoder.layers.{i}.mlp.layers.0.{rest}", "detector.geometry_encoder.encode.{i}.linear1.{rest}"),
        ("geometry_encoder.layers.{i}.mlp.layers.1.{rest}", "detector.geometry_encoder.encode.{i}.linear2.{rest}"),
        ("geometry_encoder.layers.{rest}", "detector.geometry_encoder.encode.{rest}"),
        ("geometry_encoder.{rest}", "detector.geometry_encoder.{rest}"),
        ("encoder.{i}.cross_attn.{rest}", "detector.transformer.encoder.layers.{i}.cross_attn_image.{rest}"),
        ("encoder.{i}.mlp.layers.0.{rest}", "detector.transformer.encoder.layers.{i}.linear1.{rest}"),
        ("encoder.{i}.mlp.layers.1.{rest}", "detector.transformer.encoder.layers.{i}.linear2.{rest}"),
        ("encoder.{rest}", "detector.transformer.encoder.layers.{rest}"),
        ("decoder.layers.{i}.mlp.layers.0.{rest}", "detector.transformer.decoder.layers.{i}.linear1.{rest}"),
        ("decoder.layers.{i}.mlp.layers.1.{rest}", "detector.transformer.decoder.layers.{i}.linear2.{rest}"),
        ("decoder.{rest}", "detector.transformer.decoder.{rest}"),
        ("segmentation_head.conv_layers.{rest}", "detector.segmentation_head.pixel_decoder.conv_layers.{rest}"),
        ("segmentation_head.norms.{rest}", "detector.segmentation_head.pixel_decoder.norms.{rest}"),
        ("segmentation_head.mask_embed.{rest}", "detector.segmentation_head.mask_predictor.mask_embed.{rest}"),
        ("segmentation_head.{rest}", "detector.segmentation_head.{rest}"),
        ("dot_prod_scoring.out_norm.{rest}", "detector.dot_prod_scoring.prompt_mlp.out_norm.{rest}"),
        ("dot_prod_scoring.{rest}", "detector.dot_prod_scoring.{rest}"),
    ),
    stacked=tuple(
        Stacked(ours=tuple(f"{ours}.{part}_proj.{kind}" for part in "qkv"), theirs=f"detector.{theirs}.in_proj_{kind}")
        for ours, theirs in _META_FUSED
        for kind in ("weight", "bias")
    ),
    left_out=(
        "detector.backbone.vision_backbone.trunk.{rest}",
        "detector.backbone.vision_backbone.sam2_convs.{rest}",
        "detector.backbone.vision_backbone.interactive_convs.{rest}",
        "detector.backbone.vision_backbone.propagation_convs.{rest}",
    ),
)
"""Meta's sam3.pt and sam3.1_multiplex.pt."""

# Before the names of CLIP's text encoder some versions of transformers have this, and others not.
_TEXT = ("detector_model.text_encoder.text_model", "detector_model.text_encoder")

HUGGING_FACE = RenameTable(
    rows=(
        ("neck.convs.{i}.conv_1x1.{rest}", "detector_model.vision_encoder.neck.fpn_layers.{i}.proj1.{rest}"),
        ("neck.convs.{i}.conv_3x3.{rest}", "detector_model.vision_encoder.neck.fpn_layers.{i}.proj2.{rest}"),
        ("neck.convs.0.dconv_2x2_0.{rest}", "detector_model.vision_encoder.neck.fpn_layers.0.scale_layers.0.{rest}"),
        ("neck.convs.0.dconv_2x2_1.{rest}", "detector_model.vision_encoder.neck.fpn_layers.0.scale_layers.2.{rest}"),
        ("neck.convs.1.dconv_2x2.{rest}", "detector_model.vision_encoder.neck.fpn_layers.1.scale_layers.0.{rest}"),
        *(
            (f"text_encoder.{ours}", f"{before}.{theirs}")
            for before in _TEXT
            for ours, theirs in (
                ("token_embedding.{rest}", "embeddings.token_embedding.{rest}"),
                ("positional_embedding", "embeddings.position_embedding.weight"),
                ("blocks.{i}.norm{j}.{rest}", "encoder.layers.{i}.layer_norm{j}.{rest}"),
                ("blocks.{i}.attn.{rest}", "encoder.layers.{i}.self_attn.{rest}"),
                ("blocks.{i}.mlp.layers.0.{rest}", "encoder.layers.{i}.mlp.fc1.{rest}"),
                ("blocks.{i}.mlp.layers.1.{rest}", "encoder.layers.{i}.mlp.fc2.{rest}"),
                ("norm.{rest}", "final_layer_norm.{rest}"),
            )
        ),
        ("text_encoder.text_projection", "detector_model.text_encoder.text_projection.weight"),
        ("text_encoder.resizer.{rest}", "detector_model.text_projection.{rest}"),
        *(
            (f"{ours}.{{i}}.{inner}", f"detector_model.{theirs}.layers.{{i}}.{their_inner}")
            for ours, theirs in (("geometry_encoder.layers", "geometry_encoder"), ("encoder", "detr_encoder"))
            for inner, their_inner in (
                ("norm{j}.{rest}", "layer_norm{j}.{rest}"),
                ("self_attn.out_proj.{rest}", "self_attn.o_proj.{rest}"),
                ("self_attn.{rest}", "self_attn.{rest}"),
                ("cross_attn.out_proj.{rest}", "cross_attn.o_proj.{rest}"),
                ("cross_attn.{rest}", "cross_attn.{rest}"),
                ("mlp.layers.0.{rest}", "mlp.fc1.{rest}"),
                ("mlp.layers.1.{rest}", "mlp.fc2.{rest}"),
            )
        ),
        ("geometry_encoder.img_pre_norm.{rest}", "detector_model.geometry_encoder.vision_layer_norm.{rest}"),
        ("geometry_encoder.norm.{rest}", "detector_model.geometry_encoder.prompt_layer_norm.{rest}"),
        ("geometry_encoder.encode_norm.{rest}", "detector_model.geometry_encoder.output_layer_norm.{rest}"),
        ("geometry_encoder.{rest}", "detector_model.geometry_encoder.{rest}"),
        *(
            (f"decoder.layers.{{i}}.{ours}", f"detector_model.detr_decoder.layers.{{i}}.{theirs}")
            for ours, theirs in (
                ("self_attn.out_proj.{rest}", "self_attn.o_proj.{rest}"),
                ("self_attn.{rest}", "self_attn.{rest}"),
                ("ca_text.out_proj.{rest}", "text_cross_attn.o_proj.{rest}"),
                ("ca_text.{rest}", "text_cross_attn.{rest}"),
                ("cross_attn.out_proj.{rest}", "vision_cross_attn.o_proj.{rest}"),
                ("cross_attn.{rest}", "vision_cross_attn.{rest}"),
                ("norm2.{rest}", "self_attn_layer_norm.{rest}"),
                ("catext_norm.{rest}", "text_cross_attn_layer_norm.{rest}"),
                ("norm1.{rest}", "vision_cross_attn_layer_norm.{rest}"),
                ("norm3.{rest}", "mlp_layer_norm.{rest}"),
                ("mlp.layers.0.{rest}", "mlp.fc1.{rest}"),
                ("mlp.layers.1.{rest}", "mlp.fc2.{rest}"),
            )
        ),
        *(
            (f"{ours}.layers.{i}.{{rest}}", f"detector_model.{theirs}.layer{i + 1}.{{rest}}")
            for ours, theirs in (
                ("decoder.bbox_embed", "detr_decoder.box_head"),
                ("decoder.presence_token_head", "detr_decoder.presence_head"),
                ("decoder.ref_point_head", "detr_decoder.ref_point_head"),
                ("decoder.boxRPB_embed_x", "detr_decoder.box_rpb_embed_x"),
                ("decoder.boxRPB_embed_y", "detr_decoder.box_rpb_embed_y"),
                ("dot_prod_scoring.prompt_mlp", "dot_product_scoring.text_mlp"),
            )
            for i in range(3)
        ),
        ("decoder.norm.{rest}", "detector_model.detr_decoder.output_layer_norm.{rest}"),
        ("decoder.presence_token_out_norm.{rest}", "detector_model.detr_decoder.presence_layer_norm.{rest}"),
        ("decoder.{rest}", "detector_model.detr_decoder.{rest}"),
        ("segmentation_head.conv_layers.{rest}", "detector_model.mask_decoder.pixel_decoder.conv_layers.{rest}"),
        ("segmentation_head.norms.{rest}", "detector_model.mask_decoder.pixel_decoder.norms.{rest}"),
        ("segmentation_head.mask_embed.{rest}", "detector_model.mask_decoder.mask_embedder.{rest}"),
        ("segmentation_head.instance_seg_head.{rest}", "detector_model.mask_decoder.instance_projection.{rest}"),
        ("segmentation_head.semantic_seg_head.{rest}", "detector_model.mask_decoder.semantic_projection.{rest}"),
        ("segmentation_head.cross_attn_norm.{rest}", "detector_model.mask_decoder.prompt_cross_attn_norm.{rest}"),
        ("segmentation_head.cross_attend_prompt.out_proj.{rest}", "detector_model.mask_decoder.prompt_cross_attn.o_proj.{rest}"),
        ("segmentation_head.cross_attend_prompt.{rest}", "detector_model.mask_decoder.prompt_cross_attn.{rest}"),
        ("dot_prod_scoring.out_norm.{rest}", "detector_model.dot_product_scoring.text_mlp_out_norm.{rest}"),
        ("dot_prod_scoring.prompt_proj.{rest}", "detector_model.dot_product_scoring.text_proj.{rest}"),
        ("dot_prod_scoring.hs_proj.{rest}", "detector_model.dot_product_scoring.query_proj.{rest}"),
    ),
    transposed=("detector_model.text_encoder.text_projection.weight",),
    left_out=(
        "detector_model.vision_encoder.backbone.{rest}",
        "detector_model.text_encoder.text_model.embeddings.position_ids",
        "detector_model.text_encoder.embeddings.position_ids",
    ),
)
"""facebook/sam3: the detector of Sam3VideoModel of transformers."""

_SAMKIT = RenameTable(rows=(("{rest}", "concept_detector.{rest}"),))

TABLES = {"meta": META, "hugging-face": HUGGING_FACE, "samkit": _SAMKIT}
"""Layout -> table."""

BEGINNINGS = {"meta": "detector.", "hugging-face": "detector_model.", "samkit": "concept_detector."}
"""Layout -> how the names of all tensors in its table begin."""
# fmt: on
