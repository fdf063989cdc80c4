"""SAM (2304.02643) and MobileSAM (2306.14289): image encoder, prompt encoder, mask decoder."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from samkit.nn.features import ImageFeatures
from samkit.nn.image_encoder import ViTImageEncoder
from samkit.nn.mask_decoder import MaskDecoder
from samkit.nn.network import Network
from samkit.nn.prompt_encoder import PromptEncoder
from samkit.nn.tiny_vit import TinyViT
from samkit.sizes import ImageEncoderConfig, SamConfig, TinyViTConfig, ViTConfig

__all__ = ["Sam"]

_ENCODERS: dict[type[ImageEncoderConfig], Callable[[Any, SamConfig], nn.Module]] = {
    ViTConfig: lambda sizes, network: ViTImageEncoder(sizes, network.dim, network.image_size),
    TinyViTConfig: lambda sizes, network: TinyViT(sizes, network.dim),
}


class Sam(Network):
    """The whole network."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = _ENCODERS[type(config.image_encoder)](config.image_encoder, config)
        self.prompt_encoder = PromptEncoder(config.prompt_encoder, config.dim, stride=config.stride)
        self.mask_decoder = MaskDecoder(config.mask_decoder, config.dim)

    def encode_image(self, pixels: Tensor) -> ImageFeatures:
        embedding = self.image_encoder(pixels).to(self.mask_decoder.dtype).contiguous()
        return ImageFeatures(embedding=embedding, stride=self.config.stride)
