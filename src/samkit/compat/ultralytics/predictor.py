"""Prompts on images to masks: SAM, MobileSAM and SAM 2."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.compat.ultralytics.arrays import (
    array_of,
    check_preprocessed,
    tensor_of,
)
from samkit.compat.ultralytics.base import BasePredictor, Look
from samkit.compat.ultralytics.delivery import Callbacks
from samkit.compat.ultralytics.everything import GenerateOptions, without_small_masks
from samkit.compat.ultralytics.features import Features, image_features
from samkit.compat.ultralytics.prompts import ObjectPrompts
from samkit.compat.ultralytics.results import Results
from samkit.compat.ultralytics.settings import DEFAULT_CFG
from samkit.compat.ultralytics.sources import Shot, check_source, shots_of
from samkit.errors import InputError
from samkit.geometry import checked_size
from samkit.image_predictor import ImageEmbedding
from samkit.masks import Masks

__all__ = ["Predictor", "SAM2Predictor"]


class Predictor(BasePredictor):
    """SAM (2304.02643) on images, also MobileSAM, and SAM 2 without its memory.

        predictor = Predictor(overrides={"model": "mobile_sam.pt"})
        results = predictor("bus.jpg", points=[900, 370], labels=[1])

    Coordinates are pixels of the image, arrays of images BGR. Arguments and attributes are those of
    `BasePredictor`.
    """

    def __init__(
        self,
        cfg: Any = DEFAULT_CFG,
        overrides: Mapping[str, Any] | None = None,
        _callbacks: Callbacks | None = None,
    ) -> None:
        super().__init__(cfg, overrides, _callbacks)

    def __call__(
        self,
        source: Any = None,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        multimask_output: bool = False,
        stream: bool = False,
        **generate_options: Any,
    ) -> list[Results] | Iterator[Results]:
        """Masks of prompts; without any prompt, of everything.

        Args:
            source: as for `setup_source`; None for the image that was set, or the source.
            bboxes: (4,) or (N, 4) xyxy.
            points: (2,), (N, 2) for N objects with one point each, or (N, P, 2).
            labels: of the points, 1 foreground, 0 background; all 1 by default.
            masks: (N, H, W) of any size, bool or logits. Of the network's low resolution (256 x 256
                for SAM) they cover its input with its padding, else the image.
            multimask_output: three masks for each object instead of one.
            stream: give results one by one instead of a list.
            generate_options: without prompts, those of `generate`.

        Returns:
            Results for each image, a list or a generator.

        Raises:
            ImageError, PromptError, InputError: the message says what was expected.
        """
        said = self._said(bboxes, points, labels, masks)
        options = GenerateOptions.read(generate_options)
        if said and generate_options:
            raise InputError(f"expected no prompts with the options {', '.join(generate_options)}")
        if source is not None:
            check_source(source)
        found = self._predicted(source, said, multimask_output, options)
        results = self._deliver(found, self)
        return results if stream else list(results)

    def _predicted(
        self, source: Any, said: ObjectPrompts, multimask_output: bool, options: GenerateOptions
    ) -> Iterator[Results]:
        for look in self._looks(source):
            if said:
                masks = self._masks(look.embedding, said, multimask_output)
            else:
                masks = self._everything(look, options)
            yield self._result(look.shot, masks, masks.scores, preprocess=look.speed)

    def inference(
        self,
        im: Tensor,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        multimask_output: bool = False,
        **generate_options: Any,
    ) -> tuple[Tensor, Tensor]:
        """Masks of prompts on a preprocessed image; without any prompt, of everything.

        Args:
            im: (1, 3, H, W) of `preprocess`, or a slice such as ``im[2:3]`` of (N, 3, H, W), and
                prompts in pixels of the image it was made of. On a predictor that has not looked at
                any image, a tensor of other origin counts as the image itself; later it is an
                error, as is a copy. `inference_features` takes the image's size for them.
            bboxes, points, labels, masks, multimask_output, generate_options: as in a call.

        Returns:
            Scores (C,), and before them masks (C, h, w): logits at low resolution, which can be
            mask prompts; of everything mode bools of the image's size. `postprocess` takes both.
        """
        said = self._said(bboxes, points, labels, masks)
        if not said:
            found, scores, _ = self.generate(im, **generate_options)
            return found, scores
        return self.prompt_inference(im, bboxes, points, labels, masks, multimask_output)

    def prompt_inference(
        self,
        im: Tensor,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        multimask_output: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """As `inference`, with prompts.

        Raises:
            PromptError: there are none.
            InputError: several images, or a tensor whose image is not known.
        """
        said = self._said(bboxes, points, labels, masks)
        found = self._masks(self._look_of(im).embedding, said, multimask_output)
        if found.logits is None:
            raise InputError(f"expected fewer prompts at a time, got {len(found)} masks")
        return torch.from_numpy(np.array(found.logits)), torch.from_numpy(np.array(found.scores))

    def inference_features(
        self,
        features: Features,
        src_shape: tuple[int, int],
        dst_shape: tuple[int, int] | None = None,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        multimask_output: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Masks of prompts on features of one image that were computed before, or elsewhere.

        Args:
            features: of `get_im_features`, or another program's: SAM (1, C, h, w), SAM 2 a dict.
            src_shape: (H, W) of the image that prompts and masks are about, which may be a copy of
                another size of the image that was looked at.
            dst_shape: (H, W) of the network's input when it made the features, to be checked.
            bboxes, points, labels, masks, multimask_output: as in a call.

        Returns:
            Masks (N, H, W) bool, and boxes (N, 6) float32: xyxy, score, class.

        Raises:
            InputError: other features, or sizes that are none; PromptError: no prompts.
        """
        said = self._said(bboxes, points, labels, masks)
        known = image_features(self.core.network, features)
        height, width = checked_size(src_shape, "src_shape")
        if dst_shape is not None and checked_size(dst_shape, "dst_shape") != known.prompt_size:
            raise InputError(
                f"dst_shape: expected the input size of the features {known.prompt_size}, "
                f"got {dst_shape}"
            )
        embedding = self.core.embedding(known, (height, width))
        found = self._masks(embedding, said, multimask_output)
        blank = np.zeros((height, width, 3), np.uint8)
        result = Results(blank, "", found, found.scores)
        return result.masks.data, result.boxes.data

    def generate(
        self,
        im: Tensor,
        crop_n_layers: int = 0,
        crop_overlap_ratio: float = 512 / 1500,
        crop_downscale_factor: int = 1,
        point_grids: Any = None,
        points_stride: int = 32,
        points_batch_size: int = 64,
        conf_thres: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 0.95,
        crop_nms_thresh: float = 0.7,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All masks of a preprocessed image. Arguments are explained in `GenerateOptions`.

        Args:
            im: as for `inference`. Crops are taken from the image that it was made of.

        Returns:
            Masks (N, H, W) bool of the image's size, scores (N,) and boxes (N, 4) xyxy.
        """
        options = GenerateOptions(
            crop_n_layers=crop_n_layers,
            crop_overlap_ratio=crop_overlap_ratio,
            crop_downscale_factor=crop_downscale_factor,
            point_grids=point_grids,
            points_stride=points_stride,
            points_batch_size=points_batch_size,
            conf_thres=conf_thres,
            stability_score_thresh=stability_score_thresh,
            stability_score_offset=stability_score_offset,
            crop_nms_thresh=crop_nms_thresh,
        )
        masks = self._everything(self._look_of(im), options)
        scores, boxes = torch.from_numpy(masks.scores.copy()), torch.from_numpy(masks.boxes.copy())
        return torch.from_numpy(masks.masks.copy()), scores, boxes

    def postprocess(self, preds: Any, img: Tensor, orig_imgs: Any) -> list[Results]:
        """Results of what `inference` or `generate` gave for one image.

        Args:
            preds: masks, scores, and, if there are any, boxes. Logits are scaled to the image;
                bools are taken as they are.
            img: the preprocessed image, (1, 3, H, W).
            orig_imgs: a list of the image (H, W, 3) BGR, or a tensor (1, 3, H, W) RGB.

        Raises:
            InputError: several images, or masks and scores of other shapes or types.
        """
        (shot,) = _one_image(orig_imgs)
        found, scores = _masks_and_scores(preds)
        height, width = shot.pixels.shape[:2]
        if found.dtype != torch.bool:
            check_preprocessed(img)
            input_size = (int(img.shape[2]), int(img.shape[3]))
            transform = self.core.transform((height, width), input_size)
            found = transform.masks_to_image(found) > 0
        if tuple(found.shape[1:]) != (height, width):
            raise InputError(
                f"masks: expected logits, or bools of the image's size {(height, width)}, "
                f"got {tuple(found.shape[1:])}"
            )
        masks = Masks(found.cpu().numpy(), scores)
        return [self._result(shot, masks, scores)]

    @staticmethod
    def remove_small_regions(
        masks: Any, min_area: int = 0, nms_thresh: float = 0.7
    ) -> tuple[Tensor, Tensor]:
        """Fill holes and remove separate parts below `min_area` pixels, then near copies.

        Args:
            masks: (N, H, W).
            min_area: in pixels.
            nms_thresh: of masks whose boxes overlap more than this one is kept, rather one that
                needed no change.

        Returns:
            What is left of the masks, of their type, and their indices (M,), in order.
        """
        return without_small_masks(masks, min_area, nms_thresh)

    def _masks(
        self, embedding: ImageEmbedding, said: ObjectPrompts, multimask_output: bool
    ) -> Masks:
        several = self.core.network.config.mask_decoder.candidates
        prompts = said.prompts(embedding.transform)
        return self.core.predict(embedding, prompts, candidates=several if multimask_output else 1)

    def _everything(self, look: Look, options: GenerateOptions) -> Masks:
        generator = options.generator(self.core, self.args.iou)
        self.segment_all = True
        try:
            return generator(look.shot.pixels, embedding=look.embedding)
        finally:
            self.segment_all = False


class SAM2Predictor(Predictor):
    """SAM 2 (2408.00714) on images; all as `Predictor` does it.

    Features are a dict of image_embed and high_res_feats.
    """

    default_model = "sam2.1_b.pt"
    needs_sam2 = True


def _masks_and_scores(preds: Any) -> tuple[Tensor, NDArray[np.float32]]:
    """(N, H, W) bool or logits, and (N,)."""
    if not isinstance(preds, (list, tuple)) or len(preds) < 2:
        count = f" of {len(preds)}" if isinstance(preds, (list, tuple)) else ""
        raise InputError(
            f"preds: expected masks, scores and perhaps boxes, got {type(preds).__name__}{count}"
        )
    masks, scores = tensor_of(preds[0], "masks"), array_of(preds[1], "scores")
    if masks.ndim != 3 or not (masks.dtype == torch.bool or masks.is_floating_point()):
        raise InputError(
            "masks: expected bools or float logits (N, H, W), "
            f"got {masks.dtype} of shape {tuple(masks.shape)}"
        )
    if not bool(masks.isfinite().all()):
        raise InputError("masks: expected finite logits, got NaN or infinity")
    if scores.shape != masks.shape[:1] or scores.dtype.kind not in "iuf":
        raise InputError(
            f"scores: expected numbers of shape ({len(masks)},), one for each mask, "
            f"got {scores.dtype} of shape {scores.shape}"
        )
    return masks, scores.astype(np.float32)


def _one_image(images: Any) -> list[Shot]:
    check_source(images)
    shots = list(shots_of(images))
    if len(shots) != 1:
        raise InputError(f"orig_imgs: expected one image at a time, got {len(shots)}")
    return shots
