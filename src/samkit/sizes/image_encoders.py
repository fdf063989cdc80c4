"""Sizes of the image encoders: what is common to all, and a class for each kind."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

__all__ = [
    "NORM_GROUPS",
    "Activation",
    "EfficientNetLiteConfig",
    "EfficientViTConfig",
    "HieraConfig",
    "ImageEncoderConfig",
    "Norm",
    "PeViTConfig",
    "PlainViTConfig",
    "RepViTConfig",
    "RepViTSamConfig",
    "Resampling",
    "TinyViTConfig",
    "ViTConfig",
]

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
    one_map: ClassVar[bool] = False
    """Whether an encoder of SAM 2's kind gives no finer maps beside the embedding."""

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
    def early_dim(self) -> int:
        """Channels of the early map that HQ-SAM reads; 0 where an encoder gives none."""
        return 0

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
    def early_dim(self) -> int:
        return self.dim

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

    @property
    def early_dim(self) -> int:
        return self.dims[2]

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
class PlainViTConfig(ImageEncoderConfig):
    """The plain vision transformer of EfficientTAM (2411.18933); by default the size "S".

    Attributes:
        window_size: rows and columns of the windows of all blocks but `global_blocks`.
        position_size: rows and columns of the absolute positions, which are resampled to the grid.
    """

    kind: ClassVar[str] = "plain_vit"
    one_map: ClassVar[bool] = True

    dim: int = 384
    depth: int = 12
    heads: int = 6
    window_size: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    position_size: tuple[int, int] = (14, 14)

    def depth_and_widths(self) -> tuple[int, list[tuple[int, int]]]:
        if min(self.window_size, *self.position_size) < 1:
            raise ValueError("image_encoder: expected windows and positions of at least one cell")
        return self.depth, [(self.dim, self.heads)]


@dataclass(frozen=True, kw_only=True)
class RepViTConfig(ImageEncoderConfig):
    """RepViT (2307.09283), the image encoder of EdgeTAM (2501.07256); by default the size "M1".

    Attributes:
        dims, depths: channels and number of blocks of each stage.
    """

    kind: ClassVar[str] = "rep_vit"

    dims: tuple[int, ...] = (48, 96, 192, 384)
    depths: tuple[int, ...] = (2, 2, 14, 2)

    def depth_and_widths(self) -> tuple[int, list[tuple[int, int]]]:
        if not len(self.dims) == len(self.depths) == 4:
            raise ValueError("image_encoder: expected four stages, each with a depth")
        if min(*self.dims, *self.depths) < 1:
            raise ValueError("image_encoder: expected dims and depths of 1 and more")
        return sum(self.depths), [(dim, 1) for dim in self.dims]


@dataclass(frozen=True, kw_only=True)
class PeViTConfig(ImageEncoderConfig):
    """The vision transformer of SAM 3 (2511.16719), with windows and rotary positions.

    Attributes:
        window_size: cells of a window, whose rotary positions global attention stretches over the
            whole grid.
        position_size: rows and columns of the absolute positions, which are repeated over the grid.
        norm_eps: of the layer norms.
        rope_theta: base of the rotary positions.
        neck_levels: maps that there are weights for, of which the first three are used.
    """

    kind: ClassVar[str] = "pe_vit"

    dim: int = 1024
    depth: int = 32
    heads: int = 16
    mlp_ratio: float = 4.625
    patch_size: int = 14
    window_size: int = 24
    global_blocks: tuple[int, ...] = (7, 15, 23, 31)
    position_size: tuple[int, int] = (24, 24)
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    neck_levels: int = 4

    @property
    def stride(self) -> int:
        return self.patch_size

    @property
    def input_step(self) -> int:
        return self.patch_size

    def depth_and_widths(self) -> tuple[int, list[tuple[int, int]]]:
        if min(self.window_size, *self.position_size) < 1:
            raise ValueError("image_encoder: expected windows and positions of at least one cell")
        if self.neck_levels not in (3, 4):
            raise ValueError(f"neck_levels: expected three or four, got {self.neck_levels}")
        # Rotary positions turn pairs of channels, half of them by rows and half by columns.
        return self.depth, [(self.dim, 4 * self.heads)]


@dataclass(frozen=True, kw_only=True)
class RepViTSamConfig(ImageEncoderConfig):
    """RepViT (2307.09283) as the image encoder of RepViT-SAM (2312.05760): the size "M2.3".

    Its last stage keeps the resolution of the one before, and its blocks have fewer norms than
    those of EdgeTAM.

    Attributes:
        dims, depths: channels and number of blocks of each stage.
    """

    kind: ClassVar[str] = "rep_vit_sam"

    dims: tuple[int, ...] = (80, 160, 320, 640)
    depths: tuple[int, ...] = (6, 6, 34, 2)

    def depth_and_widths(self) -> tuple[int, list[tuple[int, int]]]:
        if not len(self.dims) == len(self.depths) == 4:
            raise ValueError("image_encoder: expected four stages, each with a depth")
        if min(*self.dims, *self.depths) < 1:
            raise ValueError("image_encoder: expected dims and depths of 1 and more")
        return sum(self.depths), [(dim, 1) for dim in self.dims]


@dataclass(frozen=True, kw_only=True)
class EfficientViTConfig(ImageEncoderConfig):
    """EfficientViT (2205.14756), the image encoder of EfficientViT-SAM (2402.05008); as of "L0".

    Of five stages (L) the embedding has an eighth of the input's size, and prompts live in a frame
    twice as large; of six (XL), a sixteenth. What else these two differ in follows from that too.

    Attributes:
        dims, depths: channels of each stage, and number of blocks after its first.
        neck_depth: blocks of the neck.
    """

    kind: ClassVar[str] = "efficient_vit"
    head_dim: ClassVar[int] = 32

    dims: tuple[int, ...] = (32, 64, 128, 256, 512)
    depths: tuple[int, ...] = (1, 1, 1, 4, 4)
    neck_depth: int = 4

    @property
    def stride(self) -> int:
        return 1 << (len(self.dims) - 2)

    @property
    def prompt_scale(self) -> int:
        return 16 // self.stride

    @property
    def input_step(self) -> int:
        return 1 << len(self.dims)

    @property
    def attention_stages(self) -> tuple[int, ...]:
        """Stages with attention."""
        return (4,) if len(self.dims) == 5 else (4, 5)

    @property
    def separable_stages(self) -> tuple[int, ...]:
        """Stages whose convolutions are depthwise."""
        return (3, 4) if len(self.dims) == 5 else (4, 5)

    @property
    def attention_kernel(self) -> int:
        """Rows and columns from which keys and values of the second scale come."""
        return 5 if len(self.dims) == 5 else 3

    @property
    def neck_expansion(self) -> int:
        """By how much blocks of the neck widen."""
        return 1 if len(self.dims) == 5 else 4

    def depth_and_widths(self) -> tuple[int, list[tuple[int, int]]]:
        if len(self.dims) not in (5, 6) or len(self.dims) != len(self.depths):
            raise ValueError("image_encoder: expected five or six stages, each with a depth")
        if min(self.dims) < 1:
            raise ValueError("image_encoder: expected dims of 1 and more")
        attention = [(self.dims[i], self.head_dim) for i in self.attention_stages]
        return max(sum(self.depths), self.neck_depth), attention


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
