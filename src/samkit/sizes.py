"""Sizes of every network, as values; without torch.

A network is built from a `NetworkConfig` and nothing else: `SamConfig` (SAM, MobileSAM) or
`Sam2Config` (SAM 2, 2.1, pico), each with the sizes of one of the image encoders. What depends on
the model, such as whether images keep their aspect, is a property here, so that no other code
distinguishes models. samkit's own weight files hold sizes as JSON (`to_dict`, `from_dict`).
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, ClassVar, Literal, get_args

__all__ = [
    "Activation",
    "EfficientNetLiteConfig",
    "HieraConfig",
    "ImageEncoderConfig",
    "MaskDecoderConfig",
    "MemoryConfig",
    "NetworkConfig",
    "Norm",
    "PromptEncoderConfig",
    "Resampling",
    "Sam2Config",
    "SamConfig",
    "TinyViTConfig",
    "ViTConfig",
    "differences",
    "from_dict",
    "mobile_sam",
    "pico",
    "sam2",
    "sam_vit",
    "to_dict",
]

# Far above those of any published network.
_LARGEST, _DEEPEST, _MOST_CANDIDATES = 2**16, 512, 64
# Of the norm "group_norm".
NORM_GROUPS = 32

Activation = Literal["gelu", "linear", "mish", "relu", "relu6", "sigmoid", "silu"]
"""Activation between the two linear layers of a transformer block; "linear" is none."""

Norm = Literal["affine", "batch_norm", "group_norm", "group_norm_1grp", "layer_norm", "none"]
"""Norm of a transformer block; "group_norm" has 32 groups, "affine" only scales and shifts."""

Resampling = Literal["bicubic", "bilinear"]
"""How a map is brought to another size."""


@dataclass(frozen=True, kw_only=True)
class ImageEncoderConfig(ABC):
    """Sizes of an image encoder.

    Attributes:
        in_channels: of the images.
    """

    kind: ClassVar[str]
    """Name of the encoder in files."""
    half_precision: ClassVar[bool] = True
    """Whether to use bfloat16 and float16: they save time and hardly change masks."""
    unpublished: ClassVar[str] = ""
    """Description of an encoder that no published code has; else empty."""
    fixed_grid: ClassVar[bool] = False
    """Whether the weights hold position tables made for one size of the input."""

    in_channels: int = 3

    @property
    def stride(self) -> int:
        """Pixels of the input for one cell of the embedding."""
        return 16

    @property
    def prompt_scale(self) -> int:
        """Size of the prompt frame over that of the input; 2 for EfficientViT-SAM at 512."""
        return 1

    @property
    def input_step(self) -> int:
        """Height and width of the input are multiples of this."""
        return 32

    @property
    def follows_from_shapes(self) -> bool:
        """Whether all that shapes of tensors do not determine is as in the released networks."""
        return True

    @property
    def published_norms(self) -> bool:
        """Whether its norms are of the kind that published code has."""
        return True

    @abstractmethod
    def depth_and_widths(self) -> tuple[int, list[tuple[int, int]]]:
        """Number of layers, and channels with the heads or groups that must divide them.

        Raises:
            ValueError: the sizes contradict each other.
        """


@dataclass(frozen=True, kw_only=True)
class ViTConfig(ImageEncoderConfig):
    """Plain vision transformer with windows and relative positions (SAM; ViTDet, 2203.16527).

    The released networks have the default `activation`, and the default `norm` and `norm_eps` of
    the blocks. `position_resampling` brings the absolute positions to inputs of another size.
    """

    kind: ClassVar[str] = "vit"
    fixed_grid: ClassVar[bool] = True

    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    patch_size: int = 16
    window_size: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    qkv_bias: bool = True
    activation: Activation = "gelu"
    norm: Norm = "layer_norm"
    norm_eps: float = 1e-6
    position_resampling: Resampling = "bicubic"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0

    @property
    def stride(self) -> int:
        return self.patch_size

    @property
    def input_step(self) -> int:
        return self.patch_size

    @property
    def follows_from_shapes(self) -> bool:
        own = (self.activation, self.norm, self.norm_eps)
        return own == (ViTConfig.activation, ViTConfig.norm, ViTConfig.norm_eps)

    @property
    def published_norms(self) -> bool:
        return self.norm == "layer_norm"

    def depth_and_widths(self) -> tuple[int, list[tuple[int, int]]]:
        for name, names in (
            ("activation", Activation),
            ("norm", Norm),
            ("position_resampling", Resampling),
        ):
            if getattr(self, name) not in get_args(names):
                expected = ", ".join(get_args(names))
                raise ValueError(f"{name}: expected {expected}, got {getattr(self, name)!r}")
        groups = [(self.dim, NORM_GROUPS)] if self.norm == "group_norm" else []
        return self.depth, [(self.dim, self.heads), *groups]


@dataclass(frozen=True, kw_only=True)
class TinyViTConfig(ImageEncoderConfig):
    """TinyViT (2207.10666), the image encoder of MobileSAM (2306.14289)."""

    kind: ClassVar[str] = "tiny_vit"

    dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (2, 4, 5, 10)
    window_sizes: tuple[int, ...] = (7, 7, 14, 7)
    merge_strides: tuple[int, ...] = (2, 2, 1)
    mlp_ratio: float = 4.0
    expand_ratio: float = 4.0
    local_conv_size: int = 3
    dropout: float = 0.0
    drop_path: float = 0.0

    def depth_and_widths(self) -> tuple[int, list[tuple[int, int]]]:
        return sum(self.depths), list(zip(self.dims, self.heads, strict=True))


@dataclass(frozen=True, kw_only=True)
class HieraConfig(ImageEncoderConfig):
    """Hiera (2306.00989), the hierarchical image encoder of SAM 2."""

    kind: ClassVar[str] = "hiera"

    dim: int = 96
    heads: int = 1
    stages: tuple[int, ...] = (1, 2, 7, 2)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    window_sizes: tuple[int, ...] = (8, 4, 14, 7)
    position_size: tuple[int, int] = (7, 7)
    mlp_ratio: float = 4.0
    drop_path: float = 0.0

    @property
    def stage_dims(self) -> tuple[int, ...]:
        """Channels of each stage; they double from one to the next."""
        return tuple(self.dim * 2**i for i in range(len(self.stages)))

    def depth_and_widths(self) -> tuple[int, list[tuple[int, int]]]:
        if len(self.window_sizes) != len(self.stages) or len(self.stages) < 4:
            raise ValueError("image_encoder: expected four stages, each with a window size")
        return sum(self.stages), [(self.dim, self.heads)]


@dataclass(frozen=True, kw_only=True)
class EfficientNetLiteConfig(ImageEncoderConfig):
    """EfficientNet-Lite (1905.11946), the image encoder of `pico`; by default the size "lite2".

    Attributes:
        stem_dim: channels of the first convolution.
        dims, depths: channels and number of blocks of each of the seven stages.
        groups: of the norms of the features.
    """

    kind: ClassVar[str] = "efficientnet_lite"
    # So small an encoder gains little time in half precision, and its masks change.
    half_precision: ClassVar[bool] = False
    unpublished: ClassVar[str] = "an EfficientNet-Lite as image encoder"

    stem_dim: int = 32
    dims: tuple[int, ...] = (16, 24, 48, 88, 120, 208, 352)
    depths: tuple[int, ...] = (1, 3, 3, 4, 4, 5, 1)
    groups: int = 8

    @property
    def stage_dims(self) -> tuple[int, ...]:
        """Channels of the features of strides 4, 8, 16 and 32."""
        return tuple(self.dims[i] for i in (1, 2, 4, 6))

    def depth_and_widths(self) -> tuple[int, list[tuple[int, int]]]:
        if not len(self.dims) == len(self.depths) == 7:
            raise ValueError("image_encoder: expected seven stages, each with a depth")
        if min(self.stem_dim, *self.dims, *self.depths) < 1:
            raise ValueError("image_encoder: expected dims and depths of 1 and more")
        return sum(self.depths), [(dim, self.groups) for dim in self.stage_dims]


@dataclass(frozen=True, kw_only=True)
class PromptEncoderConfig:
    """How prompts become tokens and a dense map.

    Attributes:
        mask_channels: hidden channels of the mask-prompt convolutions.
        pad_boxes: whether a prompt with a box also gets the "not a point" token (SAM 2: yes,
            SAM: only prompts without a box get it).
        draw_prompts: also draw clicks and boxes into the dense prompt (an addition of samkit's
            own, used by `pico`: a small network hardly learns the positions of tokens without it).
    """

    mask_channels: int = 16
    pad_boxes: bool = False
    draw_prompts: bool = False


@dataclass(frozen=True, kw_only=True)
class MaskDecoderConfig:
    """Mask decoder of SAM (2304.02643, appendix A) with the options that SAM 2 added.

    Attributes:
        high_resolution: add stride-4 and stride-8 image features while upscaling.
        iou_sigmoid: map the predicted IoU to 0..1.
        object_score: predict whether the object is in the image.
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
        residual: the output of attention is added to the features of a frame, instead of replacing
            them (an addition of samkit's own, used by `pico`: training the memory then does not
            change masks of images).
        previous_mask: the mask in one frame is a mask prompt in the next (an addition of samkit's
            own, used by `pico`: after little training attention does not localise objects).
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


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(ABC):
    """Sizes of a network.

    Attributes:
        image_encoder, prompt_encoder, mask_decoder: sizes of the parts.
        dim: channels of the image embedding and of tokens.
        image_size: (H, W) of the input in pixels.
        mean, std: of each channel, of values from 0 to 1.
    """

    family: ClassVar[str]
    """Name of the kind of network in files."""
    keep_aspect: ClassVar[bool]
    """True: images are scaled until they fit, and padded at the bottom and right. False: they are
    stretched to the whole input."""
    has_memory: ClassVar[bool]
    """Whether such a network has a memory of objects, as video needs."""

    image_encoder: ImageEncoderConfig
    prompt_encoder: PromptEncoderConfig
    mask_decoder: MaskDecoderConfig
    dim: int = 256
    image_size: tuple[int, int] = (1024, 1024)
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def stride(self) -> int:
        """Pixels of the prompt frame for a cell of the embedding; mask logits are 4 times finer."""
        return self.image_encoder.stride * self.image_encoder.prompt_scale

    @property
    def prompt_size(self) -> tuple[int, int]:
        """(H, W) of the frame that coordinates of prompts are in."""
        height, width = self.image_size
        return height * self.image_encoder.prompt_scale, width * self.image_encoder.prompt_scale

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the image embedding."""
        height, width = self.prompt_size
        return height // self.stride, width // self.stride

    @property
    def input_step(self) -> int:
        """Height and width of the input are multiples of this."""
        return self.image_encoder.input_step

    @property
    def half_precision(self) -> bool:
        """Whether the image encoder may run in bfloat16 or float16."""
        return self.image_encoder.half_precision

    @property
    @abstractmethod
    def quality_thresholds(self) -> tuple[float, float]:
        """Predicted IoU and stability above which everything mode keeps a mask."""

    @property
    def unpublished_features(self) -> list[str]:
        """Additions that no published code has; empty for released networks."""
        features = (
            self.image_encoder.unpublished,
            "drawn prompts" if self.prompt_encoder.draw_prompts else "",
            "fusion blocks" if self.mask_decoder.fusion_blocks else "",
        )
        return [name for name in features if name]

    def validate(self) -> None:
        """Check that a network of these sizes can be built and run.

        Meant for sizes that come from a file; the functions of this module give valid ones.

        Raises:
            ValueError: which field is wrong, and how.
        """
        _check_types("", self)
        decoder, step, size = self.mask_decoder, self.input_step, self.image_size
        depths, widths = self._depths_and_widths()
        for dim, heads in widths:
            if dim < 1 or heads < 1 or dim % heads:
                raise ValueError(
                    f"expected channels that their heads divide, got {dim} and {heads}"
                )
        if max(depths) > _DEEPEST or decoder.iou_head_depth < 1:
            raise ValueError(f"expected at most {_DEEPEST} layers, and an IoU head of at least one")
        if step < 1:
            raise ValueError(f"patch_size: expected at least 1, got {step}")
        if len(size) != 2 or any(side < step or side % step for side in size):
            raise ValueError(f"image_size: expected multiples of {step}, got {size}")
        if not len(self.mean) == len(self.std) == self.image_encoder.in_channels or 0 in self.std:
            raise ValueError("expected as many means and deviations (not 0) as input channels")
        if self.dim % 8 or self.prompt_encoder.mask_channels < 4:
            raise ValueError("expected dim a multiple of 8, and 4 mask channels at least")
        if not 1 <= decoder.candidates <= _MOST_CANDIDATES:  # each has layers of its own
            raise ValueError(
                f"candidates: expected 1 to {_MOST_CANDIDATES}, got {decoder.candidates}"
            )

    def _depths_and_widths(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Layers of each part; channels with the heads or groups that must divide them."""
        decoder = self.mask_decoder
        depth, widths = self.image_encoder.depth_and_widths()
        widths = [*widths, (self.dim // 2, decoder.heads)]
        if decoder.fusion_blocks:
            widths.append((self.dim // 2, 8))  # groups of its norms
        return [depth, decoder.depth, decoder.fusion_blocks, decoder.iou_head_depth], widths


@dataclass(frozen=True, kw_only=True)
class SamConfig(NetworkConfig):
    """SAM or MobileSAM."""

    family: ClassVar[str] = "sam"
    keep_aspect: ClassVar[bool] = True
    has_memory: ClassVar[bool] = False

    image_encoder: ImageEncoderConfig = ViTConfig()
    prompt_encoder: PromptEncoderConfig = PromptEncoderConfig()
    mask_decoder: MaskDecoderConfig = MaskDecoderConfig()
    mean: tuple[float, ...] = (123.675 / 255, 116.28 / 255, 103.53 / 255)
    std: tuple[float, ...] = (58.395 / 255, 57.12 / 255, 57.375 / 255)

    @property
    def quality_thresholds(self) -> tuple[float, float]:
        return 0.88, 0.95  # as in segment-anything


@dataclass(frozen=True, kw_only=True)
class Sam2Config(NetworkConfig):
    """SAM 2 or 2.1, or `pico`."""

    family: ClassVar[str] = "sam2"
    keep_aspect: ClassVar[bool] = False
    has_memory: ClassVar[bool] = True

    image_encoder: ImageEncoderConfig = HieraConfig()
    prompt_encoder: PromptEncoderConfig = PromptEncoderConfig(pad_boxes=True)
    mask_decoder: MaskDecoderConfig = MaskDecoderConfig(
        high_resolution=True, iou_sigmoid=True, object_score=True, dynamic_multimask=True
    )
    memory: MemoryConfig = MemoryConfig()
    fpn_top_down_levels: tuple[int, ...] = (2, 3)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)  # of ImageNet
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def validate(self) -> None:
        super().validate()
        memory = self.memory
        # Pointers are cut into tokens of the memory's channels.
        fits = self.dim % memory.dim == 0 if 0 < memory.dim < self.dim else memory.dim > 0
        if memory.slots < 1 or memory.dim % 4 or not fits:
            raise ValueError(
                "memory: expected a slot at least, and a dim that is a multiple of 4 and divides "
                f"{self.dim}, got {memory.slots} and {memory.dim}"
            )

    @property
    def quality_thresholds(self) -> tuple[float, float]:
        # The scores of pico are lower; the others are as in sam2.
        return (0.4, 0.5) if self.unpublished_features else (0.8, 0.95)

    @property
    def unpublished_features(self) -> list[str]:
        residual = ["residual memory"] if self.memory.residual else []
        previous = ["the mask before as a prompt"] if self.memory.previous_mask else []
        return super().unpublished_features + residual + previous

    def _depths_and_widths(self) -> tuple[list[int], list[tuple[int, int]]]:
        depths, widths = super()._depths_and_widths()
        # Rotary positions turn pairs of channels, half of them by rows and half by columns.
        widths = [*widths, (self.dim, 4 * self.memory.heads)]
        return [*depths, self.memory.layers], widths


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
    added = version != "2"
    memory = MemoryConfig(occlusion_embedding=added, pointer_time=added)
    return Sam2Config(image_encoder=encoder, memory=memory)


def pico() -> Sam2Config:
    """Sizes of samkit's own small model: a SAM 2 network of 6 million parameters.

    The differences from SAM 2 were chosen by measurement, see docs/models/pico.md.
    """
    return Sam2Config(
        image_encoder=EfficientNetLiteConfig(),
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
        ),
        dim=128,
        image_size=(320, 416),  # most photographs and nearly all videos are wide
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
    )


_ENCODERS_BY_KIND: dict[str, type[ImageEncoderConfig]] = {
    cls.kind: cls for cls in (EfficientNetLiteConfig, HieraConfig, TinyViTConfig, ViTConfig)
}
_FAMILIES: dict[str, type[NetworkConfig]] = {cls.family: cls for cls in (SamConfig, Sam2Config)}
_PARTS: dict[str, type[Any]] = {
    "prompt_encoder": PromptEncoderConfig,
    "mask_decoder": MaskDecoderConfig,
    "memory": MemoryConfig,
}


def differences(config: NetworkConfig) -> dict[str, Any]:
    """What sizes have other than by default, as JSON values: an option added later is not in it."""
    encoder = config.image_encoder
    return {
        "family": config.family,
        "kind": encoder.kind,
        **_differences(config),
        "image_encoder": _differences(encoder),
    }


def to_dict(config: NetworkConfig) -> dict[str, Any]:
    """Sizes as plain JSON values."""
    values = asdict(config)
    values["image_encoder"]["kind"] = config.image_encoder.kind
    return {**values, "family": config.family}


def from_dict(values: dict[str, Any]) -> NetworkConfig:
    """The inverse of `to_dict`; lists become tuples.

    Raises:
        KeyError, TypeError: a field is missing or unknown.
    """
    values = {name: _tuples(value) for name, value in values.items()}
    encoder = dict(values.pop("image_encoder"))
    values["image_encoder"] = _ENCODERS_BY_KIND[encoder.pop("kind")](**encoder)
    family = _FAMILIES[values.pop("family")]
    for name in _PARTS.keys() & {each.name for each in fields(family)}:
        values[name] = _PARTS[name](**values[name])
    return family(**values)


def _differences(part: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in fields(part):
        value = getattr(part, each.name)
        if value != each.default:
            values[each.name] = _differences(value) if is_dataclass(value) else value
    return values


def _check_types(name: str, part: Any) -> None:
    """Raise ValueError where a field has another type than its default, or is out of range."""
    for each in fields(part):
        value, path = getattr(part, each.name), f"{name}.{each.name}".lstrip(".")
        if is_dataclass(value):
            _check_types(path, value)
            continue
        if not isinstance(each.default, tuple):
            _check_value(path, value, each.default)
        elif not isinstance(value, tuple):
            raise ValueError(f"{path}: expected several numbers, got {value!r}")
        else:
            for one in value:
                _check_value(path, one, each.default[0])


def _check_value(name: str, value: object, like: object) -> None:
    kinds = (int, float) if isinstance(like, float) else (type(like),)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(like, bool):
        raise ValueError(f"{name}: expected a value such as {like!r}, got {value!r}")
    if isinstance(value, (int, float)):
        low = -_LARGEST if name.endswith(("sigmoid_bias", "mean")) else 0
        if not low <= value <= _LARGEST:
            raise ValueError(f"{name}: expected a number from {low} to {_LARGEST}, got {value!r}")
        if name.endswith(("dropout", "drop_path")) and value >= 1:
            raise ValueError(f"{name}: expected a rate below 1, got {value!r}")


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value
