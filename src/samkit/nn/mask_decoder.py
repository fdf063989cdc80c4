"""Mask decoder of SAM (2304.02643, appendix A) and of SAM 2 (2408.00714, appendix D)."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.nn.bottleneck import Bottleneck
from samkit.nn.fast.linear import linear
from samkit.nn.fast.low_rank_views import MANY, LowRankViews, low_rank_is_faster
from samkit.nn.fast.shared_image import LastImage, SharedImage
from samkit.nn.features import ImageFeatures
from samkit.nn.hq_head import HQHead
from samkit.nn.image_views import ImageViews, image_views
from samkit.nn.layers import MLP, LayerNorm2d
from samkit.nn.prompt_encoder import PromptEmbedding
from samkit.nn.two_way_transformer import TwoWayTransformer
from samkit.sizes import MaskDecoderConfig

__all__ = ["Attended", "MaskDecoder", "MaskPrediction"]


@dataclass(frozen=True, kw_only=True)
class MaskPrediction:
    """All masks of N prompts. Index 0 along K is the single mask, the rest are the candidates.

    Attributes:
        logits: (N, K, h, w) mask logits, four times finer than the embedding.
        iou: (N, K) predicted IoU of each mask.
        tokens: (N, K, D) output token of each mask, from which object pointers are made.
        object_score: (N, 1) logit of "the object is here", or None for SAM.
        stability: (N,) of the single mask without what HQ-SAM 2 adds to it; None for all others.
    """

    logits: Tensor
    iou: Tensor
    tokens: Tensor
    object_score: Tensor | None
    stability: Tensor | None = None

    @property
    def best_candidate(self) -> Tensor:
        """(N,) index along K of the candidate with the best predicted IoU."""
        return self.iou[:, 1:].argmax(1) + 1

    def select(self, index: Tensor) -> "MaskPrediction":
        """Some of the prompts."""
        score, stability = self.object_score, self.stability
        return MaskPrediction(
            logits=self.logits[index],
            iou=self.iou[index],
            tokens=self.tokens[index],
            object_score=None if score is None else score[index],
            stability=None if stability is None else stability[index],
        )

    def take(self, index: Tensor) -> "MaskPrediction":
        """One mask per prompt (K = 1), of index (N,) along K."""
        rows = torch.arange(index.shape[0], device=index.device)
        return replace(
            self,
            logits=self.logits[rows, index][:, None],
            iou=self.iou[rows, index][:, None],
            tokens=self.tokens[rows, index][:, None],
        )


@dataclass(frozen=True, kw_only=True)
class Attended:
    """N prompts and their image after the two-way transformer: all but the masks.

    Attributes:
        tokens, iou, object_score: as in `MaskPrediction`.
        views: image tokens for each prompt.
        grid: (h, w), rows and columns of the image tokens.
        high_resolution, further: as in `ImageFeatures`, of one image or of N.
        hq_token: (N, D) output token of HQ-SAM, else None.
    """

    tokens: Tensor
    iou: Tensor
    object_score: Tensor | None
    views: ImageViews
    grid: tuple[int, int]
    high_resolution: tuple[Tensor, ...]
    further: tuple[Tensor, ...] = ()
    hq_token: Tensor | None = None

    def select(self, index: Tensor) -> "Attended":
        """Some of the prompts."""
        score, token = self.object_score, self.hq_token
        return replace(
            self,
            tokens=self.tokens[index],
            iou=self.iou[index],
            object_score=None if score is None else score[index],
            views=self.views.select(index),
            high_resolution=tuple(_of(level, index) for level in self.high_resolution),
            further=tuple(_of(level, index) for level in self.further),
            hq_token=None if token is None else token[index],
        )


class MaskDecoder(nn.Module):
    """Tokens attend to the image; each mask token then becomes a filter over upscaled features."""

    def __init__(self, config: MaskDecoderConfig, dim: int, *, early_dim: int = 0) -> None:
        super().__init__()
        self.config = config
        masks = config.candidates + 1
        self.fusion = nn.Sequential(*(Bottleneck(dim) for _ in range(config.fusion_blocks)))
        self.transformer = TwoWayTransformer(
            dim=dim, depth=config.depth, heads=config.heads, mlp_dim=config.mlp_dim
        )
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(masks, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim // 8, 3) for _ in range(masks)
        )
        self.iou_prediction_head = MLP(
            dim, config.iou_head_dim, masks, config.iou_head_depth, sigmoid=config.iou_sigmoid
        )
        if config.high_resolution:
            self.conv_s0 = nn.Conv2d(dim, dim // 8, 1)
            self.conv_s1 = nn.Conv2d(dim, dim // 4, 1)
        if config.object_score:
            self.obj_score_token = nn.Embedding(1, dim)
            self.pred_obj_score_head = MLP(dim, dim, 1, 3)
        if config.high_quality:
            self.hq = HQHead(dim, early_dim)
        self._last: LastImage[SharedImage] = LastImage()

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights, in which features are expected."""
        return self.iou_token.weight.dtype

    def rows(self, tokens: int) -> int:
        """Rows that a layer adds for a prompt of this many tokens, see `LowRankViews`."""
        return self.config.heads * (self._own_tokens().shape[1] + tokens)

    @property
    def high_resolution_heads(self) -> tuple[nn.Module, ...]:
        """1x1 convolutions of a neck's finest levels to the channels of the upscaling."""
        return (self.conv_s0, self.conv_s1) if self.config.high_resolution else ()

    def attend(
        self, features: ImageFeatures, image_positions: Tensor, prompts: PromptEmbedding
    ) -> Attended:
        """Everything but the masks of N prompts, which take about half of the time, see `masks`.

        Args:
            features: of one image, shared by all prompts, or of N images.
            image_positions: (1, D, h, w).
            prompts: N encoded prompts.
        """
        N, (h, w) = prompts.sparse.shape[0], features.embedding.shape[-2:]
        own = self._own_tokens().expand(N, -1, -1)
        tokens = torch.cat([own, prompts.sparse.to(own.dtype)], 1)
        attended = prompts.attended
        if attended is not None:
            attended = torch.cat([attended.new_ones(own.shape[:2]), attended], 1)

        views = self._views(features.embedding, image_positions, prompts, tokens)
        tokens, views = self.transformer(views, tokens, attended)
        first = 1 if self.config.object_score else 0
        return Attended(
            tokens=tokens[:, first + 1 : first + 2 + self.config.candidates],
            iou=self.iou_prediction_head(tokens[:, first]),
            object_score=self.pred_obj_score_head(tokens[:, 0]) if first else None,
            views=views,
            grid=(h, w),
            high_resolution=features.high_resolution,
            further=features.further,
            hq_token=tokens[:, own.shape[1] - 1] if self.config.high_quality else None,
        )

    def _views(
        self, embedding: Tensor, image_positions: Tensor, prompts: PromptEmbedding, tokens: Tensor
    ) -> ImageViews:
        """The image tokens before the first layer, in the fastest form."""
        heads, positions = self.config.heads, image_positions.to(embedding.dtype)

        def as_tokens(maps: Tensor) -> Tensor:
            return maps.flatten(2).transpose(1, 2)

        def image() -> Tensor:
            return as_tokens(self.fusion(embedding + prompts.dense.to(embedding.dtype)))

        # First whether fast forms are used: a traced graph leaves lengths open.
        is_low_rank = low_rank_is_faster(as_tokens(embedding), tokens, heads)
        if is_low_rank and prompts.is_plain and len(embedding) == 1:
            shared = self._last.find(
                (embedding, image_positions),
                (
                    prompts.dense,
                    *self.transformer.parameters(),
                    *self.output_upscaling.parameters(),
                ),
                lambda: SharedImage(image()[0], as_tokens(positions)[0]),
                at_once=len(tokens) >= MANY,
            )
            if shared is not None:
                return LowRankViews(shared, len(tokens))
        return image_views(image(), as_tokens(positions), tokens, heads)

    def masks(self, attended: Attended) -> MaskPrediction:
        """The masks of prompts after `attend`."""
        return self._masks(attended, self.config.candidates + 1)

    def single_masks(self, attended: Attended) -> MaskPrediction:
        """`single` of `masks`; where it is always the first of them, no other is made."""
        if self.config.dynamic_multimask and not self.training:
            return self.single(self.masks(attended))
        return self._masks(attended, 1)

    def _masks(self, attended: Attended, count: int) -> MaskPrediction:
        """The first masks of prompts."""
        mlps = list(self.output_hypernetworks_mlps)[:count]
        filters = torch.stack([mlp(attended.tokens[:, i]) for i, mlp in enumerate(mlps)], 1)
        # A transposed convolution with stride 2 and kernel size 2 makes 2 x 2 cells of a location.
        # With channels last and these cells together it is a linear layer, and memory is read in
        # order; only the logits are rearranged into rows.
        first, norm, _, second, _ = self.output_upscaling
        assert isinstance(norm, LayerNorm2d)
        weight, bias = _as_linear(second)
        finer = [
            _to_cells(level, attended.grid, doublings)
            for level, doublings in zip(attended.high_resolution, (2, 1), strict=False)
        ]
        token = attended.hq_token
        hq_filters = None if token is None else self.hq.mlp(token)
        h, w = attended.grid
        logits = [filters.new_empty(0, filters.shape[1], 4 * h, 4 * w)]
        stability: list[Tensor] = []
        for some, x in attended.views.linear(first, *_as_linear(first)):
            x = x.unflatten(2, (4, -1))  # (n, P, 4, D / 4)
            if finer:
                x += _of(finer[1], some)
            x = F.gelu(norm.channels_last(x))
            if finer:
                x = linear(x, weight, bias).unflatten(3, (4, -1)).flatten(2, 3)
                x = F.gelu(x.add_(_of(finer[0], some)))  # (n, P, 16, D / 8)
            else:
                x = linear(x, weight, bias, F.gelu).unflatten(3, (4, -1)).flatten(2, 3)
            x = x.flatten(1, 2)  # (n, P * 16, D / 8)
            masks = _from_cells(x @ filters[some].transpose(1, 2), attended.grid)
            if hq_filters is not None:
                if self.config.dynamic_multimask:
                    stability.append(self._stability(masks))
                upscaled = _from_cells(x, attended.grid)
                shared = _of(attended.further[0], some) if attended.further else None
                masks = masks + self.hq(hq_filters[some], upscaled, shared)
            logits.append(masks)
        return MaskPrediction(
            logits=torch.cat(logits),
            iou=attended.iou[:, :count],
            tokens=attended.tokens[:, :count],
            object_score=attended.object_score,
            stability=torch.cat(stability) if stability else None,
        )

    def _stability(self, logits: Tensor) -> Tensor:
        """Stability (N,) of the single masks among (N, K, h, w)."""
        return stability_score(logits[:, 0], self.config.stability_delta)

    def _own_tokens(self) -> Tensor:
        tokens = [self.iou_token.weight, self.mask_tokens.weight]
        if self.config.object_score:
            tokens.insert(0, self.obj_score_token.weight)
        if self.config.high_quality:
            tokens.append(self.hq.token.weight)
        return torch.cat(tokens)[None]

    def single(self, prediction: MaskPrediction) -> MaskPrediction:
        """One mask per prompt (K = 1).

        With `dynamic_multimask`, a single mask that is not stable is replaced by the candidate
        with the best predicted IoU, as in SAM 2. The token stays that of the single mask.
        """
        chosen = torch.zeros_like(prediction.iou[:, 0], dtype=torch.long)
        if self.config.dynamic_multimask and not self.training:
            stability = prediction.stability
            if stability is None:
                stability = self._stability(prediction.logits)
            stable = stability >= self.config.stability_threshold
            chosen = torch.where(stable, chosen, prediction.best_candidate)
        return replace(prediction.take(chosen), tokens=prediction.tokens[:, :1])

    def multiple(self, prediction: MaskPrediction) -> MaskPrediction:
        """The candidates of each prompt (K = 3): whole, part and subpart."""
        return replace(
            prediction,
            logits=prediction.logits[:, 1:],
            iou=prediction.iou[:, 1:],
            tokens=prediction.tokens[:, 1:],
        )


