"""Names of the tensors of EfficientViT-SAM elsewhere, where they are not those of SAM. Rows: (samkit, other)."""

# Rows are lines of any length.
# ruff: noqa: E501

from samkit.weights import keys_sam
from samkit.weights.keys import Layout, RenameTable

__all__ = ["LAYOUTS", "META"]

# fmt: off
META = RenameTable(
    rows=(
        ("image_encoder.backbone.stages.{i}.{j}.{rest}", "image_encoder.backbone.stages.{i}.op_list.{j}.{rest}"),
        ("image_encoder.neck.input_ops.{i}.{j}.{rest}", "image_encoder.neck.input_ops.{i}.op_list.{j}.{rest}"),
        ("image_encoder.neck.middle.{i}.{rest}", "image_encoder.neck.middle.op_list.{i}.{rest}"),
        ("image_encoder.neck.output_ops.{i}.{j}.{rest}", "image_encoder.neck.output_ops.{i}.op_list.{j}.{rest}"),
        *keys_sam.META.rows,
    ),
)
"""The published EfficientViT-SAM."""

LAYOUTS = (
    Layout(family="sam", names="meta", sign=r"image_encoder\.backbone\.stages\.\d+\.op_list\..*", table=META),
    Layout(family="sam", names="samkit", sign=r"image_encoder\.backbone\.stages\..*"),
)
# fmt: on
