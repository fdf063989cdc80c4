"""Which family and layout the tensors of a checkpoint belong to."""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from samkit.errors import CheckpointError
from samkit.weights import (
    keys_edgetam,
    keys_efficient_vit_sam,
    keys_hq_sam,
    keys_hq_sam2,
    keys_rep_vit_sam,
    keys_sam,
    keys_sam2,
    keys_sam3,
)
from samkit.weights.keys import Layout, RenameTable, name_pattern

__all__ = [
    "detect_layout",
    "find_prefix",
    "has_memory",
    "is_left_out",
    "is_memory",
    "is_unused",
    "table_of",
    "unwrapped",
]

# The layouts of each model; one whose signs are also in files of others comes before them.
_MODELS: tuple[tuple[Layout, ...], ...] = (
    keys_sam3.LAYOUTS,
    keys_sam3.LAYOUTS_31,
    keys_edgetam.LAYOUTS,
    keys_hq_sam.LAYOUTS,
    keys_hq_sam2.LAYOUTS,
    keys_sam2.LAYOUTS,
    keys_rep_vit_sam.LAYOUTS,
    keys_efficient_vit_sam.LAYOUTS,
    keys_sam.LAYOUTS,
)

# Family -> tensors that no network has.
_UNUSED = {"sam": keys_sam.UNUSED, "sam3": keys_sam3.UNUSED, "sam3.1": keys_sam3.UNUSED}

# Relatives that samkit has no network for. They come first, because they look like SAM too.
_RELATIVES = (
    (r"image_encoder\.(fuse_stage\d|features\.\d+\.token_mixer\.0\.conv1\.c)\..*", "EdgeSAM"),
    (r"image_encoder\.(backbone\.(?!stages\.)|stages\.).*", "another variant of SAM"),
)

_KNOWN = (
    "SAM, MobileSAM, RepViT-SAM, EfficientViT-SAM, HQ-SAM, HQ-SAM 2, SAM 2, SAM 2.1, EdgeTAM, "
    "EfficientTAM, SAM 3 or 3.1"
)

_OTHERS = (
    (
        r"(detector|tracker|tracker_model|detector_model|detr_decoder)\..*",
        "a part of SAM 3 without what clicks need",
    ),
    (r"model\.\d+\.(conv|cv1|m)\..*", "a YOLO model"),
    (r"(visual|text_model|vision_model|transformer\.resblocks)\..*", "a CLIP model"),
    (r"(cls_token|blocks\.\d+\.attn\..*)", "a plain vision transformer"),
    (r"(layer[1-4]\.\d+\.(conv|bn)\d\..*|fc\.weight)", "a ResNet"),
    (r"(model\.)?layers\.\d+\.(self_attn|mlp)\..*", "a language model"),
    (r"(state|param_groups|optimizer|exp_avg)\b.*", "the state of an optimizer"),
    (
        r"(deconv\d|deconv_out|decoder_head)\..*",
        "the extra decoder of micro-sam, which samkit does not use (give the file beside it, such "
        "as vit_b_lm)",
    ),
    (r"(image|prompt)_encoder\..*", "part of a SAM network"),
)

# What DataParallel, torch.compile, Lightning and PEFT put before the names of a network's tensors.
_PREFIXES = ("module.", "_orig_mod.", "model.", "sam.", "base_model.model.")
_PREFIX = re.compile(f"(?:{'|'.join(map(re.escape, _PREFIXES))})+")
# What some of them, and FSDP, put before the names within a part of the network that they wrap.
_WRAPPED = re.compile(
    r"(?<![^.])(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
# How adapters call what they add, in PEFT and elsewhere.
_ADAPTERS = re.compile(
    r"(?i)(?<![a-z])lora(?:[_.ab]|$)|hada_w|lokr_w|\.(?:ia3|oft)_|\.linear_[ab]_[qkv]\."
    r"|\.(?:base_layer|modules_to_save|original_module)\."
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
    kind = _kind(state)
    if isinstance(kind, Layout):
        return kind
    expected = f"expected {_KNOWN}"
    if kind is not None:
        raise CheckpointError(f"{source} looks like {kind}; {expected}")
    first = ", ".join(list(state)[:3])
    raise CheckpointError(
        f"{source} is of an unknown kind; {expected}, with nothing before the names of the tensors "
        f"but {' '.join(_PREFIXES)} (also nested). Its tensors: {first}, ..."
    )


def unwrapped(name: str) -> str:
    """A tensor's name without what tools that wrap parts of a network put into it.

    What stands before the whole name stays, for `find_prefix`.
    """
    before = _PREFIX.match(name)
    start = before.end() if before else 0
    return name[:start] + _WRAPPED.sub("", name[start:])


def find_prefix(names: Iterable[str], source: str = "the checkpoint") -> str:
    """What a training tool put before the names, such as ``"module."``; "" for nothing.

    Raises:
        CheckpointError: a LoRA that was not merged, or more than one network.
    """
    names = list(names)
    lora = next((name for name in names if _ADAPTERS.search(name)), None)
    if lora is not None:
        raise CheckpointError(
            f"{source} holds a LoRA apart from the weights that it changes ({lora}); expected a "
            "whole network: merge it with PEFT's merge_and_unload() and save the result"
        )
    prefixes = dict.fromkeys(["", *(m[0] for m in map(_PREFIX.match, names) if m)])
    kinds = {
        prefix: _kind([name.removeprefix(prefix) for name in names if name.startswith(prefix)])
        for prefix in prefixes
    }
    known = [prefix for prefix, kind in kinds.items() if isinstance(kind, Layout)]
    if len(known) > 1 and "" not in known:
        raise CheckpointError(
            f"{source} holds {len(known)} networks, with {' and '.join(map(repr, known))} before "
            "the names of their tensors; expected one"
        )
    # Else what other kind it is decides, for the message of `detect_layout`.
    return next(iter(known or (prefix for prefix, kind in kinds.items() if kind)), "")


def _kind(names: Iterable[str]) -> Layout | str | None:
    names = list(names)
    for pattern, kind in _SIGNS:
        if any(re.fullmatch(pattern, name) for name in names):
            return kind
    return None


def table_of(layout: Layout, names: str) -> RenameTable:
    """The rename table between samkit's names and other ones, of the model that has a layout."""
    layouts = next(layouts for layouts in _MODELS if layout in layouts)
    return next(one.table for one in layouts if one.names == names)


def is_left_out(name: str) -> bool:
    """Whether a tensor (by its name in a file) belongs to parts that samkit has no network for."""
    return any(layout.table.leaves_out(name) for layouts in _MODELS for layout in layouts)


def is_unused(family: str, name: str) -> bool:
    """Whether a tensor (samkit's name) may be in a checkpoint though no network has it."""
    return _fits(_UNUSED.get(family, ()), name)


def is_memory(name: str) -> bool:
    """Whether a tensor of SAM 2 (samkit's name) is only needed for video."""
    return _fits(keys_sam2.MEMORY, name)


def has_memory(names: Iterable[str]) -> bool:
    """Whether a SAM 2 checkpoint (samkit's names) holds any part of the memory."""
    return any(map(is_memory, names))


def _fits(patterns: tuple[str, ...], name: str) -> bool:
    return any(name_pattern(pattern).fullmatch(name) for pattern in patterns)
