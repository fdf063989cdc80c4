"""Which family and layout the tensors of a checkpoint belong to."""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from samkit.errors import CheckpointError
from samkit.weights import keys_sam, keys_sam2
from samkit.weights.keys import Layout, RenameTable, name_pattern

__all__ = ["detect_layout", "has_memory", "is_memory", "is_unused", "table_of"]

# The layouts of each model; one whose signs are also in files of others comes before them.
_MODELS: tuple[tuple[Layout, ...], ...] = (keys_sam2.LAYOUTS, keys_sam.LAYOUTS)

# Relatives that samkit has no network for. They come first, because they look like SAM too.
_RELATIVES = (
    (r"(.*\.)?(hf_token|hf_mlp|compress_vit_feat)\..*", "HQ-SAM"),
    (r"(detector|tracker|tracker_model|detector_model)\..*", "SAM 3"),
    (r"(.*\.)?spatial_perceiver\..*", "EdgeTAM"),
    (
        r"image_encoder\.(backbone|features|stages)\..*",
        "another variant of SAM (EfficientViT-SAM, EdgeSAM or the like)",
    ),
)

_OTHERS = (
    (r"module\..*", "a checkpoint of torch's DataParallel: every name begins with 'module.'"),
    (r"model\.\d+\.(conv|cv1|m)\..*", "a YOLO model"),
    (r"(visual|text_model|vision_model|transformer\.resblocks)\..*", "a CLIP model"),
    (r"(cls_token|blocks\.\d+\.attn\..*)", "a plain vision transformer"),
    (r"(layer[1-4]\.\d+\.(conv|bn)\d\..*|fc\.weight)", "a ResNet"),
    (r"(model\.)?layers\.\d+\.(self_attn|mlp)\..*", "a language model"),
    (r"(state|param_groups|optimizer|exp_avg)\b.*", "the state of an optimizer"),
    (r"(image|prompt)_encoder\..*", "part of a SAM network"),
)


# The first pattern that a tensor's name fits decides.
_SIGNS: tuple[tuple[str, Layout | str], ...] = (
    *_RELATIVES,
    *((layout.sign, layout) for layouts in _MODELS for layout in layouts),
    *_OTHERS,
)


def detect_layout(state: Mapping[str, Tensor], source: str = "the checkpoint") -> Layout:
    """The layout of a checkpoint, by the names of its tensors.

    Raises:
        CheckpointError: it is none of them; the message says what it looks like.
    """
    expected = "expected SAM, MobileSAM, SAM 2 or SAM 2.1"
    for pattern, kind in _SIGNS:
        if any(re.fullmatch(pattern, name) for name in state):
            if isinstance(kind, Layout):
                return kind
            raise CheckpointError(f"{source} looks like {kind}; {expected}")
    first = ", ".join(list(state)[:3])
    raise CheckpointError(f"{source} is of an unknown kind; {expected}. Its tensors: {first}, ...")


def table_of(layout: Layout, names: str) -> RenameTable:
    """The rename table between samkit's names and other ones, of the model that has a layout."""
    layouts = next(layouts for layouts in _MODELS if layout in layouts)
    return next(one.table for one in layouts if one.names == names)


def is_unused(family: str, name: str) -> bool:
    """Whether a tensor (samkit's name) may be in a checkpoint though no network has it."""
    return family == "sam" and _fits(keys_sam.UNUSED, name)


def is_memory(name: str) -> bool:
    """Whether a tensor of SAM 2 (samkit's name) is only needed for video."""
    return _fits(keys_sam2.MEMORY, name)


def has_memory(names: Iterable[str]) -> bool:
    """Whether a SAM 2 checkpoint (samkit's names) holds any part of the memory."""
    return any(map(is_memory, names))


def _fits(patterns: tuple[str, ...], name: str) -> bool:
    return any(name_pattern(pattern).fullmatch(name) for pattern in patterns)
