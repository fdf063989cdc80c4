"""Tiny networks with random weights, large enough that every parameter shows."""

from dataclasses import replace

import torch
from torch import nn

from samkit.nn import Sam, Sam2, build
from samkit.sizes import (
    EfficientNetLiteConfig,
    EfficientViTConfig,
    HieraConfig,
    MaskDecoderConfig,
    MemoryConfig,
    PeViTConfig,
    PlainViTConfig,
    PromptEncoderConfig,
    RepViTConfig,
    RepViTSamConfig,
    Sam2Config,
    Sam3Config,
    Sam31Config,
    SamConfig,
    TinyViTConfig,
    ViTConfig,
)

DECODER = {"heads": 2, "mlp_dim": 24, "iou_head_dim": 16}


def tiny_sam(**encoder: object) -> SamConfig:
    vit = {"dim": 24, "depth": 3, "heads": 2, "window_size": 3, "global_blocks": (1,), **encoder}
    return SamConfig(
        image_encoder=ViTConfig(**vit),
        mask_decoder=MaskDecoderConfig(**DECODER),
        dim=16,
        image_size=(128, 128),
    )


def tiny_mobile_sam(**encoder: object) -> SamConfig:
    sizes = {
        "dims": (8, 16, 16, 24),
        "depths": (1, 1, 2, 1),
        "heads": (1, 2, 2, 2),
        "window_sizes": (7, 3, 5, 3),
        **encoder,
    }
    return SamConfig(
        image_encoder=TinyViTConfig(**sizes),
        mask_decoder=MaskDecoderConfig(**DECODER),
        dim=16,
        image_size=(128, 128),
    )


def tiny_rep_vit_sam() -> SamConfig:
    encoder = RepViTSamConfig(dims=(4, 8, 12, 16), depths=(1, 2, 3, 2))
    return replace(tiny_sam(), image_encoder=encoder)


def tiny_efficient_vit_sam(stages: int = 5) -> SamConfig:
    if stages == 5:
        encoder = EfficientViTConfig(dims=(4, 8, 8, 8, 32), depths=(1, 1, 1, 2, 2), neck_depth=2)
    else:
        encoder = EfficientViTConfig(
            dims=(4, 4, 8, 8, 32, 32), depths=(0, 1, 1, 1, 1, 2), neck_depth=1
        )
    return replace(tiny_sam(), image_encoder=encoder)


def tiny_hq_sam() -> SamConfig:
    config = tiny_sam()
    return replace(config, mask_decoder=replace(config.mask_decoder, high_quality=True))


def tiny_sam2(*, draw_prompts: bool = False, **encoder: object) -> Sam2Config:
    sizes = {
        "dim": 8,
        "stages": (1, 1, 2, 1),
        "global_blocks": (3,),
        "window_sizes": (4, 2, 6, 3),
        "position_size": (3, 3),
        **encoder,
    }
    flags = ("high_resolution", "iou_sigmoid", "object_score", "dynamic_multimask")
    return Sam2Config(
        image_encoder=HieraConfig(**sizes),
        prompt_encoder=PromptEncoderConfig(pad_boxes=True, draw_prompts=draw_prompts),
        mask_decoder=MaskDecoderConfig(**DECODER, **dict.fromkeys(flags, True)),
        memory=MemoryConfig(dim=8, layers=1, mlp_dim=24, fuser_layers=1),
        dim=16,
        image_size=(128, 128),
    )


def tiny_hq_sam2() -> Sam2Config:
    config = tiny_sam2()
    return replace(config, mask_decoder=replace(config.mask_decoder, high_quality=True))


def tiny_edge_tam() -> Sam2Config:
    config = tiny_sam2()
    return replace(
        config,
        image_encoder=RepViTConfig(dims=(4, 8, 12, 16), depths=(1, 1, 2, 1)),
        memory=replace(
            config.memory,
            occlusion_embedding=False,
            pointer_time=False,
            latents=5,
            grid_latents=2,
            perceiver_layers=1,
        ),
    )


def tiny_sam3(**encoder: object) -> Sam3Config:
    sizes = {
        "dim": 16,
        "depth": 3,
        "heads": 2,
        "mlp_ratio": 1.5,
        "patch_size": 16,  # as that of all others, so that tests serve all of them
        "window_size": 3,  # which does not divide the grid
        "global_blocks": (1,),
        "position_size": (3, 3),
        **encoder,
    }
    config = tiny_sam2()
    return Sam3Config(
        image_encoder=PeViTConfig(**sizes),
        mask_decoder=config.mask_decoder,
        memory=replace(config.memory, nearest_prompts=2),
        dim=16,
        image_size=(8 * sizes["patch_size"],) * 2,
    )


def tiny_sam31() -> Sam31Config:
    config = tiny_sam3()
    return Sam31Config(
        image_encoder=replace(config.image_encoder, neck_levels=3),
        mask_decoder=replace(config.mask_decoder, iou_sigmoid=False),
        dim=config.dim,
        image_size=config.image_size,
    )


def tiny_efficient_tam(pooling: str = "none") -> Sam2Config:
    config = tiny_sam2()
    sizes = {"dim": 24, "depth": 3, "heads": 2, "window_size": 3, "global_blocks": (1,)}
    added = {"occlusion_embedding": False, "pointer_time": False, "pooling": pooling}
    return replace(
        config,
        image_encoder=PlainViTConfig(**sizes, position_size=(5, 5)),
        mask_decoder=replace(config.mask_decoder, high_resolution=False),
        memory=replace(config.memory, **added),
    )


def tiny_pico(**encoder: object) -> Sam2Config:
    """All of samkit's own additions."""
    sizes = {
        "stem_dim": 8,
        "dims": (4, 8, 8, 12, 16, 16, 24),
        "depths": (1, 1, 1, 2, 1, 1, 1),
        "groups": 4,
        **encoder,
    }
    config = tiny_sam2(draw_prompts=True)
    return replace(
        config,
        image_encoder=EfficientNetLiteConfig(**sizes),
        prompt_encoder=replace(config.prompt_encoder, mask_channels=8),
        mask_decoder=replace(config.mask_decoder, dynamic_multimask=False, fusion_blocks=1),
        memory=replace(
            config.memory,
            dropout=0.0,
            residual=True,
            previous_mask=True,
        ),
        fpn_top_down_levels=(0, 1, 2, 3),
    )


def randomise(network: nn.Module, seed: int = 0) -> None:
    """Give every parameter and running statistic a value that matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if not value.is_floating_point():
                continue
            value.normal_(0, 0.3, generator=generator)
            if name.endswith("running_var"):
                value.abs_().add_(0.5)


def make(config: SamConfig | Sam2Config) -> Sam | Sam2:
    network = build(config).eval()
    randomise(network)
    return network


CONFIGS = {
    "sam": tiny_sam(),
    "mobile-sam": tiny_mobile_sam(),
    "hq-sam": tiny_hq_sam(),
    "sam2": tiny_sam2(),
    "pico": tiny_pico(),
    "edge-tam": tiny_edge_tam(),
    "sam3": tiny_sam3(),
}
# Those whose parts are new, apart from what the tests of everything around a network take.
ALL = {
    **CONFIGS,
    "hq-sam2": tiny_hq_sam2(),
    "efficient-tam": tiny_efficient_tam("keys"),
    "rep-vit-sam": tiny_rep_vit_sam(),
    "sam3.1": tiny_sam31(),
}
