"""Queries that find the objects of a concept (SAM 3, 2511.16719; DETR, 2005.12872)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.attention import Attention
from samkit.nn.layers import MLP
from samkit.nn.position_encoding import sine_of_places
from samkit.sizes import DetectorConfig

__all__ = ["QueryDecoder", "corners"]

# Distances to the edges of a box are on a scale on which one eighth of the image is log2(2) / 3.
_RATE = 8.0
# Boxes keep so far from the edges when they are refined.
_EPSILON = 1e-3


class QueryDecoder(nn.Module):
    """Queries with boxes that each layer refines, and a token for whether there is any object."""

    def __init__(self, config: DetectorConfig, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderLayer(dim, config.heads, config.mlp_dim) for _ in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.bbox_embed = MLP(dim, dim, 4, 3)
        self.query_embed = nn.Embedding(config.queries, dim)
        self.reference_points = nn.Embedding(config.queries, 4)
        self.presence_token = nn.Embedding(1, dim)
        self.presence_token_head = MLP(dim, dim, 1, 3)
        self.presence_token_out_norm = nn.LayerNorm(dim)
        self.ref_point_head = MLP(2 * dim, dim, dim)
        self.boxRPB_embed_x = MLP(2, dim, config.heads)
        self.boxRPB_embed_y = MLP(2, dim, config.heads)

    def forward(
        self, image: Tensor, positions: Tensor, prompt: Tensor, attended: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Objects in images.

        Args:
            image: (B, D, h, w).
            positions: (1, D, h, w) encoding of its places.
            prompt: (B, T, D) tokens.
            attended: (B, 1, 1, T) bool, which of them are attended to.

        Returns:
            Queries (B, Q, D); boxes (B, Q, 4) as centre, width and height from 0 to 1; the logit
            (B,) that there is any object.
        """
        count, _, height, width = image.shape
        places = image.flatten(2).transpose(1, 2)
        keys = places + positions.flatten(2).transpose(1, 2)
        start = torch.cat([self.presence_token.weight, self.query_embed.weight])
        x = start.expand(count, -1, -1)
        boxes = self.reference_points.weight.sigmoid().expand(count, -1, -1)
        for layer in self.layers:
            where = F.pad(self._where(boxes), (0, 0, 1, 0))  # the first token has no box
            x = layer(x, where, prompt, attended, keys, places, self._bias(boxes, height, width))
            queries = self.norm(x[:, 1:])
            boxes = (inverse_sigmoid(boxes) + self.bbox_embed(queries)).sigmoid()
        presence = self.presence_token_head(self.presence_token_out_norm(x[:, 0]))
        return queries, boxes, presence[:, 0]

    def _where(self, boxes: Tensor) -> Tensor:
        """Positions of queries (B, Q, D), from their boxes."""
        x, y, width, height = boxes.unbind(-1)
        dim = self.query_embed.embedding_dim // 2
        encoded = [sine_of_places(value, dim) for value in (y, x, width, height)]
        return self.ref_point_head(torch.cat(encoded, -1))

    def _bias(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """What is added to the scores of tokens and places (B, heads, 1 + Q, h * w)."""
        x0, y0, x1, y1 = corners(boxes).unbind(-1)
        rows = self.boxRPB_embed_y(distances(y0, y1, height))  # (B, Q, h, heads)
        columns = self.boxRPB_embed_x(distances(x0, x1, width))
        # The first token looks at all places alike.
        rows, columns = (
            F.pad(side, (0, 0, 0, 0, 1, 0)).permute(0, 3, 1, 2).contiguous()
            for side in (rows, columns)
        )
        return (rows[..., None] + columns[..., None, :]).flatten(3)


class DecoderLayer(nn.Module):
    """Attention of queries to each other, to the prompt and to the image; norms come last."""

    def __init__(self, dim: int, heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.ca_text = Attention(dim, heads)
        self.catext_norm = nn.LayerNorm(dim)
        self.cross_attn = Attention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, mlp_dim, dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(
        self,
        x: Tensor,
        where: Tensor,
        prompt: Tensor,
        attended: Tensor,
        keys: Tensor,
        places: Tensor,
        bias: Tensor,
    ) -> Tensor:
        """(B, Q, D) -> the same shape; the others as in `QueryDecoder`."""
        placed = x + where
        x = self.norm2(x + self.self_attn(placed, placed, x))
        x = self.catext_norm(x + self.ca_text(x + where, prompt, prompt, attended))
        x = self.norm1(x + self.cross_attn(x + where, keys, places, bias))
        return self.norm3(x + self.mlp(x))


def corners(boxes: Tensor) -> Tensor:
    """(..., 4) centre, width and height -> xyxy."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def distances(low: Tensor, high: Tensor, cells: int) -> Tensor:
    """Logarithmic distances of cells to both edges of boxes (B, Q) -> (B, Q, cells, 2)."""
    places = torch.arange(cells, dtype=low.dtype, device=low.device) / cells
    away = _RATE * (places[:, None] - torch.stack([low, high], -1)[:, :, None])
    return away.sign() * torch.log2(away.abs() + 1) / math.log2(_RATE)


def inverse_sigmoid(x: Tensor) -> Tensor:
    """Logits of values from 0 to 1, not quite up to infinity."""
    return torch.log(x.clamp(min=_EPSILON) / (1 - x).clamp(min=_EPSILON))
