"""Sizes of the parts that all image encoders share: prompt encoder, mask decoder, memory;
and of the detector of SAM 3.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "DetectorConfig",
    "MaskDecoderConfig",
    "MemoryConfig",
    "Pooling",
    "PromptEncoderConfig",
    "TextEncoderConfig",
]

Pooling = Literal["none", "logits", "keys"]
"""What is raised where 2 x 2 cells of a memory become one, which counts as four."""


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
        high_quality: add logits of finer maps to those of every mask (HQ-SAM, 2306.01567, and 2).
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
    high_quality: bool = False
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
        latents: tokens that sum up a whole memory; 0: a memory is a map, as in SAM 2 (EdgeTAM,
            2501.07256, section 3.2).
        grid_latents: rows and columns of further tokens, each of which sums up a window of the map.
        perceiver_layers: layers that make such tokens.
        nearest_prompts: how many prompted frames are attended to, the nearest ones; 0 for all of
            them, as in SAM 2 (SAM 3: four).
        pooling: whether keys and values of 2 x 2 cells become one, where more than one memory is in
            reach, and how that one counts as four (EfficientTAM, 2411.18933, section 3.2).
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
    latents: int = 0
    grid_latents: int = 0
    perceiver_layers: int = 2
    nearest_prompts: int = 0
    pooling: Pooling = "none"


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """Text encoder of SAM 3 (2511.16719).

    Attributes:
        vocabulary: number of different tokens.
        context: tokens of a text at most.
        dim, depth, heads, mlp_dim: sizes of the transformer.
    """

    vocabulary: int = 49408
    context: int = 32
    dim: int = 1024
    depth: int = 24
    heads: int = 16
    mlp_dim: int = 4096


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """Detector of SAM 3 (2511.16719): all objects of a concept, given in words or by examples.

    Attributes:
        text: sizes of the text encoder.
        heads, mlp_dim: of all transformers but that of texts.
        exemplar_layers, encoder_layers, decoder_layers: layers of boxes that are examples, of the
            image with the prompt, and of the queries.
        queries: candidates for objects.
        pool_size: places along the sides of the part of an image that is in a box.
        neck_levels: as in `PeViTConfig`.
    """

    text: TextEncoderConfig = TextEncoderConfig()
    heads: int = 8
    mlp_dim: int = 2048
    exemplar_layers: int = 3
    encoder_layers: int = 6
    decoder_layers: int = 6
    queries: int = 200
    pool_size: int = 7
    neck_levels: int = 4
