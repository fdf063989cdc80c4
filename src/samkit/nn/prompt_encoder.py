"""Prompt encoder of SAM (2304.02643, appendix A): clicks and boxes to tokens, masks to a map."""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.layers import LayerNorm2d
from samkit.nn.position_encoding import FourierPositions
from samkit.sizes import PromptEncoderConfig

__all__ = [
    "PRIOR_LIMIT",
    "PromptEmbedding",
    "PromptEncoder",
    "PromptTensors",
    "TokenLabel",
    "is_padded",
]

PRIOR_LIMIT = 32.0
"""Logits of an earlier mask are clamped to this when they are a prompt, as in the references."""

# Radius of a drawn click, in cells of the stride-4 map.
_CLICK_RADIUS = 2.0


class TokenLabel:
    """The kind of a token. `ABSENT` is padding of a batch, which nothing attends to."""

    ABSENT = -2
    NOT_A_POINT = -1
    BACKGROUND = 0
    FOREGROUND = 1
    BOX_TOP_LEFT = 2
    BOX_BOTTOM_RIGHT = 3


_Bool = TypeVar("_Bool", bool, Tensor)


def is_padded(has_tokens: _Bool, has_box: _Bool, pad_boxes: bool) -> _Bool:
    """Whether a prompt ends with a "not a point" token.

    In SAM, prompts with a box have none; in all networks, a mask alone has none.
    """
    return has_tokens if pad_boxes else has_tokens & (has_box ^ True)


@dataclass(frozen=True, kw_only=True)
class PromptTensors:
    """N prompts as tensors, ready for the prompt encoder.

    Attributes:
        points: (N, T, 2) float32 xy in pixels of the network's input.
        labels: (N, T) int64, values of `TokenLabel`.
        masks: (N, 1, h, w) logits, four times finer than the embedding, or None.
        has_mask: (N,) bool, which prompts have a mask; None means all or, without masks, none.
        ragged: whether labels may be `ABSENT`; attention is faster where none is.
    """

    points: Tensor
    labels: Tensor
    masks: Tensor | None = None
    has_mask: Tensor | None = None
    ragged: bool = True

    def __len__(self) -> int:
        return self.points.shape[0]

    @classmethod
    def padded(
        cls,
        points: Tensor,
        labels: Tensor,
        *,
        pad_boxes: bool,
        masks: Tensor | None = None,
        has_mask: Tensor | None = None,
    ) -> "PromptTensors":
        """Prompts that end with the "not a point" token that the weights were trained with.

        Args:
            points: (N, T, 2) points and corners of boxes, as in `points`.
            labels: (N, T), `ABSENT` where a prompt has fewer tokens than others.
            pad_boxes: as in `PromptEncoderConfig`.
            masks, has_mask: as in the attributes.
        """
        points, labels = F.pad(points, (0, 0, 0, 1)), F.pad(labels, (0, 1), value=TokenLabel.ABSENT)
        order = torch.arange(labels.shape[1], device=labels.device)
        end = torch.where(labels == TokenLabel.ABSENT, 0, order + 1).amax(1)  # (N,)
        has_box = (labels == TokenLabel.BOX_TOP_LEFT).any(1)
        end = torch.where(is_padded(end > 0, has_box, pad_boxes), end, -1)
        labels = labels.masked_fill(order == end[:, None], TokenLabel.NOT_A_POINT)
        used = int(torch.where((labels != TokenLabel.ABSENT).any(0), order + 1, 0).max())
        labels = labels[:, :used]
        return cls(
            points=points[:, :used],
            labels=labels,
            masks=masks,
            has_mask=has_mask,
            ragged=bool((labels == TokenLabel.ABSENT).any()),
        )

    @classmethod
    def nothing(cls, count: int, device: torch.device) -> "PromptTensors":
        """N empty prompts, with which SAM 2 decodes objects that are only tracked."""
        return cls(
            points=torch.zeros(count, 2, 2, dtype=torch.float32, device=device),
            labels=torch.full((count, 2), TokenLabel.NOT_A_POINT, device=device),
            ragged=False,
        )

    def to(self, device: torch.device) -> "PromptTensors":
        """The same prompts on another device."""
        tensors: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **tensors)


@dataclass(frozen=True, kw_only=True)
class PromptEmbedding:
    """Encoded prompts.

    Attributes:
        sparse: (N, T, D) tokens.
        attended: (N, T) bool, tokens that may be attended to; None means all of them.
        dense: (N or 1, D, h / 4, w / 4) map that is added to the image features.
        is_plain: whether the map is that of no mask, which is the same for all such prompts.
    """

    sparse: Tensor
    attended: Tensor | None
    dense: Tensor
    is_plain: bool = False


