"""Sizes of a network, inferred from the shapes of its tensors.

The number of attention heads, and in Hiera also the windows and the blocks with global attention,
do not follow from shapes: these are those of the released sizes. A network of other sizes needs
samkit's own weight file or a Hugging Face folder, which hold them.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor

from samkit.errors import CheckpointError
from samkit.sizes import (
    EfficientViTConfig,
    ImageEncoderConfig,
    MaskDecoderConfig,
    MemoryConfig,
    NetworkConfig,
    PeViTConfig,
    PlainViTConfig,
    PromptEncoderConfig,
    RepViTConfig,
    RepViTSamConfig,
    Sam2Config,
    SamConfig,
    TinyViTConfig,
    ViTConfig,
    edge_tam,
    efficient_tam,
    mobile_sam,
    sam2,
    sam3,
)
from samkit.weights.layouts import has_memory

__all__ = ["former_pico", "infer_config", "infer_memory", "ratio"]

_EFFICIENT_TAMS = (efficient_tam("s"), efficient_tam("ti"))
_RELEASED = (sam2("tiny"), sam2("small"), sam2("base-plus"), sam2("large"))

_Shapes = Mapping[str, tuple[int, ...]]


def infer_config(
    state: Mapping[str, Tensor], family: str, source: str = "the checkpoint"
) -> NetworkConfig:
    """Sizes of the network that these tensors (samkit's names) belong to.

    Raises:
        CheckpointError: a tensor that is needed for this is missing or misshapen, or the sizes
            are none of the released ones.
    """
    with _shapes(state, source) as shapes:
        return _sam(shapes, source) if family == "sam" else _sam2(shapes, source)


def former_pico(source: str) -> str:
    """The message for a file of the network that was called pico before."""
    return (
        f"{source} is of an earlier pico, whose image encoder, a ResNet, is no longer part of "
        "samkit: train again, from today's pico"
    )


def infer_memory(
    state: Mapping[str, Tensor], memory: MemoryConfig, source: str = "the checkpoint"
) -> MemoryConfig:
    """``memory`` with the sizes that follow from the tensors (samkit's names).

    Raises:
        CheckpointError: a tensor of the memory is missing or misshapen.
    """
    with _shapes(state, source) as shapes:
        return _memory(shapes, memory)


@contextmanager
def _shapes(state: Mapping[str, Tensor], source: str) -> Iterator[_Shapes]:
    try:
        yield {name: tuple(tensor.shape) for name, tensor in state.items()}
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"cannot tell the sizes of the network from {source}: missing or misshapen: {error}"
        ) from error


def _sam(shapes: _Shapes, source: str) -> SamConfig:
    encoder: ImageEncoderConfig
    if "image_encoder.patch_embed.seq.0.c.weight" in shapes:
        encoder, image_size = _tiny_vit(shapes, source)
    elif "image_encoder.features.0.0.c.weight" in shapes:
        encoder, image_size = _rep_vit_sam(shapes), mobile_sam().image_size
    elif "image_encoder.backbone.stages.0.0.conv.weight" in shapes:
        encoder, image_size = _efficient_vit(shapes)
    else:
        encoder, image_size = _vit(shapes, source)
    return SamConfig(
        image_encoder=encoder,
        prompt_encoder=_prompt_encoder(shapes, PromptEncoderConfig()),
        mask_decoder=_mask_decoder(shapes, MaskDecoderConfig()),
        dim=shapes["prompt_encoder.no_mask_embed.weight"][1],
        image_size=image_size,
    )


def _vit(shapes: _Shapes, source: str) -> tuple[ViTConfig, tuple[int, int]]:
    _, rows, columns, dim = shapes["image_encoder.pos_embed"]
    _, in_channels, patch, _ = shapes["image_encoder.patch_embed.proj.weight"]
    depth = _count(shapes, "image_encoder.blocks")
    # A window of n rows has 2 n - 1 relative positions.
    positions = [
        tuple(shapes[f"image_encoder.blocks.{i}.attn.rel_pos_{axis}"][0] for axis in "hw")
        for i in range(depth)
    ]
    everywhere = (2 * rows - 1, 2 * columns - 1)
    windows = {(sides[0] + 1) // 2 for sides in positions if sides != everywhere}
    if len(windows) > 1:
        raise CheckpointError(f"expected one window size in {source}, got {sorted(windows)}")
    config = ViTConfig(
        dim=dim,
        depth=depth,
        heads=dim // shapes["image_encoder.blocks.0.attn.rel_pos_h"][1],
        mlp_ratio=ratio(dim, shapes["image_encoder.blocks.0.mlp.layers.0.weight"][0]),
        patch_size=patch,
        window_size=windows.pop() if windows else ViTConfig().window_size,
        global_blocks=tuple(i for i, sides in enumerate(positions) if sides == everywhere),
        in_channels=in_channels,
        qkv_bias="image_encoder.blocks.0.attn.qkv.bias" in shapes,
    )
    return config, (rows * patch, columns * patch)


def _tiny_vit(shapes: _Shapes, source: str) -> tuple[TinyViTConfig, tuple[int, int]]:
    released = TinyViTConfig()
    stages = _count(shapes, "image_encoder.layers")
    if stages != len(released.dims):
        raise CheckpointError(f"expected {len(released.dims)} stages in {source}, got {stages}")
    first, *blocks = (f"image_encoder.layers.{stage}.blocks.0" for stage in range(stages))
    hidden, dim = shapes[f"{first}.conv1.c.weight"][:2]
    dims = [shapes[f"{block}.attn.proj.weight"][0] for block in blocks]
    biases = [shapes[f"{block}.attn.attention_biases"] for block in blocks]
    config = replace(
        released,
        dims=(dim, *dims),
        depths=tuple(_count(shapes, f"image_encoder.layers.{i}.blocks") for i in range(stages)),
        heads=(released.heads[0], *(bias[0] for bias in biases)),
        window_sizes=(released.window_sizes[0], *(math.isqrt(bias[1]) for bias in biases)),
        mlp_ratio=ratio(dims[0], shapes[f"{blocks[0]}.mlp.fc1.weight"][0]),
        expand_ratio=ratio(dim, hidden),
        local_conv_size=shapes[f"{blocks[0]}.local_conv.c.weight"][-1],
        in_channels=shapes["image_encoder.patch_embed.seq.0.c.weight"][1],
    )
    return config, mobile_sam().image_size


def _efficient_vit(shapes: _Shapes) -> tuple[EfficientViTConfig, tuple[int, int]]:
    stages = "image_encoder.backbone.stages"
    count = _count(shapes, stages)
    last = [f"{stages}.{i}.0.main.point_conv.conv.weight" for i in range(1, count)]
    first, in_channels = shapes[f"{stages}.0.0.conv.weight"][:2]
    config = EfficientViTConfig(
        dims=(first, *(shapes[name][0] for name in last)),
        depths=tuple(_count(shapes, f"{stages}.{i}") - 1 for i in range(count)),
        neck_depth=_count(shapes, "image_encoder.neck.middle"),
        in_channels=in_channels,
    )
    if count not in (5, 6):
        raise ValueError(f"an EfficientViT of {count} stages, not of five or six")
    side = 1024 // config.prompt_scale
    return config, (side, side)


def _rep_vit_sam(shapes: _Shapes) -> RepViTSamConfig:
    features = "image_encoder.features"
    count = _count(shapes, features)
    # Each stage but the last has a block more, and then what leads to the next.
    wider = [i for i in range(count) if f"{features}.{i}.to_channels.c.weight" in shapes]
    starts = [1, *(i + 1 for i in wider)]
    return RepViTSamConfig(
        dims=tuple(shapes[f"{features}.{i}.channel_mixer.conv2.c.weight"][0] for i in starts),
        depths=tuple(
            end - start for start, end in zip(starts, [*(i - 1 for i in wider), count], strict=True)
        ),
        in_channels=shapes[f"{features}.0.0.c.weight"][1],
    )


def _sam2(shapes: _Shapes, source: str) -> Sam2Config:
    trunk = "image_encoder.trunk"
    if f"{trunk}.stem.0.conv.weight" in shapes:
        raise CheckpointError(former_pico(source))
    if f"{trunk}.stem.weight" in shapes:
        raise CheckpointError(
            f"{source} has the image encoder of pico, but its tensors are not those of pico, and "
            "the header that has the sizes of another network is missing: write such files with "
            "samkit.weights.save_network"
        )
    if f"{trunk}.body.stem.conv1.c.weight" in shapes:
        return _with_heads(shapes, replace(edge_tam(), image_encoder=_rep_vit(shapes)))
    if f"{trunk}.ln_pre.weight" in shapes:
        encoder = _pe_vit(shapes, source)
        network = sam3("3.1" if encoder.neck_levels == 3 else "3")
        return _with_heads(shapes, replace(network, image_encoder=encoder))
    if len(shapes[f"{trunk}.pos_embed"]) == 3:
        released_tam = efficient_tam("s")  # with the memory and the input that most of them have
        return _with_heads(shapes, replace(released_tam, image_encoder=_plain_vit(shapes)))
    _, dim, height, width = shapes[f"{trunk}.pos_embed"]
    depth = _count(shapes, f"{trunk}.blocks")
    starts = [i for i in range(1, depth) if f"{trunk}.blocks.{i}.proj.weight" in shapes]
    stages = tuple(end - start for start, end in zip([0, *starts], [*starts, depth], strict=True))
    encoders: list[Any] = [released.image_encoder for released in _RELEASED]
    sizes = [(encoder.dim, encoder.stages) for encoder in encoders]
    if (dim, stages) not in sizes:
        known = ", ".join(f"{dim} wide {stages}" for dim, stages in sizes)
        raise CheckpointError(
            f"the Hiera encoder in {source} is {dim} wide with stages {stages}, which is no "
            f"released size ({known}); its heads and windows do not follow from tensors alone: "
            "use samkit's own weight file or a Hugging Face folder"
        )
    index = sizes.index((dim, stages))
    released = _RELEASED[index]
    encoder = replace(
        encoders[index],
        position_size=(height, width),
        mlp_ratio=ratio(dim, shapes[f"{trunk}.blocks.0.mlp.layers.0.weight"][0]),
        in_channels=shapes[f"{trunk}.patch_embed.proj.weight"][1],
    )
    return _with_heads(shapes, replace(released, image_encoder=encoder))


def _plain_vit(shapes: _Shapes) -> PlainViTConfig:
    trunk = "image_encoder.trunk"
    _, tokens, dim = shapes[f"{trunk}.pos_embed"]
    side = math.isqrt(tokens - 1)  # the first is that of a class token
    depth = _count(shapes, f"{trunk}.blocks")
    encoders: list[Any] = [released.image_encoder for released in _EFFICIENT_TAMS]
    known = [encoder for encoder in encoders if (encoder.dim, encoder.depth) == (dim, depth)]
    if not known:
        raise ValueError(f"a plain ViT {dim} wide with {depth} blocks, which is no released size")
    encoder: PlainViTConfig = known[0]
    return replace(
        encoder,
        position_size=(side, side),
        in_channels=shapes[f"{trunk}.patch_embed.proj.weight"][1],
    )


def _rep_vit(shapes: _Shapes) -> RepViTConfig:
    stages = [f"image_encoder.trunk.body.stages_{i}.blocks" for i in range(4)]
    return RepViTConfig(
        dims=tuple(shapes[f"{stage}.0.channel_mixer.conv2.c.weight"][0] for stage in stages),
        depths=tuple(_count(shapes, stage) for stage in stages),
        in_channels=shapes["image_encoder.trunk.body.stem.conv1.c.weight"][1],
    )


def _pe_vit(shapes: _Shapes, source: str) -> PeViTConfig:
    released, trunk = PeViTConfig(), "image_encoder.trunk"
    _, positions, dim = shapes[f"{trunk}.pos_embed"]
    _, in_channels, patch, _ = shapes[f"{trunk}.patch_embed.proj.weight"]
    depth = _count(shapes, f"{trunk}.blocks")
    if (dim, depth) != (released.dim, released.depth):
        raise CheckpointError(
            f"the vision transformer in {source} is {dim} wide with {depth} blocks, which is no "
            f"released size ({released.dim} wide with {released.depth}); its heads and windows do "
            "not follow from tensors alone: use samkit's own weight file or a Hugging Face folder"
        )
    return replace(
        released,
        patch_size=patch,
        position_size=(math.isqrt(positions), math.isqrt(positions)),
        mlp_ratio=ratio(dim, shapes[f"{trunk}.blocks.0.mlp.layers.0.weight"][0]),
        in_channels=in_channels,
        neck_levels=_count(shapes, "image_encoder.neck.convs"),
    )


def _with_heads(shapes: _Shapes, released: Sam2Config) -> Sam2Config:
    """Sizes with those of the parts beside the image encoder that follow from the tensors."""
    return replace(
        released,
        prompt_encoder=_prompt_encoder(shapes, released.prompt_encoder),
        mask_decoder=_mask_decoder(shapes, released.mask_decoder),
        memory=_memory(shapes, released.memory) if has_memory(shapes) else released.memory,
        dim=shapes["prompt_encoder.no_mask_embed.weight"][1],
    )


def _memory(shapes: _Shapes, memory: MemoryConfig) -> MemoryConfig:
    slots, _, _, dim = shapes["maskmem_tpos_enc"]
    memory = replace(
        memory,
        dim=dim,
        slots=slots,
        layers=_count(shapes, "memory_attention.layers"),
        mlp_dim=shapes["memory_attention.layers.0.linear1.weight"][0],
        fuser_layers=_count(shapes, "memory_encoder.fuser.layers"),
        occlusion_embedding="no_obj_embed_spatial" in shapes,
        pointer_time="obj_ptr_tpos_proj.weight" in shapes,
    )
    if "spatial_perceiver.latents" not in shapes:
        return replace(memory, latents=0, grid_latents=0)
    return replace(
        memory,
        latents=shapes["spatial_perceiver.latents"][0],
        grid_latents=math.isqrt(shapes["spatial_perceiver.latents_2d"][0]),
        perceiver_layers=_count(shapes, "spatial_perceiver.layers"),
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
        depth=_count(shapes, "mask_decoder.transformer.layers"),
        mlp_dim=shapes["mask_decoder.transformer.layers.0.mlp.layers.0.weight"][0],
        candidates=shapes["mask_decoder.mask_tokens.weight"][0] - 1,
        iou_head_depth=_count(shapes, "mask_decoder.iou_prediction_head.layers"),
        iou_head_dim=shapes["mask_decoder.iou_prediction_head.layers.0.weight"][0],
        high_quality="mask_decoder.hq.token.weight" in shapes,
    )


def ratio(dim: int, hidden: int) -> float:
    """The factor that gives ``hidden`` from ``dim``, rounded down."""
    value = hidden / dim
    return value if int(dim * value) == hidden else math.nextafter(value, math.inf)


def _count(shapes: _Shapes, modules: str) -> int:
    """Length of a list of modules, whose numbers must run from 0 without a gap."""
    pattern = re.compile(re.escape(modules) + r"\.(\d+)\..*")
    numbers = {int(match[1]) for match in map(pattern.fullmatch, shapes) if match}
    if numbers != set(range(len(numbers))) or not numbers:
        raise KeyError(f"{modules}.{{i}}")
    return len(numbers)
