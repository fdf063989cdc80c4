"""Sizes of the released networks, and of `pico`."""

from dataclasses import replace
from typing import Literal

from samkit.sizes.image_encoders import (
    EfficientNetLiteConfig,
    EfficientViTConfig,
    HieraConfig,
    PlainViTConfig,
    RepViTConfig,
    RepViTSamConfig,
    TinyViTConfig,
    ViTConfig,
)
from samkit.sizes.networks import Sam2Config, Sam3Config, Sam31Config, SamConfig
from samkit.sizes.parts import MaskDecoderConfig, MemoryConfig, Pooling, PromptEncoderConfig

__all__ = [
    "edge_tam",
    "efficient_tam",
    "efficient_vit_sam",
    "hq_sam",
    "hq_sam2",
    "med_sam2",
    "mobile_sam",
    "pico",
    "rep_vit_sam",
    "sam2",
    "sam3",
    "sam_vit",
    "slim_sam",
]


def sam_vit(size: Literal["b", "l", "h"]) -> SamConfig:
    """Sizes of the released SAM models (2304.02643)."""
    encoder = {
        "b": ViTConfig(),
        "l": ViTConfig(dim=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
        "h": ViTConfig(dim=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
    }[size]
    return SamConfig(image_encoder=encoder)


def slim_sam(pruned: Literal["50", "77"]) -> SamConfig:
    """Sizes of SlimSAM (2312.05284), SAM's ViT-B with so many percent of its channels pruned."""
    encoder = {
        "50": ViTConfig(dim=384, mlp_ratio=1536 / 384),
        "77": ViTConfig(dim=168, mlp_ratio=696 / 168),
    }[pruned]
    return SamConfig(image_encoder=encoder)


def mobile_sam() -> SamConfig:
    """Sizes of MobileSAM (2306.14289) and of TinySAM (2312.13789)."""
    return SamConfig(image_encoder=TinyViTConfig())


def rep_vit_sam() -> SamConfig:
    """Sizes of RepViT-SAM (2312.05760)."""
    return SamConfig(image_encoder=RepViTSamConfig())


def efficient_vit_sam(size: Literal["l0", "l1", "l2", "xl0", "xl1"]) -> SamConfig:
    """Sizes of EfficientViT-SAM (2402.05008); the smaller ones see 512 pixels."""
    wide = (32, 64, 128, 256, 512, 1024)
    encoder = {
        "l0": EfficientViTConfig(),
        "l1": EfficientViTConfig(depths=(1, 1, 1, 6, 6), neck_depth=8),
        "l2": EfficientViTConfig(depths=(1, 2, 2, 8, 8), neck_depth=12),
        "xl0": EfficientViTConfig(dims=wide, depths=(0, 1, 1, 2, 3, 3), neck_depth=6),
        "xl1": EfficientViTConfig(dims=wide, depths=(1, 2, 2, 4, 6, 6), neck_depth=12),
    }[size]
    side = 1024 // encoder.prompt_scale
    return SamConfig(image_encoder=encoder, image_size=(side, side))


def hq_sam(size: Literal["b", "l", "h", "tiny"]) -> SamConfig:
    """Sizes of HQ-SAM (2306.01567): SAM or MobileSAM ("tiny") with another output."""
    network = mobile_sam() if size == "tiny" else sam_vit(size)
    return replace(network, mask_decoder=MaskDecoderConfig(high_quality=True))


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


def hq_sam2() -> Sam2Config:
    """Sizes of HQ-SAM 2: the large SAM 2.1 with another output."""
    network = sam2("large")
    return replace(network, mask_decoder=replace(network.mask_decoder, high_quality=True))


def med_sam2() -> Sam2Config:
    """Sizes of MedSAM2 (2504.03600): the tiny SAM 2.1, for images of 512 x 512."""
    return replace(sam2("tiny"), image_size=(512, 512))


def edge_tam() -> Sam2Config:
    """Sizes of EdgeTAM (2501.07256): SAM 2 with another image encoder and smaller memories."""
    memory = MemoryConfig(
        layers=2, occlusion_embedding=False, pointer_time=False, latents=256, grid_latents=16
    )
    return Sam2Config(image_encoder=RepViTConfig(), memory=memory)


def efficient_tam(
    size: Literal["s", "ti"], *, pooling: Pooling = "none", side: int = 1024
) -> Sam2Config:
    """Sizes of EfficientTAM (2411.18933): SAM 2 with a plain ViT, and maybe pooled memories."""
    encoder = PlainViTConfig() if size == "s" else PlainViTConfig(dim=192, heads=3)
    decoder = replace(sam2("tiny").mask_decoder, high_resolution=False)
    memory = MemoryConfig(occlusion_embedding=False, pointer_time=False, pooling=pooling)
    return Sam2Config(
        image_encoder=encoder, mask_decoder=decoder, memory=memory, image_size=(side, side)
    )


def sam3(version: Literal["3", "3.1"] = "3") -> Sam3Config:
    """Sizes of SAM 3 (2511.16719) or of the image part of 3.1, without the detector of concepts."""
    return Sam3Config() if version == "3" else Sam31Config()


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
