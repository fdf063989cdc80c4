"""Boxes around examples as tokens of a prompt (SAM 3, 2511.16719)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.fast.linear import Linear
from samkit.nn.fusion_layer import FusionLayer
from samkit.nn.position_encoding import sine_of_places
from samkit.sizes import DetectorConfig

__all__ = ["ExemplarEncoder"]


class ExemplarEncoder(nn.Module):
    """A token for each box, and one for all of them, which also stands for no box."""

    def __init__(self, config: DetectorConfig, dim: int) -> None:
        super().__init__()
        self.pool_size = config.pool_size
        self.label_embed = nn.Embedding(2, dim)
        self.cls_embed = nn.Embedding(1, dim)
        self.boxes_direct_project = Linear(4, dim)
        self.boxes_pool_project = nn.Conv2d(dim, dim, config.pool_size)
        self.boxes_pos_enc_project = Linear(dim + 2, dim)
        self.img_pre_norm = nn.LayerNorm(dim)
        self.final_proj = Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(
            FusionLayer(dim, config.heads, config.mlp_dim) for _ in range(config.exemplar_layers)
        )
        self.encode_norm = nn.LayerNorm(dim)

    def forward(self, image: Tensor, positions: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """Boxes in images -> tokens (B, N + 1, D).

        Args:
            image: (B, D, h, w).
            positions: (1, D, h, w) encoding of its places.
            boxes: (B, N, 4) centre x, centre y, width and height, from 0 to 1.
            labels: (B, N) int64, 1 for an example, 0 for what is not meant.
        """
        tokens = torch.cat([self._boxes(image, boxes, labels), self._whole(len(boxes))], 1)
        tokens = self.norm(self.final_proj(tokens))
        places = image.flatten(2).transpose(1, 2)
        keys = places + positions.flatten(2).transpose(1, 2)
        for layer in self.layers:
            tokens = layer(tokens, places, other_keys=keys)
        return self.encode_norm(tokens)

    def _whole(self, count: int) -> Tensor:
        return self.cls_embed.weight[None].expand(count, -1, -1)

    def _boxes(self, image: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        normed = self.img_pre_norm(image.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        pooled = [
            pooled_box(one, box, self.pool_size)
            for one, own in zip(normed, boxes, strict=True)
            for box in own.tolist()
        ]
        x, y, width, height = boxes.unbind(-1)
        dim = image.shape[1] // 2
        where = [
            sine_of_places(y, dim),
            sine_of_places(x, dim),
            height[..., None],
            width[..., None],
        ]
        tokens = self.boxes_direct_project(boxes) + self.label_embed(labels)
        tokens = tokens + self.boxes_pos_enc_project(torch.cat(where, -1))
        if not pooled:
            return tokens
        return tokens + self.boxes_pool_project(torch.stack(pooled)).view(tokens.shape)


def pooled_box(image: Tensor, box: list[float], size: int) -> Tensor:
    """The part of a map (D, h, w) in a box, at size x size places: RoIAlign (1703.06870).

    As torchvision's, with as many samples to a place as it has cells, and without its half pixel.
    """
    height, width = image.shape[-2:]
    x, y, box_width, box_height = box
    rows = _samples((y - box_height / 2) * height, box_height * height, height, size)
    columns = _samples((x - box_width / 2) * width, box_width * width, width, size)
    return torch.einsum("rh,chw,sw->crs", rows.to(image), image, columns.to(image))


def _samples(start: float, length: float, cells: int, count: int) -> Tensor:
    """How much of each of the cells is in each of so many places along a side (count, cells)."""
    length = max(length, 1.0)
    each = math.ceil(length / count)
    at = start + (torch.arange(count * each, dtype=torch.float32) + 0.5) * length / (count * each)
    inside = ((at >= -1) & (at <= cells)).float()[:, None]
    at = at.clamp(0, cells - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=cells - 1)
    share = (at - low)[:, None]
    weights = F.one_hot(low, cells) * (1 - share) + F.one_hot(high, cells) * share
    return (weights * inside).view(count, each, cells).mean(1)
