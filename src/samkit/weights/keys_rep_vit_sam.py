"""Names of the tensors of RepViT-SAM elsewhere, where they are not those of SAM. Rows: (samkit, other)."""

# Rows are lines of any length.
# ruff: noqa: E501

from samkit.weights import keys_sam
from samkit.weights.keys import Layout, RenameTable

__all__ = ["LAYOUTS", "META"]

# fmt: off
META = RenameTable(
    rows=(
        ("image_encoder.features.{i}.to_channels.{rest}", "image_encoder.features.{i}.token_mixer.2.{rest}"),
        ("image_encoder.features.{i}.se.{rest}", "image_encoder.features.{i}.token_mixer.1.{rest}"),
        ("image_encoder.features.{i}.token_mixer.{rest}", "image_encoder.features.{i}.token_mixer.0.{rest}"),
        ("image_encoder.features.{i}.channel_mixer.conv1.{rest}", "image_encoder.features.{i}.channel_mixer.m.0.{rest}"),
        ("image_encoder.features.{i}.channel_mixer.conv2.{rest}", "image_encoder.features.{i}.channel_mixer.m.2.{rest}"),
        *keys_sam.META.rows,
    ),
)
"""The published RepViT-SAM."""

LAYOUTS = (
    Layout(family="sam", names="meta", sign=r"image_encoder\.features\.\d+\.token_mixer\.0\..*", table=META),
    Layout(family="sam", names="samkit", sign=r"image_encoder\.features\..*"),
)
# fmt: on
