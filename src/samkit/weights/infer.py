"""Sizes of a network, told from the shapes of its tensors.

What shapes cannot tell is the number of attention heads, and in Hiera also the windows and the
blocks with global attention: these are those of the released sizes. A network of other sizes
needs samkit's own weight file or a Hugging Face folder, which say them.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from samkit.errors import CheckpointError
from samkit.sizes import (
    HieraConfig,
    MaskDecoderConfig,
    MemoryConfig,
    PromptEncoderConfig,
    Sam2Config,
    SamConfig,
    TinyViTConfig,
    ViTConfig,
    mobile_sam,
    sam2,
)
from samkit.weights.layouts import Family, is_memory

__all__ = ["has_memory", "infer_config", "infer_memory"]

_RELEASED = (sam2("tiny"), sam2("small"), sam2("base-plus"), sam2("large"))


def infer_config(
    state: Mapping[str, Tensor], family: Family, source: str = "the checkpoint"
) -> SamConfig | Sam2Config:
    """Sizes of the network that these tensors (samkit's names) belong to.

    Raises:
        CheckpointError: a tensor that is needed for this is missing, or the sizes are none of
            the released ones.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    try:
        return _sam(shapes, source) if family == "sam" else _sam2(shapes, source)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"cannot tell the sizes of the network from {source}: no usable {error}"
        ) from error


def has_memory(state: Mapping[str, Tensor]) -> bool:
    """Whether a SAM 2 checkpoint (samkit's names) holds any part of the memory."""
    return any(is_memory(name) for name in state)


def infer_memory(state: Mapping[str, Tensor], memory: MemoryConfig) -> MemoryConfig:
    """``memory`` with what the tensors (samkit's names) say about it.

    Raises:
        KeyError: the memory is not complete.
    """
    return _memory({name: tuple(tensor.shape) for name, tensor in state.items()}, memory)


_Shapes = Mapping[str, tuple[int, ...]]


def _sam(shapes: _Shapes, source: str) -> SamConfig:
    dim = shapes["prompt_encoder.no_mask_embed.weight"][1]
    if "image_encoder.patch_embed.seq.0.c.weight" in shapes:
        tiny, size = _tiny_vit(shapes, source)
        return SamConfig(
            image_encoder=tiny,
            prompt_encoder=_prompt_encoder(shapes, PromptEncoderConfig()),
            mask_decoder=_mask_decoder(shapes, MaskDecoderConfig()),
            dim=dim,
            image_size=size,
        )
    vit, size = _vit(shapes, source)
    return SamConfig(
        image_encoder=vit,
        prompt_encoder=_prompt_encoder(shapes, PromptEncoderConfig()),
        mask_decoder=_mask_decoder(shapes, MaskDecoderConfig()),
        dim=dim,
        image_size=size,
    )


