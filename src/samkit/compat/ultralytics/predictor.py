"""Prompts on images to masks: SAM, MobileSAM, SAM 2 and SAM 3."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.arguments import switch
from samkit.compat.arrays import array_of
from samkit.compat.ultralytics import everything
from samkit.compat.ultralytics.arrays import check_preprocessed, cpu_tensor, tensor_of
from samkit.compat.ultralytics.base import BasePredictor, EncodedImage
from samkit.compat.ultralytics.everything import GenerateOptions
from samkit.compat.ultralytics.features import Features, image_features
from samkit.compat.ultralytics.prompts import PromptArrays
from samkit.compat.ultralytics.results import Results
from samkit.compat.ultralytics.sources import single_image
from samkit.errors import InputError
from samkit.geometry import checked_size
from samkit.image_predictor import ImageEmbedding
from samkit.masks import Masks
from samkit.sizes import Sam2Config, Sam3Config

__all__ = ["Predictor", "SAM2Predictor", "SAM3Predictor"]


class Predictor(BasePredictor):
    """SAM (2304.02643) on images, also MobileSAM, and SAM 2 without its memory.

        predictor = Predictor(overrides={"model": "mobile_sam.pt"})
        results = predictor("bus.jpg", points=[900, 370], labels=[1])

    Coordinates are pixels of the image, arrays of images BGR. Arguments and attributes are those of
    `BasePredictor`.
    """

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
            source: as for `setup_source`; by default the image of `set_image`, else that source.
            bboxes: (4,) or (N, 4) xyxy.
            points: (2,), (N, 2) for N objects with one point each, or (N, P, 2).
            labels: of the points, 1 foreground, 0 background; all 1 by default.
            masks: (H, W) or (N, H, W) of any size, bool or logits. At the size of the network's
                logits (256 x 256 for SAM) they cover its input with its padding, else the image.
            multimask_output: three masks for each object instead of one.
            stream: give results one by one instead of a list.
            generate_options: without prompts, those of `generate`.

        Returns:
            Results for each image, a list or a generator.

        Raises:
            ImageError, PromptError, InputError: the message says what was expected.
        """
        prompts = self._prompts(bboxes, points, labels, masks)
        options = GenerateOptions.from_dict(generate_options)
        if prompts and generate_options:
            raise InputError(f"expected no prompts with the options {', '.join(generate_options)}")

        def predict(image: EncodedImage) -> Masks:
            if prompts:
                return self._masks(image.embedding, prompts, multimask_output)
            return self._everything(image, options)

        return self._predict_images(source, predict, stream)

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
            im: (1, 3, H, W) of `preprocess`, or a slice such as ``im[2:3]`` of (N, 3, H, W);
                prompts are in pixels of the image it was made of. A tensor of other origin counts
                as the image itself, if this predictor has not preprocessed any image before, else
                it is an error, as is a copy. `inference_features` takes the image's size for them.
            bboxes, points, labels, masks, multimask_output, generate_options: as in a call.

        Returns:
            Masks (C, h, w) and scores (C,), which `postprocess` takes. Masks are logits at low
            resolution, which can be mask prompts; in everything mode bools of the image's size.
        """
        if not self._prompts(bboxes, points, labels, masks):
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
        prompts = self._prompts(bboxes, points, labels, masks)
        found = self._masks(self._encode_input(im).embedding, prompts, multimask_output)
        if found.logits is None:
            raise InputError(f"expected fewer prompts at a time, got {len(found)} masks")
        return cpu_tensor(found.logits), cpu_tensor(found.scores)

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
            src_shape: (H, W) of the image that prompts and masks refer to; it may be a copy, of
                another size, of the image that was encoded.
            dst_shape: (H, W) of the network's input when it made the features, to be checked.
            bboxes, points, labels, masks, multimask_output: as in a call.

        Returns:
            Masks (N, H, W) bool, and boxes (N, 6) float32: xyxy, score, class.

        Raises:
            InputError: features of another form, or invalid sizes; PromptError: no prompts.
        """
        prompts = self._prompts(bboxes, points, labels, masks)
        known = image_features(self.core.network, features)
        height, width = checked_size(src_shape, "src_shape")
        if dst_shape is not None and checked_size(dst_shape, "dst_shape") != known.prompt_size:
            raise InputError(
                f"dst_shape: expected the input size of the features {known.prompt_size}, "
                f"got {dst_shape}"
            )
        embedding = self.core.embedding(known, (height, width))
        found = self._masks(embedding, prompts, multimask_output)
        result = Results(np.zeros((height, width, 3), np.uint8), "", found, found.scores)
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
        """All masks of a preprocessed image. The options are explained in `GenerateOptions`.

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
        found = self._everything(self._encode_input(im), options)
        return cpu_tensor(found.masks), cpu_tensor(found.scores), cpu_tensor(found.boxes)

    def postprocess(self, preds: Any, img: Tensor, orig_imgs: Any) -> list[Results]:
        """Results of what `inference` or `generate` returned for one image.

        Args:
            preds: masks, scores, and, if there are any, boxes. Logits are scaled to the image;
                bools have its size.
            img: the preprocessed image, (1, 3, H, W).
            orig_imgs: a list of the image (H, W, 3) BGR, or a tensor (1, 3, H, W) RGB.

        Raises:
            InputError: several images, or masks and scores of other shapes or types.
        """
        image = single_image(orig_imgs, "orig_imgs")
        found, scores = _masks_and_scores(preds)
        if found.dtype != torch.bool:
            check_preprocessed(img)
            transform = self.core.transform(image.size, (int(img.shape[2]), int(img.shape[3])))
            found = transform.masks_to_image(found) > 0
        if tuple(found.shape[1:]) != image.size:
            raise InputError(
                f"masks: expected logits, or bools of the image's size {image.size}, "
                f"got {tuple(found.shape[1:])}"
            )
        return [self._result(image, Masks(found.cpu().numpy(), scores))]

    remove_small_regions = staticmethod(everything.remove_small_regions)

    def _prompts(self, bboxes: Any, points: Any, labels: Any, masks: Any) -> PromptArrays:
        return PromptArrays.from_arguments(bboxes, points, labels, masks, defaults=self._stored)

    def _masks(
        self, embedding: ImageEmbedding, prompts: PromptArrays, multimask_output: bool
    ) -> Masks:
        several = switch("multimask_output", multimask_output)
        candidates = self.core.network.config.mask_decoder.candidates if several else 1
        each = prompts.to_prompts(embedding.transform)
        return self.core.predict(embedding, each, candidates=candidates)

    def _everything(self, image: EncodedImage, options: GenerateOptions) -> Masks:
        generator = options.generator(self.core, self.args.iou)
        self.segment_all = True
        try:
            return generator(image.source.pixels, embedding=image.embedding)
        finally:
            self.segment_all = False


class SAM2Predictor(Predictor):
    """SAM 2 (2408.00714) on images; all as for `Predictor`.

    Features are a dict of image_embed and high_res_feats.
    """

    default_model = "sam2.1_b.pt"
    kind = Sam2Config


class SAM3Predictor(SAM2Predictor):
    """SAM 3 (2511.16719) on images: each prompt is about one object; all as for `SAM2Predictor`.

    `SAM3SemanticPredictor` finds all objects of a concept.
    """

    default_model = "sam3.pt"
    kind = Sam3Config


def _masks_and_scores(preds: Any) -> tuple[Tensor, NDArray[np.float32]]:
    """(N, H, W) bool or logits, and (N,)."""
    if not isinstance(preds, (list, tuple)) or len(preds) < 2:
        count = f" of {len(preds)}" if isinstance(preds, (list, tuple)) else ""
        raise InputError(
            f"preds: expected masks, scores and perhaps boxes, got {type(preds).__name__}{count}"
        )
    masks, scores = tensor_of(preds[0], "masks"), array_of(preds[1], "scores", InputError)
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