class PromptEncoder(nn.Module):
    """Turn prompts into tokens and a dense map of one cell for `stride` x `stride` pixels."""

    def __init__(self, config: PromptEncoderConfig, dim: int, *, stride: int = 16) -> None:
        super().__init__()
        self.stride = stride
        self.draw_prompts = config.draw_prompts
        self.pe_layer = FourierPositions(dim)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.no_mask_embed = nn.Embedding(1, dim)
        hidden = config.mask_channels
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(4 if config.draw_prompts else 1, hidden // 4, 2, stride=2),
            LayerNorm2d(hidden // 4),
            nn.GELU(),
            nn.Conv2d(hidden // 4, hidden, 2, stride=2),
            LayerNorm2d(hidden),
            nn.GELU(),
            nn.Conv2d(hidden, dim, 1),
        )

    def forward(self, prompts: PromptTensors, image_size: tuple[int, int]) -> PromptEmbedding:
        """Encode prompts for an input of `image_size` (H, W) pixels."""
        return PromptEmbedding(
            sparse=self._embed_points(prompts, image_size),
            attended=prompts.labels != TokenLabel.ABSENT if prompts.ragged else None,
            dense=self._embed_dense(prompts, image_size),
            is_plain=prompts.masks is None and not self.draw_prompts,
        )

    def positions(self, height: int, width: int) -> Tensor:
        """Position encoding of the image features -> (1, D, height, width) float32."""
        return self.pe_layer.grid(height, width)

    def _embed_points(self, prompts: PromptTensors, image_size: tuple[int, int]) -> Tensor:
        height, width = image_size
        size = prompts.points.new_tensor([width, height])
        # Pixel centres lie at half-integers.
        tokens = self.pe_layer.encode((prompts.points + 0.5) / size)  # (N, T, D)
        labels = prompts.labels[..., None]
        kinds = torch.cat(list(self.point_embeddings.parameters()))  # (4, D)
        tokens = tokens.to(kinds.dtype) + kinds[prompts.labels.clamp(min=0)]
        return torch.where(labels < 0, self.not_a_point_embed.weight, tokens)

    def _embed_dense(self, prompts: PromptTensors, image_size: tuple[int, int]) -> Tensor:
        weight = self.no_mask_embed.weight
        no_mask = weight.view(1, -1, 1, 1)
        rows, columns = (side // self.stride for side in image_size)
        masks, has_mask = prompts.masks, prompts.has_mask
        if masks is None and not self.draw_prompts:
            return no_mask.expand(1, -1, rows, columns)
        if masks is None:
            masks = weight.new_zeros(prompts.points.shape[0], 1, rows * 4, columns * 4)
            has_mask = torch.zeros(prompts.points.shape[0], dtype=torch.bool, device=weight.device)
        masks = masks.to(weight.dtype)
        given = None if has_mask is None else has_mask.view(-1, 1, 1, 1)
        if not self.draw_prompts:
            maps = self.mask_downscaling(masks)
            return maps if given is None else torch.where(given, maps, no_mask)
        if given is not None:
            masks = torch.where(given, masks, 0)
        drawn = draw_prompts(prompts, (rows * 4, columns * 4), cell=self.stride / 4)
        maps = self.mask_downscaling(torch.cat([masks, drawn.to(weight.dtype)], 1))
        return maps if given is None else maps + torch.where(given, 0, no_mask)


def draw_prompts(prompts: PromptTensors, size: tuple[int, int], *, cell: float = 4) -> Tensor:
    """Foreground clicks, background clicks and boxes as maps (N, 3, height, width) in 0..1.

    Clicks are soft discs, boxes are filled rectangles with fractional edges. A cell of the maps is
    `cell` pixels wide.
    """
    height, width = size
    device = prompts.points.device
    y = torch.arange(height, dtype=torch.float32, device=device)[None, None, :] + 0.5
    x = torch.arange(width, dtype=torch.float32, device=device)[None, None, :] + 0.5
    points = (prompts.points + 0.5) / cell
    row = torch.exp(-0.5 * ((y - points[..., 1:]) / _CLICK_RADIUS) ** 2)  # (N, T, height)
    column = torch.exp(-0.5 * ((x - points[..., :1]) / _CLICK_RADIUS) ** 2)

    def of(*labels: int) -> Tensor:
        """Which tokens are of these kinds: (N, kinds, T, 1), 0 or 1."""
        chosen = torch.stack([prompts.labels == label for label in labels], 1)
        return chosen.to(points.dtype)[..., None]

    # The sum over clicks of separable discs is one matrix product.
    rows = of(TokenLabel.FOREGROUND, TokenLabel.BACKGROUND) * row[:, None]  # (N, 2, T, height)
    clicks = (rows.transpose(2, 3) @ column[:, None]).clamp(max=1)

    corners = of(TokenLabel.BOX_TOP_LEFT, TokenLabel.BOX_BOTTOM_RIGHT) * points[:, None]
    low, high = corners.sum(2, keepdim=True).unbind(1)  # (N, 1, 2)
    inside_y = torch.minimum(y[0] + 0.5, high[..., 1]) - torch.maximum(y[0] - 0.5, low[..., 1])
    inside_x = torch.minimum(x[0] + 0.5, high[..., 0]) - torch.maximum(x[0] - 0.5, low[..., 0])
    box = inside_y.clamp(0, 1)[:, :, None] * inside_x.clamp(0, 1)[:, None, :]
    return torch.cat([clicks, box.view(-1, 1, height, width)], 1)
