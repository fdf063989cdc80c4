"""SAM (2304.02643) and HQ-SAM (2306.01567), with any of the image encoders."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from samkit.nn.efficient_vit import EfficientViT
from samkit.nn.features import ImageFeatures
from samkit.nn.image_encoder import ViTImageEncoder
from samkit.nn.mask_decoder import MaskDecoder
from samkit.nn.network import Network
from samkit.nn.prompt_encoder import PromptEncoder
from samkit.nn.rep_vit import RepViTSamEncoder
from samkit.nn.tiny_vit import TinyViT
from samkit.sizes import (
    EfficientViTConfig,
    ImageEncoderConfig,
    RepViTSamConfig,
    SamConfig,
    TinyViTConfig,
    ViTConfig,
)

__all__ = ["Sam"]

_ENCODERS: dict[type[ImageEncoderConfig], Callable[[Any, SamConfig], nn.Module]] = {
    ViTConfig: lambda sizes, network: ViTImageEncoder(sizes, network.dim, network.image_size),
    TinyViTConfig: lambda sizes, network: TinyViT(sizes, network.dim),
    EfficientViTConfig: lambda sizes, network: EfficientViT(sizes, network.dim),
    RepViTSamConfig: lambda sizes, network: RepViTSamEncoder(sizes, network.dim),
}


class Sam(Network):
    """Image encoder, prompt encoder and mask decoder."""

    config: SamConfig

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = _ENCODERS[type(config.image_encoder)](config.image_encoder, config)
        self.prompt_encoder = PromptEncoder(config.prompt_encoder, config.dim, stride=config.stride)
        self.mask_decoder = MaskDecoder(
            config.mask_decoder, config.dim, early_dim=config.image_encoder.early_dim
        )

    def encode_image(self, pixels: Tensor) -> ImageFeatures:
        dtype, stride = self.mask_decoder.dtype, self.config.stride
        if not self.config.mask_decoder.high_quality:
            embedding = self.image_encoder(pixels).to(dtype).contiguous()
            return ImageFeatures(embedding=embedding, stride=stride)
        assert isinstance(self.image_encoder, (ViTImageEncoder, TinyViT))
        embedding, early = (
            each.to(dtype).contiguous() for each in self.image_encoder.with_early_map(pixels)
        )
        further = (self.mask_decoder.hq.features(embedding, early),)
        return ImageFeatures(embedding=embedding, further=further, stride=stride)
