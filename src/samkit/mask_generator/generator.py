"""All masks of an image: a grid of points, and the best of the masks that they give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samkit import rle
from samkit.errors import InputError, count_of
from samkit.image_predictor import ImageEmbedding, ImagePredictor, check_finite, prompts_at_once
from samkit.image_predictor.device import own_dtypes
from samkit.mask_generator.config import MaskGeneratorConfig
from samkit.mask_generator.crops import Crop, crops_of
from samkit.mask_generator.selection import near_inner_edge, non_maximum_suppression
from samkit.mask_generator.tiles import stream_tiles, tiles_of
from samkit.mask_generator.upscaling import FullMask, Upscaler
from samkit.masks import Masks
from samkit.masks.regions import without_small_regions
from samkit.media.windows import WindowedImage
from samkit.nn import PRIOR_LIMIT, PromptTensors, TokenLabel

__all__ = ["AutomaticMaskGenerator"]

# A mask is left out at low resolution when it is less stable than the threshold by this, and
# larger than so many cells: its stability in the image cannot be that different.
_STABILITY_MARGIN, _STABILITY_CELLS = 0.1, 64


class AutomaticMaskGenerator:
    """All masks of an image (2304.02643, appendix B; 2408.00714, appendix E).

    Every point of a grid is a prompt, if wanted in crops of the image too. Masks are kept if their
    predicted IoU is high, if they are stable, and if no better one is nearly the same. With the
    same weights and options the masks are those of Meta's generators.

        found = samkit.AutomaticMaskGenerator(predictor, points_per_side=32)(image)

    Args:
        predictor: computes the masks of the points.
        preset: "default", "recall" (nearly all proposals) or "disjoint" (no overlaps).
        options: fields of `MaskGeneratorConfig` that differ from the preset.

    Raises:
        InputError: an unknown preset or option, or a value that is out of range.
    """

    def __init__(
        self, predictor: ImagePredictor, *, preset: str = "default", **options: Any
    ) -> None:
        if not isinstance(predictor, ImagePredictor):
            raise InputError(
                "expected an ImagePredictor (samkit.load gives one), "
                f"got {type(predictor).__name__}"
            )
        self.predictor = predictor
        self.config = MaskGeneratorConfig.for_network(predictor.network, preset, **options)

    def __repr__(self) -> str:
        side, layers = self.config.points_per_side, self.config.crop_n_layers
        points = f"{side} x {side}" if side else str(len(self.config.grid(0)))
        crops = f" and {count_of(layers, 'layer')} of crops" if layers else ""
        return f"<AutomaticMaskGenerator: {points} points{crops}, {self.predictor!r}>"

    def __call__(self, image: Any, *, embedding: ImageEmbedding | None = None) -> Masks:
        """All masks of an image, held as run lengths; none found: empty `Masks`.

        Besides scores they have `stability`, `points` (their prompts) and `crop_boxes`;
        `prompt_index` numbers the points. Those of smaller crops come first, then better ones.

        Args:
            image: what `samkit.read_image` takes.
            embedding: of the whole image, if there is one already; crops are embedded anyway.

        Raises:
            ImageError: the image cannot be read or is of an unsupported kind.
            InputError: the embedding is another network's, or of an image of another size.
        """
        pixels = self.predictor.read(image)
        if embedding is not None:
            self.predictor.check_embedding(embedding)
            if embedding.image_size != _size(pixels):
                raise InputError(
                    f"embedding: expected one of this image of size {_size(pixels)} "
                    f"(height, width), got one of size {embedding.image_size}"
                )
        return _as_masks(list(self._found(pixels, embedding)), _size(pixels))

    def stream(self, image: Any) -> Iterator[Masks]:
        """The same masks one after the other, each as soon as it is certain to be kept.

        With crops that is after each crop, the smallest first; with `disjoint` or
        `min_mask_region_area`, which need all masks together, it is at the end.
        """
        pixels = self.predictor.read(image)
        for number, one in enumerate(self._found(pixels)):
            yield _as_masks([one], _size(pixels), first_id=number)

    def stream_tiles(
        self, image: Any, *, tile: int = 1024, overlap: int | None = None
    ) -> Iterator[Masks]:
        """The masks of an image that is too large to be looked at as a whole, tile by tile.

        Of a TIFF file only one tile at a time is read. Tiles without data are left out (see
        `WindowedImage.has_data`). Objects that the edges of tiles cut are joined again, by what two
        tiles both see of them. With `disjoint` all masks come with the last tile.

            found = Masks.concatenate(generator.stream_tiles("orthophoto.tif"))

        Args:
            image: what `samkit.read_image` takes, or an open `WindowedImage`.
            tile: side of the tiles in pixels, at least 2.
            overlap: pixels that neighbours share at least, from 1 to half of a tile; by default an
                eighth of it. Best is more than the smaller side of most objects.

        Yields:
            One `Masks` for each tile of `tiles_of`, of the whole image: those that are complete
            since then, perhaps none. `object_ids` count all; the other fields are those of an
            object's largest piece, scores are their mean.

        Raises:
            ImageError, InputError: the image cannot be read, or a number is out of its range.
        """
        whole = image if isinstance(image, WindowedImage) else WindowedImage(image)
        tiles = tiles_of(whole.image_size, tile, overlap)
        return stream_tiles(self, whole, tiles, disjoint=self.config.disjoint)

    def _found(
        self, pixels: npt.NDArray[Any], embedding: ImageEmbedding | None = None
    ) -> Iterator[_Proposal]:
        kept = self._kept(pixels, embedding)
        if self.config.min_mask_region_area > 0:
            kept = iter(self._cleaned(list(kept), _size(pixels)))
        if self.config.disjoint:
            kept = self._disjoint(sorted(kept, key=lambda p: -p.score), _size(pixels))
        return kept

    def _kept(
        self, pixels: npt.NDArray[Any], embedding: ImageEmbedding | None
    ) -> Iterator[_Proposal]:
        """The masks of all crops without duplicates.

        Masks of smaller crops have precedence, so these crops come first, and a later one never
        removes what an earlier one gave.
        """
        config, size = self.config, _size(pixels)
        crops = crops_of(size, config.crop_n_layers, config.crop_overlap_ratio)
        starts = np.cumsum([0, *(len(config.grid(crop.layer)) for crop in crops)])
        order = sorted(range(len(crops)), key=lambda i: crops[i].area)
        taken = np.zeros((0, 4))
        for i in order:
            known = embedding if crops[i].layer == 0 else None
            proposals = self._proposals(pixels, crops[i], int(starts[i]), known)
            if not proposals:
                continue
            boxes = np.array([proposal.box for proposal in proposals], np.float64)
            scores = np.array([proposal.score for proposal in proposals])
            best = non_maximum_suppression(boxes, scores, config.box_nms_thresh)
            if len(crops) > 1:
                # Those taken before come first, in order; all the same score keeps the order.
                together = np.concatenate([taken, boxes[best]])
                kept = non_maximum_suppression(
                    together, np.zeros(len(together)), config.crop_nms_thresh
                )
                best = best[kept[kept >= len(taken)] - len(taken)]
                taken = np.concatenate([taken, boxes[best]])
            yield from (proposals[j] for j in best)

    def _proposals(
        self,
        pixels: npt.NDArray[Any],
        crop: Crop,
        first_point: int,
        embedding: ImageEmbedding | None,
    ) -> list[_Proposal]:
        """The masks of one crop with a high predicted IoU that are stable."""
        config, size = self.config, _size(pixels)
        x0, y0, x1, y1 = crop.box
        grid = config.grid(crop.layer)
        if not len(grid):
            return []
        if embedding is None:
            embedding = self.predictor.embed(np.ascontiguousarray(pixels[y0:y1, x0:x1]))
        upscale = Upscaler(
            embedding.transform,
            crop.box,
            size,
            threshold=config.mask_threshold,
            offset=config.stability_score_offset,
        )
        points = (grid * [x1 - x0, y1 - y0]).astype(np.float32)
        found = []
        # A point and its padding; to be refined, masks are prompts too.
        tokens = None if config.use_m2m else 2
        step = prompts_at_once(embedding.features, self.predictor.network, tokens=tokens)
        step = min(step, config.points_per_batch)
        for start in range(0, len(points), step):
            logits, scores, owners = self._candidates(embedding, points[start : start + step])
            for low, score, owner in zip(
                *self._stable(upscale, logits, scores, owners), strict=True
            ):
                mask = upscale(low)
                if config.stability_score_thresh > 0 and not (
                    mask.stability >= config.stability_score_thresh
                ):
                    continue
                if near_inner_edge(np.array([mask.box]), crop.box, size)[0]:
                    continue
                number = start + owner
                found.append(
                    _Proposal(
                        mask=mask,
                        score=score,
                        point=(float(points[number, 0]) + x0, float(points[number, 1]) + y0),
                        point_index=first_point + number,
                        crop=crop.box,
                    )
                )
        return found

    def _candidates(
        self, embedding: ImageEmbedding, points: npt.NDArray[np.float32]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Masks of points (P, 2) of the crop with a high predicted IoU.

        Returns:
            Logits (N, h, w), predicted IoU (N,), and the point (N,) of each.
        """
        config, network = self.config, self.predictor.network
        decoder = network.mask_decoder
        features = embedding.to(self.predictor.device).features
        prompts = self._prompts(embedding, points)
        with torch.inference_mode(), own_dtypes(network):
            attended = network.attend(features, prompts)
            check_finite(attended.iou)
            owners = torch.arange(len(points), device=attended.iou.device)
            if not config.use_m2m:
                # The scores are known before any mask is made.
                sure = (attended.iou > config.pred_iou_thresh).any(1)
                if config.pred_iou_thresh > 0 and not bool(sure.all()):
                    attended, owners = attended.select(sure), owners[sure]
            if config.multimask_output:
                prediction = decoder.multiple(decoder.masks(attended))
            else:
                prediction = decoder.single_masks(attended)
            owners = owners.repeat_interleave(prediction.iou.shape[1])
            logits, scores = prediction.logits.flatten(0, 1), prediction.iou.flatten()
            if config.use_m2m:
                logits, scores = self._refined(embedding, points, owners, logits)
            if config.pred_iou_thresh > 0:
                sure = scores > config.pred_iou_thresh
                logits, scores, owners = logits[sure], scores[sure], owners[sure]
        return logits, scores, owners

    def _refined(
        self,
        embedding: ImageEmbedding,
        points: npt.NDArray[np.float32],
        owners: Tensor,
        logits: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Each mask once more through the network, with its point: single masks and scores."""
        network = self.predictor.network
        features = embedding.to(self.predictor.device).features
        logits = logits.clamp(-PRIOR_LIMIT, PRIOR_LIMIT)
        parts = []
        for start in range(0, len(owners), len(points)):
            some, low = (x[start : start + len(points)] for x in (owners, logits))
            prompts = self._prompts(embedding, points[some.cpu().numpy()], low[:, None])
            parts.append(network.mask_decoder.single_masks(network.attend(features, prompts)))
        refined = torch.cat([part.logits[:, 0] for part in parts])
        return refined, torch.cat([part.iou[:, 0] for part in parts])

    def _prompts(
        self,
        embedding: ImageEmbedding,
        points: npt.NDArray[np.float32],
        masks: Tensor | None = None,
    ) -> PromptTensors:
        """One click each."""
        xy = torch.from_numpy(embedding.transform.points_to_input(points))[:, None]
        labels = torch.full((len(points), 1), TokenLabel.FOREGROUND, device="cpu")
        # All networks pad clicks.
        prompts = PromptTensors.padded(xy, labels, pad_boxes=True)
        return replace(prompts.to(self.predictor.device), masks=masks)

    def _stable(
        self, upscale: Upscaler, logits: Tensor, scores: Tensor, owners: Tensor
    ) -> tuple[Tensor, list[float], list[int]]:
        """Without masks that are far from stable already at low resolution."""
        threshold = self.config.stability_score_thresh
        if threshold > 0 and len(logits) and upscale.enlarges:
            stable = upscale.low_resolution_stability(logits) >= threshold - _STABILITY_MARGIN
            small = upscale.cells(logits) < _STABILITY_CELLS
            keep = stable | small
            logits, scores, owners = logits[keep], scores[keep], owners[keep]
        return logits, scores.tolist(), owners.tolist()

    def _cleaned(self, kept: list[_Proposal], size: tuple[int, int]) -> list[_Proposal]:
        """Without small holes and parts; then without masks that have become nearly the same.

        Masks that needed no change are preferred.
        """
        cleaned, unchanged = [], []
        for proposal in kept:
            mask, changed = without_small_regions(
                rle.decode_one(proposal.mask.counts, size), self.config.min_mask_region_area
            )
            cleaned.append(proposal.with_mask(mask) if changed else proposal)
            unchanged.append(float(not changed))
        if not cleaned:
            return []
        boxes = np.array([proposal.box for proposal in cleaned], np.float64)
        threshold = max(self.config.box_nms_thresh, self.config.crop_nms_thresh)
        keep = non_maximum_suppression(boxes, np.array(unchanged), threshold)
        return [cleaned[i] for i in sorted(keep)]

    def _disjoint(self, best_first: list[_Proposal], size: tuple[int, int]) -> Iterator[_Proposal]:
        """Each pixel only in the first mask that has it; the others lose it."""
        taken = np.zeros(size, bool)
        for proposal in best_first:
            whole = rle.decode_one(proposal.mask.counts, size)
            left = whole & ~taken
            if self.config.min_mask_region_area > 0 and left.any():
                left, _ = without_small_regions(left, self.config.min_mask_region_area)
                left &= ~taken
            if np.count_nonzero(left) < max(1, self.config.min_mask_region_area):
                continue
            taken |= left
            yield proposal if (left == whole).all() else proposal.with_mask(left)


@dataclass(frozen=True, kw_only=True)
class _Proposal:
    """A mask that may be kept."""

    mask: FullMask
    score: float
    point: tuple[float, float]
    point_index: int
    crop: tuple[int, int, int, int]

    @property
    def box(self) -> tuple[int, int, int, int]:
        return self.mask.box

    def with_mask(self, pixels: npt.NDArray[np.bool_]) -> _Proposal:
        """The same with other pixels; its stability stays what it was."""
        ys, xs = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        box = (int(xs[0]), int(ys[0]), int(xs[-1]), int(ys[-1])) if len(xs) else (0, 0, 0, 0)
        return replace(self, mask=replace(self.mask, counts=rle.encode([pixels])[0], box=box))


def _size(pixels: npt.NDArray[Any]) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


def _as_masks(found: list[_Proposal], size: tuple[int, int], first_id: int = 0) -> Masks:
    # An empty mask has no stability; there are some only where the threshold is 0.
    stability = [0.0 if np.isnan(p.mask.stability) else p.mask.stability for p in found]
    return Masks._from_counts(
        [p.mask.counts for p in found],
        size,
        [p.score for p in found],
        object_ids=np.arange(first_id, first_id + len(found)),
        prompt_index=np.array([p.point_index for p in found], np.int64),
        stability=stability,
        points=np.array([p.point for p in found]).reshape(-1, 2),
        crop_boxes=np.array([p.crop for p in found]).reshape(-1, 4),
    )
