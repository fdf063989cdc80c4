"""Sizes of every network, as values.

A network is built from one of two dataclasses, `SamConfig` (SAM and MobileSAM) or `Sam2Config`
(SAM 2 and 2.1), and nothing else. They can be written to JSON and back (`to_dict`, `from_dict`),
which is how samkit's own weight files carry their sizes.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

__all__ = [
    "Activation",
    "HieraConfig",
    "MaskDecoderConfig",
    "MemoryConfig",
    "PromptEncoderConfig",
    "ResNetConfig",
    "Sam2Config",
    "SamConfig",
    "TinyViTConfig",
    "ViTConfig",
    "from_dict",
    "mobile_sam",
    "pico",
    "sam2",
    "sam_vit",
    "to_dict",
    "unpublished_features",
    "validate",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Activation = Literal["gelu", "mish", "relu", "silu"]
"""What lies between the two linear layers of a transformer block."""


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Plain vision transformer with windows and relative positions (SAM; ViTDet, 2203.16527).

    The released networks have the default `activation` and `norm_eps` (of the blocks' layer norms).
    """

    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    patch_size: int = 16
    window_size: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    in_channels: int = 3
    qkv_bias: bool = True
    activation: Activation = "gelu"
    norm_eps: float = 1e-6
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TinyViTConfig:
    """TinyViT (2207.10666), the image encoder of MobileSAM (2306.14289)."""

    dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (2, 4, 5, 10)
    window_sizes: tuple[int, ...] = (7, 7, 14, 7)
    merge_strides: tuple[int, ...] = (2, 2, 1)
    mlp_ratio: float = 4.0
    expand_ratio: float = 4.0
    local_conv_size: int = 3
    in_channels: int = 3
    dropout: float = 0.0
    drop_path: float = 0.0


@dataclass(frozen=True, kw_only=True)
class HieraConfig:
    """Hiera (2306.00989), the hierarchical image encoder of SAM 2."""

    dim: int = 96
    heads: int = 1
    stages: tuple[int, ...] = (1, 2, 7, 2)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    window_sizes: tuple[int, ...] = (8, 4, 14, 7)
    position_size: tuple[int, int] = (7, 7)
    mlp_ratio: float = 4.0
    in_channels: int = 3
    drop_path: float = 0.0

    @property
    def stage_dims(self) -> tuple[int, ...]:
        """Channels of each stage; they double from one to the next."""
        return tuple(self.dim * 2**i for i in range(len(self.stages)))


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """Residual network (1512.03385) with group norm, the image encoder of `pico`."""

    stage_dims: tuple[int, ...] = (64, 128, 192, 256)
    depths: tuple[int, ...] = (2, 3, 6, 3)
    groups: int = 8
    in_channels: int = 3


@dataclass(frozen=True, kw_only=True)
class PromptEncoderConfig:
    """How prompts become tokens and a dense map.

    Attributes:
        mask_channels: hidden channels of the mask-prompt convolutions.
        pad_boxes: whether a prompt with a box also gets the "not a point" token (SAM 2: yes,
            SAM: only prompts without a box get it).
        draw_prompts: also draw clicks and boxes into the dense prompt (an addition of samkit's
            own, used by `pico`: without it a small network hardly finds out where a token is).
    """

    mask_channels: int = 16
    pad_boxes: bool = False
    draw_prompts: bool = False


