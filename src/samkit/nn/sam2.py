"""SAM 2 and 2.1 (2408.00714): the image part, and the parts that remember."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from samkit.nn.config import ResNetConfig, Sam2Config
from samkit.nn.fpn_neck import FpnNeck
from samkit.nn.hiera import Hiera
from samkit.nn.layers import MLP
from samkit.nn.mask_decoder import Attended, ImageFeatures, MaskDecoder, MaskPrediction
from samkit.nn.memory_attention import MemoryAttention
from samkit.nn.memory_encoder import MemoryEncoder
from samkit.nn.prompt_encoder import PromptEncoder, PromptTensors
from samkit.nn.resnet import ResNet

__all__ = ["Sam2"]


class Sam2ImageEncoder(nn.Module):
    """Trunk and feature pyramid: pixels (B, C, H, W) -> maps of strides 4, 8 and 16."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        encoder = config.image_encoder
        self.trunk = ResNet(encoder) if isinstance(encoder, ResNetConfig) else Hiera(encoder)
        dims = encoder.stage_dims
        self.neck = FpnNeck(dims, config.dim, config.fpn_top_down_levels)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        levels: list[Tensor] = self.neck(self.trunk(pixels))
        return levels


class Sam2(nn.Module):
    """The whole network.

    An image on its own is a frame without memory: `encode_image`, then `decode_masks`. In a
    video the embedding is first conditioned on memories, and `decode` is called on that.
    """

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        self.config = config
        # False where a checkpoint of the image part alone was loaded: the memory is untrained.
        self.has_memory = True
        dim, memory = config.dim, config.memory
        self.image_encoder = Sam2ImageEncoder(config)
        self.prompt_encoder = PromptEncoder(config.prompt_encoder, dim)
        self.mask_decoder = MaskDecoder(config.mask_decoder, dim)

        self.memory_attention = MemoryAttention(memory, dim)
        self.memory_encoder = MemoryEncoder(memory, dim)
        self.mask_downsample = nn.Conv2d(1, 1, 4, stride=4)
        self.obj_ptr_proj = MLP(dim, dim, dim, 3)
        self.maskmem_tpos_enc = _embedding(memory.slots, 1, 1, memory.dim)
        self.no_mem_embed = _embedding(1, 1, dim)
        self.no_mem_pos_enc = _embedding(1, 1, dim)
        self.no_obj_ptr = _embedding(1, dim)
        if memory.pointer_time:
            self.obj_ptr_tpos_proj = nn.Linear(dim, memory.dim)
        if memory.occlusion_embedding:
            self.no_obj_embed_spatial = _embedding(1, memory.dim)

    def encode_image(self, pixels: Tensor) -> ImageFeatures:
        """Normalised pixels (B, C, H, W), H and W multiples of 32 -> features of B images.

        The embedding holds no trace of memory yet, so that it serves images and video alike.
        Pixels are in the encoder's dtype, features in the mask decoder's, which may differ.
        """
        dtype = self.mask_decoder.dtype
        stride4, stride8, stride16 = (level.to(dtype) for level in self.image_encoder(pixels))
        return ImageFeatures(
            embedding=stride16,
            high_resolution=self.mask_decoder.project_high_resolution(stride4, stride8),
        )

    def decode_masks(self, features: ImageFeatures, prompts: PromptTensors) -> MaskPrediction:
        """All masks of N prompts on one image, or on N images, that have no memory."""
        return self.mask_decoder.masks(self.attend(features, prompts))

    def attend(self, features: ImageFeatures, prompts: PromptTensors) -> Attended:
        """What `decode_masks` does before it makes masks: their scores are known already."""
        empty = self.no_mem_embed.view(1, -1, 1, 1)
        return self._attend(replace(features, embedding=features.embedding + empty), prompts)

    def decode(self, features: ImageFeatures, prompts: PromptTensors) -> MaskPrediction:
        """All masks of N prompts on features that already know what there is to remember."""
        return self.mask_decoder.masks(self._attend(features, prompts))

    def _attend(self, features: ImageFeatures, prompts: PromptTensors) -> Attended:
        positions = self.prompt_encoder.positions(*features.embedding.shape[-2:])
        embedding = self.prompt_encoder(prompts, features.input_size)
        return self.mask_decoder.attend(features, positions, embedding)


def _embedding(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))
