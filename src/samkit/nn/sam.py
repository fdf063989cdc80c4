"""SAM (2304.02643) and MobileSAM (2306.14289): image encoder, prompt encoder, mask decoder."""

from torch import Tensor, nn

from samkit.nn.image_encoder import ViTImageEncoder
from samkit.nn.mask_decoder import Attended, ImageFeatures, MaskDecoder, MaskPrediction
from samkit.nn.prompt_encoder import PromptEncoder, PromptTensors
from samkit.nn.tiny_vit import TinyViT
from samkit.sizes import SamConfig, TinyViTConfig

__all__ = ["Sam"]


class Sam(nn.Module):
    """The whole network. Encode an image once, then decode as many prompts as wanted."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        encoder = config.image_encoder
        self.image_encoder: nn.Module = (
            TinyViT(encoder, config.dim)
            if isinstance(encoder, TinyViTConfig)
            else ViTImageEncoder(encoder, config.dim, config.image_size)
        )
        self.prompt_encoder = PromptEncoder(config.prompt_encoder, config.dim, stride=config.stride)
        self.mask_decoder = MaskDecoder(config.mask_decoder, config.dim)

    def encode_image(self, pixels: Tensor) -> ImageFeatures:
        """Normalised pixels (B, C, H, W), H and W multiples of 32 -> features of B images.

        A ViT takes multiples of its patch size. Pixels are in the encoder's dtype, features in the
        mask decoder's, which may differ.
        """
        embedding = self.image_encoder(pixels).to(self.mask_decoder.dtype)
        return ImageFeatures(embedding=embedding, stride=self.config.stride)

    def decode_masks(self, features: ImageFeatures, prompts: PromptTensors) -> MaskPrediction:
        """All masks of N prompts on one image, or on N images."""
        return self.mask_decoder.masks(self.attend(features, prompts))

    def attend(self, features: ImageFeatures, prompts: PromptTensors) -> Attended:
        """What `decode_masks` does before it makes masks: their scores are known already."""
        positions = self.prompt_encoder.positions(*features.embedding.shape[-2:])
        embedding = self.prompt_encoder(prompts, features.input_size)
        return self.mask_decoder.attend(features, positions, embedding)
