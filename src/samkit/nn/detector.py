"""The detector of SAM 3 (2511.16719): all objects of a concept, given in words or by examples."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from samkit.nn.concept_heads import ConceptMasks, ConceptScores
from samkit.nn.exemplar_encoder import ExemplarEncoder
from samkit.nn.fusion_layer import FusionLayer
from samkit.nn.position_encoding import sine_positions
from samkit.nn.query_decoder import QueryDecoder, corners
from samkit.nn.simple_fpn import SimpleFpn
from samkit.nn.text_encoder import TextEncoder
from samkit.sizes import DetectorConfig

__all__ = ["ConceptTokens", "Detections", "Detector"]


@dataclass(frozen=True, kw_only=True)
class ConceptTokens:
    """The prompts of B concepts.

    Attributes:
        tokens: (B, T, D).
        attended: (B, T) bool, False for padding.
    """

    tokens: Tensor
    attended: Tensor

    def __add__(self, other: Tensor) -> "ConceptTokens":
        """With further tokens (B, M, D) at the end."""
        more = self.attended.new_ones(other.shape[:2])
        return ConceptTokens(
            tokens=torch.cat([self.tokens, other], 1),
            attended=torch.cat([self.attended, more], 1),
        )


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Q candidates of each of B concepts.

    Attributes:
        scores: (B, Q) logits that a candidate is an object of the concept, if there are any.
        presence: (B,) logits that there are any.
        boxes: (B, Q, 4) xyxy, from 0 to 1.
        queries: (B, Q, D), of which `Detector.masks` makes masks.
        pixels: (B, D, 4 h, 4 w), for the same.
    """

    scores: Tensor
    presence: Tensor
    boxes: Tensor
    queries: Tensor
    pixels: Tensor

    @property
    def probabilities(self) -> Tensor:
        """(B, Q) that a candidate is an object of the concept."""
        return self.scores.sigmoid() * self.presence.sigmoid()[:, None]


class Detector(nn.Module):
    """Words and examples of concepts, and images -> candidates with scores, boxes and masks.

    Args:
        config: sizes.
        dim: channels of all but the text encoder.
        trunk_dim: channels of the map of the image encoder's trunk.
    """

    def __init__(self, config: DetectorConfig, dim: int, trunk_dim: int) -> None:
        super().__init__()
        self.trunk_dim = trunk_dim
        self.neck = SimpleFpn(trunk_dim, dim, config.neck_levels)
        self.text_encoder = TextEncoder(config.text, dim)
        self.geometry_encoder = ExemplarEncoder(config, dim)
        self.encoder = nn.ModuleList(
            FusionLayer(dim, config.heads, config.mlp_dim) for _ in range(config.encoder_layers)
        )
        self.decoder = QueryDecoder(config, dim)
        self.segmentation_head = ConceptMasks(config, dim)
        self.dot_prod_scoring = ConceptScores(config, dim)

    def maps(self, trunk: Tensor) -> list[Tensor]:
        """The trunk's map (B, C, h, w) -> maps for `detect`. They serve any number of concepts."""
        # With channels last, convolutions need no copies of what goes in and comes out.
        maps: list[Tensor] = self.neck(trunk.contiguous(memory_format=torch.channels_last))
        return maps

    def words(self, tokens: Tensor) -> ConceptTokens:
        """Tokens (B, T) int64 of texts, 0 after their ends. They can be kept for other images."""
        return ConceptTokens(tokens=self.text_encoder(tokens), attended=tokens != 0)

    def examples(self, maps: Sequence[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
        """Tokens (B, N + 1, D) of examples in an image, and of all of them: more words elsewhere.

        Args:
            maps, boxes, labels: as of `detect`.
        """
        image = maps[-1].expand(len(boxes), -1, -1, -1)
        positions = sine_positions(image.shape[1], *image.shape[-2:]).to(image)
        tokens: Tensor = self.geometry_encoder(image, positions, boxes, labels)
        return tokens

    def detect(
        self, maps: Sequence[Tensor], words: ConceptTokens, boxes: Tensor, labels: Tensor
    ) -> Detections:
        """Candidates of B concepts in one image, or in B images.

        Args:
            maps: of `maps`: (1 or B, D, 4 h, 4 w), (.., 2 h, 2 w), (.., h, w).
            words: of the concepts.
            boxes, labels: (B, N, 4), (B, N) examples, as `ExemplarEncoder` takes them; N may be 0.
        """
        count = len(boxes)
        finest, finer, image = (level.expand(count, -1, -1, -1) for level in maps)
        positions = sine_positions(image.shape[1], *image.shape[-2:]).to(image)
        prompt = words + self.examples(maps, boxes, labels)
        tokens, attended = prompt.tokens, prompt.attended[:, None, None]
        fused = self._fused(image, positions, tokens, attended)
        queries, found, presence = self.decoder(fused, positions, tokens, attended)
        pixels = self.segmentation_head.pixels(fused, (finest, finer), tokens, attended)
        return Detections(
            scores=self.dot_prod_scoring(queries, tokens, prompt.attended),
            presence=presence,
            boxes=corners(found),
            queries=queries,
            pixels=pixels,
        )

    def masks(self, queries: Tensor, pixels: Tensor) -> Tensor:
        """Mask logits (B, K, 4 h, 4 w) of K of the queries (B, K, D) of `Detections`."""
        return self.segmentation_head.masks(queries, pixels)

    def semantic(self, pixels: Tensor) -> Tensor:
        """Mask logits (B, 4 h, 4 w) of all objects as one."""
        return self.segmentation_head.semantic(pixels)

    def _fused(self, image: Tensor, positions: Tensor, tokens: Tensor, attended: Tensor) -> Tensor:
        """Images (B, D, h, w) that have looked at the prompt."""
        x = image.flatten(2).transpose(1, 2)
        where = positions.flatten(2).transpose(1, 2)
        for layer in self.encoder:
            x = layer(x, tokens, positions=where, others_attended=attended)
        return x.transpose(1, 2).view(image.shape)