@dataclass(frozen=True, kw_only=True)
class MaskDecoderConfig:
    """Mask decoder of SAM (2304.02643, appendix A) with the options that SAM 2 added.

    Attributes:
        high_resolution: add stride-4 and stride-8 image features while upscaling.
        iou_sigmoid: squash the predicted IoU into 0..1.
        object_score: predict whether the object is in the image at all.
        fusion_blocks: bottleneck blocks over image and dense prompt together, before the
            transformer (an addition of samkit's own, used by `pico`).
        dynamic_multimask: where the single mask is unstable, take the best of the three instead.
        stability_delta: logit offset of the stability score.
        stability_threshold: a single mask less stable than this is replaced.
    """

    depth: int = 2
    heads: int = 8
    mlp_dim: int = 2048
    candidates: int = 3
    iou_head_depth: int = 3
    iou_head_dim: int = 256
    high_resolution: bool = False
    iou_sigmoid: bool = False
    object_score: bool = False
    fusion_blocks: int = 0
    dynamic_multimask: bool = False
    stability_delta: float = 0.05
    stability_threshold: float = 0.98


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Memory of SAM 2 (2408.00714, section 4): its attention, its encoder and its pointers.

    Attributes:
        dim: channels of a stored memory.
        slots: memories in reach: the prompted frame and slots - 1 recent ones.
        pointers: object pointers in reach.
        layers, heads, mlp_dim, dropout: sizes of the memory attention.
        fuser_layers: ConvNeXt blocks that mix mask and image in the memory encoder.
        sigmoid_scale, sigmoid_bias: mask probabilities enter the encoder as scale * p + bias.
        occlusion_embedding: mark memories of frames where the object is absent (SAM 2.1).
        pointer_time: pointers carry a projected temporal encoding (SAM 2.1).
        residual: what attention finds is added to the features of a frame, instead of replacing
            them (an addition of samkit's own, used by `pico`: the mask decoder then works on
            images as before, whatever the memory learns).
        previous_mask: the mask in one frame is a mask prompt in the next (an addition of samkit's
            own, used by `pico`: so little training does not teach attention to find a place).
        residual_with_mask: `residual` is scaled by this for objects that have a mask prompt: what
            that says of their place is surer than a memory that has learned little.
    """

    dim: int = 64
    slots: int = 7
    pointers: int = 16
    layers: int = 4
    heads: int = 1
    mlp_dim: int = 2048
    dropout: float = 0.1
    rope_theta: float = 10000.0
    fuser_layers: int = 2
    sigmoid_scale: float = 20.0
    sigmoid_bias: float = -10.0
    occlusion_embedding: bool = True
    pointer_time: bool = True
    residual: bool = False
    previous_mask: bool = False
    residual_with_mask: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SamConfig:
    """SAM or MobileSAM. Images keep their aspect and are padded at the bottom and right."""

    image_encoder: ViTConfig | TinyViTConfig = field(default_factory=ViTConfig)
    prompt_encoder: PromptEncoderConfig = field(default_factory=PromptEncoderConfig)
    mask_decoder: MaskDecoderConfig = field(default_factory=MaskDecoderConfig)
    dim: int = 256
    image_size: tuple[int, int] = (1024, 1024)
    mean: tuple[float, ...] = (123.675 / 255, 116.28 / 255, 103.53 / 255)
    std: tuple[float, ...] = (58.395 / 255, 57.12 / 255, 57.375 / 255)
    family: Literal["sam"] = "sam"

    @property
    def stride(self) -> int:
        """Pixels of the input for one cell of the embedding; mask logits are four times finer."""
        encoder = self.image_encoder
        return encoder.patch_size if isinstance(encoder, ViTConfig) else 16


@dataclass(frozen=True, kw_only=True)
class Sam2Config:
    """SAM 2 or 2.1. Images are stretched to `image_size`."""

    image_encoder: HieraConfig | ResNetConfig = field(default_factory=HieraConfig)
    prompt_encoder: PromptEncoderConfig = field(
        default_factory=lambda: PromptEncoderConfig(pad_boxes=True)
    )
    mask_decoder: MaskDecoderConfig = field(
        default_factory=lambda: MaskDecoderConfig(
            high_resolution=True, iou_sigmoid=True, object_score=True, dynamic_multimask=True
        )
    )
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    dim: int = 256
    fpn_top_down_levels: tuple[int, ...] = (2, 3)
    image_size: tuple[int, int] = (1024, 1024)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    family: Literal["sam2"] = "sam2"


def sam_vit(size: Literal["b", "l", "h"]) -> SamConfig:
    """Sizes of the released SAM models (2304.02643)."""
    encoder = {
        "b": ViTConfig(),
        "l": ViTConfig(dim=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
        "h": ViTConfig(dim=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
    }[size]
    return SamConfig(image_encoder=encoder)


def mobile_sam() -> SamConfig:
    """Sizes of MobileSAM (2306.14289)."""
    return SamConfig(image_encoder=TinyViTConfig())


def sam2(
    size: Literal["tiny", "small", "base-plus", "large"], *, version: str = "2.1"
) -> Sam2Config:
    """Sizes of the released SAM 2 models (2408.00714); version is "2" or "2.1"."""
    encoder = {
        "tiny": HieraConfig(),
        "small": HieraConfig(stages=(1, 2, 11, 2), global_blocks=(7, 10, 13)),
        "base-plus": HieraConfig(
            dim=112,
            heads=2,
            stages=(2, 3, 16, 3),
            global_blocks=(12, 16, 20),
            position_size=(14, 14),
        ),
        "large": HieraConfig(
            dim=144,
            heads=2,
            stages=(2, 6, 36, 4),
            global_blocks=(23, 33, 43),
            window_sizes=(8, 4, 16, 8),
        ),
    }[size]
    config = Sam2Config(image_encoder=encoder)
    if version == "2":
        old = replace(config.memory, occlusion_embedding=False, pointer_time=False)
        config = replace(config, memory=old)
    return config


def pico() -> Sam2Config:
    """Sizes of samkit's own small model: a SAM 2 network of 4 million parameters.

    What differs from SAM 2 was chosen by measurement, see docs/models/pico.md.
    """
    return Sam2Config(
        image_encoder=ResNetConfig(),
        prompt_encoder=PromptEncoderConfig(mask_channels=64, pad_boxes=True, draw_prompts=True),
        mask_decoder=MaskDecoderConfig(
            heads=4,
            mlp_dim=512,
            iou_head_dim=128,
            high_resolution=True,
            iou_sigmoid=True,
            object_score=True,
            fusion_blocks=2,
        ),
        memory=MemoryConfig(
            dim=32,
            layers=2,
            mlp_dim=512,
            dropout=0.0,
            fuser_layers=1,
            residual=True,
            previous_mask=True,
            residual_with_mask=0.25,
        ),
        dim=128,
        fpn_top_down_levels=(0, 1, 2, 3),
        image_size=(320, 416),  # most photographs and nearly all videos are wide
    )


_PARTS: dict[str, type[Any]] = {
    "hiera": HieraConfig,
    "resnet": ResNetConfig,
    "tiny_vit": TinyViTConfig,
    "vit": ViTConfig,
}


def to_dict(config: SamConfig | Sam2Config) -> dict[str, Any]:
    """A configuration as plain JSON values."""
    values = asdict(config)
    kind = next(name for name, cls in _PARTS.items() if isinstance(config.image_encoder, cls))
    values["image_encoder"]["kind"] = kind
    return values


def from_dict(values: dict[str, Any]) -> SamConfig | Sam2Config:
    """The inverse of `to_dict`; lists become tuples.

    Raises:
        KeyError, TypeError: a field is missing or unknown.
    """
    values = {name: _tuples(value) for name, value in values.items()}
    encoder = dict(values.pop("image_encoder"))
    image_encoder = _PARTS[encoder.pop("kind")](**encoder)
    shared = {
        "image_encoder": image_encoder,
        "prompt_encoder": PromptEncoderConfig(**values.pop("prompt_encoder")),
        "mask_decoder": MaskDecoderConfig(**values.pop("mask_decoder")),
    }
    if values["family"] == "sam":
        return SamConfig(**shared, **values)
    return Sam2Config(**shared, memory=MemoryConfig(**values.pop("memory")), **values)


def unpublished_features(config: SamConfig | Sam2Config) -> list[str]:
    """What a network has that no published code knows."""
    found = {
        "a ResNet as image encoder": isinstance(config.image_encoder, ResNetConfig),
        "drawn prompts": config.prompt_encoder.draw_prompts,
        "fusion blocks": config.mask_decoder.fusion_blocks > 0,
    }
    if isinstance(config, Sam2Config):
        found["residual memory"] = config.memory.residual
        found["the mask before as a prompt"] = config.memory.previous_mask
    return [name for name, present in found.items() if present]


def validate(config: SamConfig | Sam2Config) -> None:
    """Check that a network of these sizes can be built and run.

    Meant for sizes that come from a file; the functions above give valid ones.

    Raises:
        ValueError: which field is wrong, and how.
    """
    for name, value in _leaves("", to_dict(config)):
        if isinstance(value, (bool, str)):
            continue
        if not isinstance(value, (int, float)) or not 0 <= value <= _LARGEST:
            raise ValueError(f"{name}: expected a number from 0 to {_LARGEST}, got {value!r}")
    encoder, decoder = config.image_encoder, config.mask_decoder
    step = 32
    if isinstance(encoder, ViTConfig):
        depth, widths, step = encoder.depth, [(encoder.dim, encoder.heads)], encoder.patch_size
        if encoder.activation not in get_args(Activation):
            expected = ", ".join(get_args(Activation))
            raise ValueError(f"activation: expected {expected}, got {encoder.activation!r}")
    elif isinstance(encoder, TinyViTConfig):
        depth, widths = sum(encoder.depths), list(zip(encoder.dims, encoder.heads, strict=True))
    elif isinstance(encoder, ResNetConfig):
        depth = sum(encoder.depths)
        # Half the channels are the fewest that a group norm sees.
        widths = [(dim, 2 * encoder.groups) for dim in encoder.stage_dims]
        if not len(encoder.stage_dims) == len(encoder.depths) == 4:
            raise ValueError("image_encoder: expected four stages, each with a depth")
    else:
        depth, widths = sum(encoder.stages), [(encoder.dim, encoder.heads)]
        if len(encoder.window_sizes) != len(encoder.stages) or len(encoder.stages) < 4:
            raise ValueError("image_encoder: expected four stages, each with a window size")
    widths += [(config.dim // 2, decoder.heads)]
    if decoder.fusion_blocks:
        widths += [(config.dim // 2, 8)]  # groups of its norms
    if isinstance(config, Sam2Config):
        widths += [(config.dim, config.memory.heads)]
        depth = max(depth, config.memory.layers)
    for dim, heads in widths:
        if dim < 1 or heads < 1 or dim % heads:
            raise ValueError(f"expected channels that their heads divide, got {dim} and {heads}")
    depth = max(depth, decoder.depth, decoder.fusion_blocks, decoder.iou_head_depth)
    if depth > _DEEPEST or decoder.iou_head_depth < 1:
        raise ValueError(f"expected at most {_DEEPEST} layers, and an IoU head of at least one")
    if step < 1:
        raise ValueError(f"patch_size: expected at least 1, got {step}")
    if len(config.image_size) != 2 or any(side < step or side % step for side in config.image_size):
        raise ValueError(f"image_size: expected multiples of {step}, got {config.image_size}")
    if not len(config.mean) == len(config.std) == encoder.in_channels or 0 in config.std:
        raise ValueError("expected as many means and deviations (not 0) as input channels")
    if config.dim % 8 or decoder.candidates < 1 or config.prompt_encoder.mask_channels < 4:
        raise ValueError("expected dim a multiple of 8, 1 candidate and 4 mask channels at least")


# No network of the field comes near these.
_LARGEST, _DEEPEST = 2**16, 512


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(name, item)
    elif not name.endswith(("sigmoid_bias", "mean")):  # these may be negative
        yield name, value


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value
