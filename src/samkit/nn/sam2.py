"""SAM 2 and 2.1 (2408.00714): the image part and the memory; in SAM 3 they are the same.

Of SAM 3.1 it is the image part alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.efficientnet_lite import EfficientNetLite
from samkit.nn.fast.linear import Linear
from samkit.nn.fast.shared_image import LastImage
from samkit.nn.fast.switch import fast_on_cpu, few_at_a_time
from samkit.nn.features import ImageFeatures
from samkit.nn.fpn_neck import FpnNeck
from samkit.nn.hiera import Hiera
from samkit.nn.layers import MLP
from samkit.nn.mask_decoder import MaskDecoder, MaskPrediction
from samkit.nn.memory import (
    Memory,
    MemoryTokens,
    ObjectPrediction,
    ReachableMemory,
)
from samkit.nn.memory_attention import MemoryAttention
from samkit.nn.memory_encoder import MASK_STRIDE, MemoryEncoder
from samkit.nn.network import MemoryNetwork
from samkit.nn.pe_vit import PeViT
from samkit.nn.perceiver import Perceiver
from samkit.nn.plain_vit import PlainNeck, PlainViT
from samkit.nn.position_encoding import sine_positions, temporal_sine
from samkit.nn.prompt_encoder import PRIOR_LIMIT, PromptEncoder, PromptTensors
from samkit.nn.rep_vit import RepViT
from samkit.nn.simple_fpn import SimpleFpn
from samkit.sizes import (
    EfficientNetLiteConfig,
    HieraConfig,
    ImageEncoderConfig,
    MemoryConfig,
    PeViTConfig,
    PlainViTConfig,
    RepViTConfig,
    Sam2Config,
)

__all__ = ["Sam2"]

# Logits of an absent object, and of given masks.
_ABSENT_LOGIT, _GIVEN_LOGIT = -1024.0, 10.0


class Pyramid(nn.Module):
    """Trunk and feature pyramid."""

    def __init__(self, trunk: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = neck

    def forward(self, pixels: Tensor, heads: Sequence[nn.Module] = ()) -> list[Tensor]:
        """Pixels (B, C, H, W) -> maps of strides 4, 8 and 16; the first ones through their head."""
        maps: list[Tensor] = self.neck(self.trunk(pixels), heads)
        return maps


def pyramid(trunk: nn.Module, stage_dims: tuple[int, ...], config: Sam2Config) -> Pyramid:
    return Pyramid(trunk, FpnNeck(stage_dims, config.dim, config.fpn_top_down_levels))


_ENCODERS: dict[type[ImageEncoderConfig], Callable[[Any, Sam2Config], nn.Module]] = {
    EfficientNetLiteConfig: lambda sizes, network: pyramid(
        EfficientNetLite(sizes), sizes.stage_dims, network
    ),
    HieraConfig: lambda sizes, network: pyramid(Hiera(sizes), sizes.stage_dims, network),
    PeViTConfig: lambda sizes, network: Pyramid(
        PeViT(sizes), SimpleFpn(sizes.dim, network.dim, sizes.neck_levels)
    ),
    PlainViTConfig: lambda sizes, network: Pyramid(
        PlainViT(sizes), PlainNeck(sizes.dim, network.dim)
    ),
    RepViTConfig: lambda sizes, network: pyramid(
        nn.Sequential(OrderedDict(body=RepViT(sizes))), sizes.dims, network
    ),
}


class Sam2(MemoryNetwork):
    """The whole network.

    An image on its own is a frame without memory: `encode_image`, then `decode_masks`. In a
    video the embedding is conditioned on memories before `decode`.
    """

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        self.config = config
        self.has_memory = config.has_memory  # False also of a checkpoint without memory
        dim = config.dim
        self.image_encoder = _ENCODERS[type(config.image_encoder)](config.image_encoder, config)
        self.prompt_encoder = PromptEncoder(config.prompt_encoder, dim, stride=config.stride)
        self.mask_decoder = MaskDecoder(config.mask_decoder, dim)
        if config.has_memory:
            self._add_memory(config.memory, dim)
        else:
            self.no_mem_embed = _embedding(1, 1, dim)
        self._last: LastImage[ImageFeatures] = LastImage()

    def _add_memory(self, memory: MemoryConfig, dim: int) -> None:
        self.memory_attention = MemoryAttention(memory, dim)
        self.memory_encoder = MemoryEncoder(memory, dim)
        self.mask_downsample = nn.Conv2d(1, 1, 4, stride=4)
        self.obj_ptr_proj = MLP(dim, dim, dim, 3)
        self.maskmem_tpos_enc = _embedding(memory.slots, 1, 1, memory.dim)
        self.no_mem_embed = _embedding(1, 1, dim)
        self.no_mem_pos_enc = _embedding(1, 1, dim)
        self.no_obj_ptr = _embedding(1, dim)
        if memory.pointer_time:
            self.obj_ptr_tpos_proj = Linear(dim, memory.dim)
        if memory.occlusion_embedding:
            self.no_obj_embed_spatial = _embedding(1, memory.dim)
        if memory.latents:
            self.spatial_perceiver = Perceiver(memory)

    def encode_image(self, pixels: Tensor) -> ImageFeatures:
        return self._features(self.image_encoder(pixels, self.mask_decoder.high_resolution_heads))

    def encode_with_trunk(self, pixels: Tensor) -> ImageFeatures:
        """`encode_image` of SAM 3, with the trunk's map, of which its detector makes its own maps.

        That is (B, C, h, w) in `ImageFeatures.further`; the mask decoder does not read it.
        """
        trunk = self.image_encoder.get_submodule("trunk")(pixels)
        neck = self.image_encoder.get_submodule("neck")
        features = self._features(neck(trunk, self.mask_decoder.high_resolution_heads))
        return replace(features, further=(trunk.to(self.mask_decoder.dtype).contiguous(),))

    def _features(self, maps: Sequence[Tensor]) -> ImageFeatures:
        """Maps of the image encoder, finest first, as the mask decoder takes them."""
        dtype = self.mask_decoder.dtype
        *finer, embedding = maps
        high_resolution = tuple(finer) if self.config.mask_decoder.high_resolution else ()
        features = ImageFeatures(
            embedding=embedding, high_resolution=high_resolution, stride=self.config.stride
        ).map(lambda level: level.to(dtype))
        # As a saved embedding is, so that both give the same bits.
        return features.map(Tensor.contiguous)

    def without_memory(self, features: ImageFeatures) -> ImageFeatures:
        def make() -> ImageFeatures:
            empty = self.no_mem_embed.view(1, -1, 1, 1)
            return replace(features, embedding=features.embedding + empty)

        if not fast_on_cpu(features.embedding):
            return make()
        # The same for each prompt, so that what the mask decoder makes of it is found again.
        found = self._last.find(features.tensors, [self.no_mem_embed], make, at_once=True)
        assert found is not None
        return found

    def recall(self, features: ImageFeatures, reachable: Sequence[ReachableMemory]) -> Tensor:
        dtype, (height, width) = self.memory_attention.dtype, features.embedding.shape[-2:]
        conditioned: Tensor = self.memory_attention(
            features.embedding.to(dtype), self.memory_tokens(reachable, (height, width)).to(dtype)
        )
        return conditioned.to(features.embedding.dtype)

    def condition(self, features: ImageFeatures, recalled: Tensor) -> ImageFeatures:
        if self.config.memory.residual:
            recalled = self.without_memory(features).embedding + recalled
        return replace(features, embedding=recalled)

    def memory_tokens(
        self, reachable: Sequence[ReachableMemory], grid: tuple[int, int]
    ) -> MemoryTokens:
        positions = self.memory_positions(grid)
        return MemoryTokens.padded([self._tokens(one, positions) for one in reachable])

    def propagation_prompts(self, previous: Sequence[Tensor | None]) -> PromptTensors:
        prompts = PromptTensors.nothing(len(previous), self.no_mem_embed.device)
        has_mask = [logits is not None and bool((logits > 0).any()) for logits in previous]
        if not self.config.memory.previous_mask or not any(has_mask):
            return prompts
        known = next(logits for logits in previous if logits is not None)
        masks = [torch.zeros_like(known) if logits is None else logits for logits in previous]
        return replace(
            prompts,
            masks=torch.stack(masks)[:, None].clamp(-PRIOR_LIMIT, PRIOR_LIMIT),
            has_mask=torch.tensor(has_mask, device=known.device),
        )

    def memory_positions(self, grid: tuple[int, int]) -> Tensor:
        memory = self.config.memory
        if memory.latents:
            grid = (memory.grid_latents, memory.grid_latents)
        positions = sine_positions(memory.dim, *grid)[0].flatten(1).t()
        whole = positions.new_zeros(memory.latents, memory.dim)  # which are nowhere on the grid
        return torch.cat([whole, positions]).to(self.maskmem_tpos_enc)

    def _tokens(self, one: ReachableMemory, where: Tensor) -> MemoryTokens:
        """The memories of one object (N = 1), with the positions (M, d) of each."""
        dim = self.config.memory.dim
        # The last encoding is that of prompted frames, the others count frames ago.
        times = self.maskmem_tpos_enc.view(-1, dim)
        tokens, positions = [], []
        for ago, memory in one.memories:
            assert memory.tokens is not None
            tokens.append(memory.tokens.to(times))
            positions.append(where + times[ago - 1])
        # A pointer has more channels than a memory token, and is split into several.
        split = self.config.dim // dim
        if one.pointers:
            pointers = torch.stack([pointer for _, pointer in one.pointers])
            tokens.append(pointers.reshape(-1, dim))
            when = pointers.new_zeros(len(pointers), dim)
            if self.config.memory.pointer_time:
                times_ago = pointers.new_tensor([ago for ago, _ in one.pointers])
                encoded = temporal_sine(times_ago / max(one.span - 1, 1), pointers.shape[1])
                when = self.obj_ptr_tpos_proj(encoded)
            positions.append(when.repeat_interleave(split, 0))
        return MemoryTokens(
            tokens=torch.cat(tokens)[None],
            positions=torch.cat(positions)[None],
            pointer_tokens=split * len(one.pointers),
        )

    def segment(
        self, features: ImageFeatures, prompts: PromptTensors, *, ambiguous: bool
    ) -> ObjectPrediction:
        return self.choose(self.decode(features, prompts), ambiguous=ambiguous)

    def choose(self, prediction: MaskPrediction, *, ambiguous: bool) -> ObjectPrediction:
        if ambiguous:
            one = prediction.take(prediction.best_candidate)
        else:
            one = self.mask_decoder.single(prediction)
        score = one.object_score
        assert score is not None
        return ObjectPrediction(
            logits=torch.where(score[..., None] > 0, one.logits[:, 0], _ABSENT_LOGIT),
            iou=one.iou[:, 0],
            pointer=torch.where(score > 0, self.obj_ptr_proj(one.tokens[:, 0]), self.no_obj_ptr),
            object_score=score,
        )

    def from_masks(self, features: ImageFeatures, masks: Tensor) -> ObjectPrediction:
        logits = (2 * masks - 1) * _GIVEN_LOGIT
        size = (masks.shape[-2] // 4, masks.shape[-1] // 4)
        prompts = replace(
            PromptTensors.nothing(masks.shape[0], masks.device), masks=self.mask_downsample(masks)
        )
        prediction = self.choose(self.decode(features, prompts), ambiguous=False)
        # The pointer is that of an absent object if the decoder predicts so, or the mask is empty.
        present = masks.flatten(1).any(1, keepdim=True)
        return ObjectPrediction(
            logits=F.interpolate(logits, size, mode="bilinear", antialias=True)[:, 0],
            iou=masks.new_ones(masks.shape[0]),
            pointer=torch.where(present, prediction.pointer, self.no_obj_ptr),
            object_score=(2 * present.to(masks.dtype) - 1) * _GIVEN_LOGIT,
        )

    def remember(
        self, features: ImageFeatures, prediction: ObjectPrediction, *, prompted: bool
    ) -> list[Memory]:
        memory = self.config.memory
        height, width = features.embedding.shape[-2:]
        size = (height * MASK_STRIDE, width * MASK_STRIDE)
        logits = prediction.logits[:, None]
        if logits.shape[-2:] != size:
            logits = F.interpolate(logits, features.prompt_size, mode="bilinear")
            if size != features.prompt_size:  # of SAM 3, whose references resize twice too
                logits = F.interpolate(logits, size, mode="bilinear", antialias=True)
        masks = (logits > 0).to(logits) if prompted else logits.sigmoid()
        frame = features.embedding.expand(masks.shape[0], -1, -1, -1)
        scaled = masks * memory.sigmoid_scale + memory.sigmoid_bias
        groups = few_at_a_time(scaled, 1)
        maps = torch.cat([self.memory_encoder(frame[some], scaled[some]) for some in groups])
        if memory.occlusion_embedding:
            absent = (prediction.object_score <= 0).to(maps)[..., None, None]
            maps = maps + absent * self.no_obj_embed_spatial[..., None, None]
        tokens = maps.flatten(2).transpose(1, 2)
        if memory.latents:
            tokens = self.spatial_perceiver(maps)
        return [
            Memory(tokens=one, pointer=pointer)
            for one, pointer in zip(tokens, prediction.pointer, strict=True)
        ]


def _embedding(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))