def _of(level: Tensor, index: slice | Tensor) -> Tensor:
    """The maps of some prompts; a map of batch size 1 is shared by all."""
    return level if level.shape[0] == 1 else level[index]


def _as_linear(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """A transposed convolution 2 x 2 with stride 2 as weight (4 * out, in) and bias (4 * out,)."""
    assert isinstance(layer, nn.ConvTranspose2d)
    assert layer.bias is not None
    return layer.weight.permute(2, 3, 1, 0).flatten(0, 2), layer.bias.repeat(4)


def _to_cells(maps: Tensor, grid: tuple[int, int], k: int) -> Tensor:
    """(B, C, h * 2^k, w * 2^k) -> (B, h * w, 4^k, C), in the cell order of k such convolutions."""
    h, w = grid
    maps = maps.unflatten(3, (w, *[2] * k)).unflatten(2, (h, *[2] * k))  # (B, C, h, 2 .., w, 2 ..)
    fine = [axis for i in range(k) for axis in (3 + i, 4 + k + i)]
    return maps.permute(0, 2, 3 + k, *fine, 1).flatten(1, 2).flatten(2, -2)


def _from_cells(cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, h * w * 16, K) -> (B, K, 4 h, 4 w)."""
    h, w = grid
    maps = cells.unflatten(1, (h, w, 2, 2, 2, 2)).permute(0, 7, 1, 3, 5, 2, 4, 6)
    return maps.flatten(5, 7).flatten(2, 4)


def stability_score(logits: Tensor, delta: float, threshold: float = 0.0) -> Tensor:
    """IoU between a mask cut at threshold + delta and at threshold - delta: (..., h, w) -> (...).

    An empty mask counts as stable (1).
    """
    inner = (logits > threshold + delta).sum((-2, -1))
    outer = (logits > threshold - delta).sum((-2, -1))
    return torch.where(outer > 0, inner.float() / outer.clamp(min=1), 1.0)
