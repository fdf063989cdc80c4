"""SAM 2 and 2.1 (2408.00714): the image part, and the parts that remember."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.switch import few_at_a_time
from samkit.nn.fpn_neck import FpnNeck
from samkit.nn.hiera import Hiera
from samkit.nn.layers import MLP
from samkit.nn.mask_decoder import Attended, ImageFeatures, MaskDecoder, MaskPrediction
from samkit.nn.memory import MemoryTokens, ObjectPrediction, ReachableMemory, joined_tokens
from samkit.nn.memory_attention import MemoryAttention
from samkit.nn.memory_encoder import MemoryEncoder
from samkit.nn.position_encoding import sine_positions, temporal_sine
from samkit.nn.prompt_encoder import PRIOR_LIMIT, PromptEncoder, PromptTensors
from samkit.nn.resnet import ResNet
from samkit.sizes import ResNetConfig, Sam2Config

__all__ = ["Sam2"]

# Logits of an object that is not there, and of masks that are given.
_ABSENT_LOGIT, _SURE_LOGIT = -1024.0, 10.0


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
        # In one memory layout, whatever the trunk's is: a saved embedding gives the same bits.
        stride4, stride8, stride16 = (
            level.to(dtype).contiguous() for level in self.image_encoder(pixels)
        )
        return ImageFeatures(
            embedding=stride16,
            high_resolution=self.mask_decoder.project_high_resolution(stride4, stride8),
        )

    def decode_masks(self, features: ImageFeatures, prompts: PromptTensors) -> MaskPrediction:
        """All masks of N prompts on one image, or on N images, that have no memory."""
        return self.mask_decoder.masks(self.attend(features, prompts))

    def attend(self, features: ImageFeatures, prompts: PromptTensors) -> Attended:
        """What `decode_masks` does before it makes masks: their scores are known already."""
        return self._attend(self.without_memory(features), prompts)

    def without_memory(self, features: ImageFeatures) -> ImageFeatures:
        """Features that know that there is nothing to remember, for `decode`."""
        empty = self.no_mem_embed.view(1, -1, 1, 1)
        return replace(features, embedding=features.embedding + empty)

    def decode(self, features: ImageFeatures, prompts: PromptTensors) -> MaskPrediction:
        """All masks of N prompts on features that already know what there is to remember."""
        return self.mask_decoder.masks(self._attend(features, prompts))

    def condition(
        self,
        features: ImageFeatures,
        reachable: Sequence[ReachableMemory],
        has_mask: Tensor | None = None,
    ) -> ImageFeatures:
        """Features of a frame as N objects see it that remember something, for `decode`.

        Args:
            features: of one frame, shared by all objects.
            reachable: of each object; each has at least one memory.
            has_mask: (N,) bool, objects that `decode` is given a mask prompt of; None for none.
        """
        dtype = self.memory_attention.dtype
        embedding: Tensor = self.memory_attention(
            features.embedding.to(dtype), self.memory_tokens(reachable).to(dtype)
        ).to(features.embedding.dtype)
        if self.config.memory.residual:
            if has_mask is not None:
                scale = self.config.memory.residual_with_mask
                embedding = embedding * torch.where(has_mask, scale, 1.0).view(-1, 1, 1, 1)
            embedding = self.without_memory(features).embedding + embedding
        return replace(features, embedding=embedding)

    def memory_tokens(self, reachable: Sequence[ReachableMemory]) -> MemoryTokens:
        """What N objects remember, as the memory attention takes it."""
        return joined_tokens([self._tokens(one) for one in reachable])

    def propagation_prompts(self, previous: Sequence[Tensor | None]) -> PromptTensors:
        """What is asked about N objects that are only followed.

        Args:
            previous: mask logits (h, w) of each in the frame before; None if it was not looked at.
        """
        prompts = PromptTensors.nothing(len(previous), self.no_mem_embed.device)
        given = [logits is not None and bool((logits > 0).any()) for logits in previous]
        if not self.config.memory.previous_mask or not any(given):
            return prompts
        known = next(logits for logits in previous if logits is not None)
        masks = [torch.zeros_like(known) if logits is None else logits for logits in previous]
        return replace(
            prompts,
            masks=torch.stack(masks)[:, None].clamp(-PRIOR_LIMIT, PRIOR_LIMIT),
            has_mask=torch.tensor(given, device=known.device),
        )

    def _tokens(self, one: ReachableMemory) -> tuple[Tensor, Tensor, int]:
        """Tokens (M, d), their positions (M, d), and how many of them are of pointers."""
        dim = self.config.memory.dim
        h, w = one.memories[0][1].shape[1:]
        grid = sine_positions(dim, h, w)[0].to(self.maskmem_tpos_enc).flatten(1).t()
        # The last time is that of prompted frames, the others count frames ago.
        times = self.maskmem_tpos_enc.view(-1, dim)
        tokens = [memory.flatten(1).t().to(grid) for _, memory in one.memories]
        positions = [grid + times[ago - 1] for ago, _ in one.memories]
        if one.pointers:
            # A pointer is wider than a memory token, and becomes several.
            pointers = torch.stack([pointer for _, pointer in one.pointers])
            parts = pointers.shape[1] // dim
            tokens.append(pointers.reshape(-1, dim))
            when = pointers.new_zeros(len(pointers), dim)
            if self.config.memory.pointer_time:
                ago = pointers.new_tensor([ago for ago, _ in one.pointers])
                encoded = temporal_sine(ago / max(one.span - 1, 1), pointers.shape[1])
                when = self.obj_ptr_tpos_proj(encoded)
            positions.append(when.repeat_interleave(parts, 0))
        count = len(tokens[-1]) if one.pointers else 0
        return torch.cat(tokens), torch.cat(positions), count

    def segment(
        self, features: ImageFeatures, prompts: PromptTensors, *, ambiguous: bool
    ) -> ObjectPrediction:
        """One mask of each of N objects in a frame, on features that know what to remember.

        Args:
            features: of one frame, or of N.
            prompts: N prompts; for objects that are only followed, what `propagation_prompts` gives.
            ambiguous: take the best-scored of the three candidates instead of the single mask.
        """
        return self.choose(self.decode(features, prompts), ambiguous=ambiguous)

    def choose(self, prediction: MaskPrediction, *, ambiguous: bool) -> ObjectPrediction:
        """Of each object one of its masks, which `segment` explains."""
        rows = torch.arange(len(prediction.iou), device=prediction.iou.device)
        if ambiguous:
            chosen = prediction.iou[:, 1:].argmax(1) + 1
            logits, iou = prediction.logits[rows, chosen], prediction.iou[rows, chosen]
            token = prediction.tokens[rows, chosen]
        else:
            single = self.mask_decoder.single(prediction)
            logits, iou, token = single.logits[:, 0], single.iou[:, 0], single.tokens[:, 0]
        score = prediction.object_score
        assert score is not None
        return ObjectPrediction(
            logits=torch.where(score[..., None] > 0, logits, _ABSENT_LOGIT),
            iou=iou,
            pointer=self._pointer(token, score > 0),
            object_score=score,
        )

    def from_masks(self, features: ImageFeatures, masks: Tensor) -> ObjectPrediction:
        """Take given masks as they are, as what the objects look like in a frame.

        Args:
            features: of one frame, without memory.
            masks: (N, 1, H, W) float 0 or 1, of the input size.
        """
        logits = (2 * masks - 1) * _SURE_LOGIT
        size = (masks.shape[-2] // 4, masks.shape[-1] // 4)
        prompts = replace(
            PromptTensors.nothing(len(masks), masks.device), masks=self.mask_downsample(masks)
        )
        pointed = self.decode(features, prompts)
        token = self.mask_decoder.single(pointed).tokens[:, 0]
        assert pointed.object_score is not None
        # The pointer knows both what the decoder says and whether there is a mask at all.
        here = masks.flatten(1).any(1, keepdim=True)
        pointer = self._pointer(token, pointed.object_score > 0)
        return ObjectPrediction(
            logits=F.interpolate(logits, size, mode="bilinear", antialias=True)[:, 0],
            iou=masks.new_ones(len(masks)),
            pointer=torch.where(here, pointer, self.no_obj_ptr),
            object_score=(2 * here.to(masks.dtype) - 1) * _SURE_LOGIT,
        )

    def remember(
        self, features: ImageFeatures, tracked: ObjectPrediction, *, prompted: bool
    ) -> Tensor:
        """Memories (N, d, h, w) of N objects in a frame.

        Args:
            features: of the frame, without memory.
            tracked: the objects.
            prompted: masks that a user asked for are remembered sharply, others as probabilities.
        """
        memory = self.config.memory
        logits = F.interpolate(tracked.logits[:, None], features.input_size, mode="bilinear")
        masks = (logits > 0).to(logits) if prompted else logits.sigmoid()
        frame = features.embedding.expand(len(masks), -1, -1, -1)
        scaled = masks * memory.sigmoid_scale + memory.sigmoid_bias
        groups = few_at_a_time(scaled, 1)
        maps = torch.cat([self.memory_encoder(frame[some], scaled[some]) for some in groups])
        if memory.occlusion_embedding:
            absent = (tracked.object_score <= 0).to(maps)[..., None, None]
            maps = maps + absent * self.no_obj_embed_spatial[..., None, None]
        return maps

    def _pointer(self, token: Tensor, here: Tensor) -> Tensor:
        return torch.where(here, self.obj_ptr_proj(token), self.no_obj_ptr)

    def _attend(self, features: ImageFeatures, prompts: PromptTensors) -> Attended:
        positions = self.prompt_encoder.positions(*features.embedding.shape[-2:])
        embedding = self.prompt_encoder(prompts, features.input_size)
        return self.mask_decoder.attend(features, positions, embedding)


def _embedding(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))