def _vit(shapes: _Shapes, source: str) -> tuple[ViTConfig, tuple[int, int]]:
    _, rows, columns, dim = shapes["image_encoder.pos_embed"]
    _, in_channels, patch, _ = shapes["image_encoder.patch_embed.proj.weight"]
    depth = _count(shapes, r"image_encoder\.blocks\.(\d+)\..*")
    tables = [
        (
            shapes[f"image_encoder.blocks.{i}.attn.rel_pos_h"],
            shapes[f"image_encoder.blocks.{i}.attn.rel_pos_w"],
        )
        for i in range(depth)
    ]
    everywhere = (2 * rows - 1, 2 * columns - 1)
    global_blocks = tuple(i for i, (h, w) in enumerate(tables) if (h[0], w[0]) == everywhere)
    windows = {(h[0] + 1) // 2 for i, (h, _) in enumerate(tables) if i not in global_blocks}
    if len(windows) > 1:
        raise CheckpointError(f"expected one window size in {source}, got {sorted(windows)}")
    hidden = shapes["image_encoder.blocks.0.mlp.layers.0.weight"][0]
    config = ViTConfig(
        dim=dim,
        depth=depth,
        heads=dim // tables[0][0][1],
        mlp_ratio=ratio(dim, hidden),
        patch_size=patch,
        window_size=windows.pop() if windows else ViTConfig().window_size,
        global_blocks=global_blocks,
        in_channels=in_channels,
        qkv_bias="image_encoder.blocks.0.attn.qkv.bias" in shapes,
    )
    return config, (rows * patch, columns * patch)


def _tiny_vit(shapes: _Shapes, source: str) -> tuple[TinyViTConfig, tuple[int, int]]:
    released = mobile_sam()
    config = released.image_encoder
    assert isinstance(config, TinyViTConfig)
    stages = _count(shapes, r"image_encoder\.layers\.(\d+)\..*")
    heads, windows = [config.heads[0]], [config.window_sizes[0]]
    for stage in range(1, stages):
        table = shapes[f"image_encoder.layers.{stage}.blocks.0.attn.attention_biases"]
        heads.append(table[0])
        windows.append(math.isqrt(table[1]))
    depths = tuple(
        _count(shapes, rf"image_encoder\.layers\.{stage}\.blocks\.(\d+)\..*")
        for stage in range(stages)
    )
    first = shapes["image_encoder.layers.0.blocks.0.conv1.c.weight"]
    dims = [first[1]] + [
        shapes[f"image_encoder.layers.{stage}.blocks.0.attn.proj.weight"][0]
        for stage in range(1, stages)
    ]
    if stages != len(config.dims):
        raise CheckpointError(f"expected {len(config.dims)} stages in {source}, got {stages}")
    kernel = shapes["image_encoder.layers.1.blocks.0.local_conv.c.weight"][-1]
    hidden = shapes["image_encoder.layers.1.blocks.0.mlp.fc1.weight"][0]
    config = replace(
        config,
        dims=tuple(dims),
        depths=depths,
        heads=tuple(heads),
        window_sizes=tuple(windows),
        mlp_ratio=ratio(dims[1], hidden),
        expand_ratio=ratio(dims[0], first[0]),
        local_conv_size=kernel,
        in_channels=shapes["image_encoder.patch_embed.seq.0.c.weight"][1],
    )
    return config, released.image_size


def _sam2(shapes: _Shapes, source: str) -> Sam2Config:
    trunk = "image_encoder.trunk"
    if f"{trunk}.stem.0.conv.weight" in shapes:
        raise CheckpointError(
            f"{source} has samkit's own ResNet encoder but not samkit's header, which has the "
            "network's sizes: write such files with samkit.weights.save_network"
        )
    dim = shapes[f"{trunk}.pos_embed"][1]
    depth = _count(shapes, r"image_encoder\.trunk\.blocks\.(\d+)\..*")
    starts = [i for i in range(1, depth) if f"{trunk}.blocks.{i}.proj.weight" in shapes]
    ends = [*starts, depth]
    stages = tuple(end - start for start, end in zip([0, *starts], ends, strict=True))
    sizes = [(c, c.image_encoder) for c in _RELEASED if isinstance(c.image_encoder, HieraConfig)]
    found = [(c, e) for c, e in sizes if (e.dim, e.stages) == (dim, stages)]
    if not found:
        known = ", ".join(f"{e.dim} wide {e.stages}" for _, e in sizes)
        raise CheckpointError(
            f"the Hiera encoder in {source} is {dim} wide with stages {stages}, which is no "
            f"released size ({known}); its heads and windows cannot be told from tensors alone: "
            "use samkit's own weight file or a Hugging Face folder"
        )
    released, encoder = found[0]
    height, width = shapes[f"{trunk}.pos_embed"][2:]
    memory = released.memory
    if any(is_memory(name) for name in shapes):
        memory = _memory(shapes, memory)
    return replace(
        released,
        image_encoder=_hiera(shapes, encoder, (height, width)),
        prompt_encoder=_prompt_encoder(shapes, PromptEncoderConfig(pad_boxes=True)),
        mask_decoder=_mask_decoder(shapes, released.mask_decoder),
        memory=memory,
        dim=shapes["prompt_encoder.no_mask_embed.weight"][1],
    )


def _hiera(shapes: _Shapes, released: HieraConfig, position_size: tuple[int, int]) -> HieraConfig:
    trunk = "image_encoder.trunk"
    hidden = shapes[f"{trunk}.blocks.0.mlp.layers.0.weight"][0]
    return replace(
        released,
        position_size=position_size,
        mlp_ratio=ratio(released.dim, hidden),
        in_channels=shapes[f"{trunk}.patch_embed.proj.weight"][1],
    )


def _memory(shapes: _Shapes, memory: MemoryConfig) -> MemoryConfig:
    slots, _, _, dim = shapes["maskmem_tpos_enc"]
    return replace(
        memory,
        dim=dim,
        slots=slots,
        layers=_count(shapes, r"memory_attention\.layers\.(\d+)\..*"),
        mlp_dim=shapes["memory_attention.layers.0.linear1.weight"][0],
        fuser_layers=_count(shapes, r"memory_encoder\.fuser\.layers\.(\d+)\..*"),
        occlusion_embedding="no_obj_embed_spatial" in shapes,
        pointer_time="obj_ptr_tpos_proj.weight" in shapes,
    )


def _prompt_encoder(shapes: _Shapes, released: PromptEncoderConfig) -> PromptEncoderConfig:
    return replace(
        released,
        mask_channels=shapes["prompt_encoder.mask_downscaling.3.weight"][0],
        draw_prompts=shapes["prompt_encoder.mask_downscaling.0.weight"][1] == 4,
    )


def _mask_decoder(shapes: _Shapes, released: MaskDecoderConfig) -> MaskDecoderConfig:
    return replace(
        released,
        depth=_count(shapes, r"mask_decoder\.transformer\.layers\.(\d+)\..*"),
        mlp_dim=shapes["mask_decoder.transformer.layers.0.mlp.layers.0.weight"][0],
        candidates=shapes["mask_decoder.mask_tokens.weight"][0] - 1,
        iou_head_depth=_count(shapes, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\..*"),
        iou_head_dim=shapes["mask_decoder.iou_prediction_head.layers.0.weight"][0],
    )


def ratio(dim: int, hidden: int) -> float:
    """The number by which the networks multiply ``dim``, rounding down, to get ``hidden``."""
    value = hidden / dim
    return value if int(dim * value) == hidden else math.nextafter(value, math.inf)


def _count(shapes: _Shapes, pattern: str) -> int:
    """Modules in a numbered list: the number captured runs from 0 without a gap."""
    compiled = re.compile(pattern)
    found = {int(match[1]) for match in map(compiled.fullmatch, shapes) if match}
    if found != set(range(len(found))) or not found:
        raise KeyError(pattern.replace("\\", ""))
    return len(found)
