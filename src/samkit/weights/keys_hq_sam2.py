"""Names of the tensors of HQ-SAM 2 elsewhere, where they are not those of SAM 2. Rows: (samkit, other)."""

# Rows are lines of any length.
# ruff: noqa: E501

from samkit.weights import keys_sam2
from samkit.weights.keys import Layout, RenameTable

__all__ = ["LAYOUTS", "META"]

# fmt: off
META = RenameTable(
    rows=(
        ("mask_decoder.hq.token.{rest}", "sam_mask_decoder.hf_token.{rest}"),
        ("mask_decoder.hq.mlp.{rest}", "sam_mask_decoder.hf_mlp.{rest}"),
        ("mask_decoder.hq.embedding_maskfeature.{rest}", "sam_mask_decoder.embedding_maskfeature.{rest}"),
        *keys_sam2.META.rows,
    ),
)
"""The published HQ-SAM 2."""

LAYOUTS = (
    Layout(family="sam2", names="meta", sign=r"sam_mask_decoder\.hf_mlp\..*", table=META),
    Layout(family="sam2", names="samkit", sign=r"mask_decoder\.hq\..*"),
)
# fmt: on
