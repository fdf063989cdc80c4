"""Sizes of whole networks: what is common to all, and a class for each family."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, get_args

from samkit.sizes.checks import check_types
from samkit.sizes.image_encoders import (
    HieraConfig,
    ImageEncoderConfig,
    PeViTConfig,
    ViTConfig,
)
from samkit.sizes.parts import MaskDecoderConfig, MemoryConfig, Pooling, PromptEncoderConfig

__all__ = ["NetworkConfig", "Sam2Config", "Sam3Config", "Sam31Config", "SamConfig"]

# The defaults are frozen, which ruff sees only of classes in the same file.
# ruff: noqa: RUF009

# Far above those of any published network.
_DEEPEST, _MOST_CANDIDATES = 512, 64


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

        Meant for sizes that come from a file; those of `samkit.sizes.models` are valid.

        Raises:
            ValueError: which field is wrong, and how.
        """
        check_types("", self)
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
    """SAM, MobileSAM or HQ-SAM."""

    family: ClassVar[str] = "sam"
    keep_aspect: ClassVar[bool] = True
    has_memory: ClassVar[bool] = False

    image_encoder: ImageEncoderConfig = ViTConfig()
    prompt_encoder: PromptEncoderConfig = PromptEncoderConfig()
    mask_decoder: MaskDecoderConfig = MaskDecoderConfig()
    mean: tuple[float, ...] = (123.675 / 255, 116.28 / 255, 103.53 / 255)
    std: tuple[float, ...] = (58.395 / 255, 57.12 / 255, 57.375 / 255)

    def validate(self) -> None:
        super().validate()
        if self.mask_decoder.high_quality and not self.image_encoder.early_dim:
            raise ValueError("high_quality: expected an image encoder of SAM or MobileSAM")

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

    @property
    def input_step(self) -> int:
        # Windows of the map, each of which becomes a token of the memory, are equally large.
        return math.lcm(super().input_step, self.stride * max(1, self.memory.grid_latents))

    def validate(self) -> None:
        super().validate()
        memory = self.memory
        if bool(memory.latents) != bool(memory.grid_latents):
            raise ValueError("memory: expected latents and grid_latents, or none of them")
        if memory.pooling not in get_args(Pooling) or (memory.latents and memory.pooling != "none"):
            raise ValueError(
                f"memory: expected pooling out of {', '.join(get_args(Pooling))}, and none of "
                f"latents, got {memory.pooling!r}"
            )
        if self.mask_decoder.high_resolution and self.image_encoder.one_map:
            raise ValueError("high_resolution: expected an image encoder that gives finer maps")
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


@dataclass(frozen=True, kw_only=True)
class Sam3Config(Sam2Config):
    """What SAM 3 (2511.16719) does with clicks, boxes, masks and memory: SAM 2 on another encoder.

    The encoder's maps come from its last block, so that there is no pyramid to add up.
    """

    family: ClassVar[str] = "sam3"

    image_encoder: ImageEncoderConfig = PeViTConfig()
    memory: MemoryConfig = MemoryConfig(nearest_prompts=4)
    fpn_top_down_levels: tuple[int, ...] = ()
    image_size: tuple[int, int] = (1008, 1008)
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @property
    def quality_thresholds(self) -> tuple[float, float]:
        # Users report IoUs of 0.3 predicted for good masks, so that stability alone decides.
        return 0.0, 0.95


@dataclass(frozen=True, kw_only=True)
class Sam31Config(Sam3Config):
    """What SAM 3.1 does with clicks, boxes and masks on images: the same, with other weights.

    Its memory, of 16 objects at a time, is none of SAM 2's kind, and not part of samkit.
    """

    family: ClassVar[str] = "sam3.1"
    has_memory: ClassVar[bool] = False

    image_encoder: ImageEncoderConfig = PeViTConfig(neck_levels=3)
    mask_decoder: MaskDecoderConfig = MaskDecoderConfig(
        high_resolution=True, object_score=True, dynamic_multimask=True
    )
