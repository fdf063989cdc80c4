"""Masks of prompts on one image, or on each of a batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.arguments import switch
from samkit.compat.networks import predictor_of
from samkit.compat.objects import Answer, ObjectArrays, full_size, required
from samkit.compat.sam2.loading import pretrained
from samkit.compat.sam2.specks import without_specks
from samkit.errors import InputError, shown
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.nn import PRIOR_LIMIT, Network

__all__ = ["SAM2ImagePredictor"]

Arrays = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
# How far beyond the threshold the logits of filled holes and removed specks are.
_BEYOND = 10.0


class SAM2ImagePredictor:
    """Encodes images once, then predicts masks of any number of prompts on them (2408.00714).

        predictor = SAM2ImagePredictor(build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", path))
        predictor.set_image(image)
        masks, scores, logits = predictor.predict(np.array([[500, 375]]), np.array([1]))

    Coordinates are pixels of the image. Low-resolution logits are of the network's frame, h = w =
    256 for SAM 2; other networks may have other sizes (`pico` 80 x 104).

    Args:
        sam_model: a network, on any device, which runs in float32; or an `ImagePredictor`, which
            has its own device and dtype.
        mask_threshold: a pixel belongs to a mask where its logit is above this.
        max_hole_area: holes of at most so many cells of the low-resolution mask are filled.
        max_sprinkle_area: parts of at most so many cells are removed.

    Attributes:
        core: samkit's own predictor, which does the work.
        model: its network.

    Raises:
        InputError: no model, or a value that is no finite number.
    """

    def __init__(
        self,
        sam_model: Network | ImagePredictor,
        mask_threshold: float = 0.0,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
    ) -> None:
        self.core = predictor_of(sam_model)
        self.model = self.core.network
        self.mask_threshold = _number("mask_threshold", mask_threshold)
        self.max_hole_area = _number("max_hole_area", max_hole_area)
        self.max_sprinkle_area = _number("max_sprinkle_area", max_sprinkle_area)
        self._embeddings: list[ImageEmbedding] = []
        self._is_batch = False

    @classmethod
    def from_pretrained(
        cls,
        model_id: str,
        *,
        device: str | torch.device = "auto",
        apply_postprocessing: bool = True,
        **options: float,
    ) -> "SAM2ImagePredictor":
        """A predictor by the id of a repository, or anything else that `samkit.load` takes.

        Args:
            model_id: such as "facebook/sam2.1-hiera-tiny", or "pico".
            device, apply_postprocessing: as for `build_sam2`.
            options: those of the constructor.

        Raises:
            UnknownModelError, CheckpointError, DownloadError, InputError: as of `samkit.load`.
        """
        network = pretrained(
            model_id, device=device, mode="eval", apply_postprocessing=apply_postprocessing
        )
        return cls(network, **options)

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return self.core.device

    def set_image(self, image: Any) -> None:
        """Encode an image; it replaces what was set before.

        Args:
            image: an array (H, W, 3) uint8 RGB, a PIL image, or whatever `samkit.read_image` takes.

        Raises:
            ImageError: not an image.
        """
        self.reset_predictor()
        self._embeddings = [self.core.embed(image)]

    def set_image_batch(self, image_list: Sequence[Any]) -> None:
        """Encode several images, of any sizes, for `predict_batch`.

        Raises:
            InputError: not a list, or an empty one; ImageError: one is not an image.
        """
        self.reset_predictor()
        if not isinstance(image_list, (list, tuple)) or not image_list:
            raise InputError(f"image_list: expected a list of images, got {shown(image_list)}")
        self._embeddings = [self.core.embed(image) for image in image_list]
        self._is_batch = True

    def reset_predictor(self) -> None:
        """Forget the images."""
        self._embeddings, self._is_batch = [], False

    def get_image_embedding(self) -> Tensor:
        """(B, C, h, w) float32: the output of the image encoder with the embedding of "no memory".

        Raises:
            InputError: no image is set.
        """
        required(self._embeddings[0] if self._embeddings else None)
        with torch.inference_mode():
            each = [self.model.without_memory(one.features) for one in self._embeddings]
            return torch.cat([features.embedding for features in each])

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> Arrays:
        """Masks of one object, or of each of N.

        Args:
            point_coords: (P, 2) xy in pixels, or (N, P, 2).
            point_labels: (P,) or (N, P) of 1 (foreground), 0 (background) or -1 (the point is left
                out).
            box: (4,) or (N, 4) xyxy in pixels.
            mask_input: (1, h, w) or (N, 1, h, w) logits of an earlier call, to be refined.
            multimask_output: three masks of each object instead of one.
            return_logits: logits instead of masks.
            normalize_coords: coordinates are pixels; False: fractions of the image's sides, 0 to 1.

        Returns:
            Masks (C, H, W) of the image's size, float32 of 0 and 1, or logits; predicted IoUs
            (C,); and low-resolution logits (C, h, w) from -32 to 32, which `mask_input` takes. All
            float32. Where N is not 1 they have N as their first axis.

        Raises:
            InputError: no image is set, or a batch of them.
            PromptError: no prompt, or a wrong shape or value.
        """
        if self._is_batch:
            raise InputError("several images are set: call predict_batch, or set_image before")
        embedding = required(self._embeddings[0] if self._embeddings else None)
        return self._predict(
            embedding,
            (point_coords, point_labels, box, mask_input),
            multimask_output=multimask_output,
            return_logits=return_logits,
            normalize_coords=normalize_coords,
        )

    def predict_batch(
        self,
        point_coords_batch: Sequence[Any] | None = None,
        point_labels_batch: Sequence[Any] | None = None,
        box_batch: Sequence[Any] | None = None,
        mask_input_batch: Sequence[Any] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Masks on each image of `set_image_batch`.

        Args:
            point_coords_batch, point_labels_batch, box_batch, mask_input_batch: for each image what
                `predict` takes, or None.
            multimask_output, return_logits, normalize_coords: as for `predict`.

        Returns:
            For each image what `predict` returns: a list of masks, one of predicted IoUs, and one
            of low-resolution logits.

        Raises:
            InputError: no batch is set, or not as many prompts as images.
            PromptError: as of `predict`.
        """
        if not self._is_batch:
            raise InputError("no batch is set: call set_image_batch(images) first")
        count = len(self._embeddings)
        batches = {
            "point_coords_batch": point_coords_batch,
            "point_labels_batch": point_labels_batch,
            "box_batch": box_batch,
            "mask_input_batch": mask_input_batch,
        }
        columns = [_of_images(name, batch, count) for name, batch in batches.items()]
        answers = [
            self._predict(
                embedding,
                prompts,
                multimask_output=multimask_output,
                return_logits=return_logits,
                normalize_coords=normalize_coords,
            )
            for embedding, *prompts in zip(self._embeddings, *columns, strict=True)
        ]
        masks, scores, logits = (list(each) for each in zip(*answers, strict=True))
        return masks, scores, logits

    def _predict(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Any],
        *,
        multimask_output: bool,
        return_logits: bool,
        normalize_coords: bool,
    ) -> Arrays:
        height, width = embedding.image_size
        in_pixels = switch("normalize_coords", normalize_coords)
        scale = (1.0, 1.0) if in_pixels else (float(width), float(height))
        objects = ObjectArrays.read(*prompts, scale=scale)
        answer = objects.ask(self.core, embedding, multimask_output=multimask_output)
        masks = self._masks(answer, embedding, switch("return_logits", return_logits))
        logits = answer.logits.clip(-PRIOR_LIMIT, PRIOR_LIMIT)
        if objects.count == 1:
            return masks[0], answer.scores[0], logits[0]
        return masks, answer.scores, logits

    def _masks(
        self, answer: Answer, embedding: ImageEmbedding, return_logits: bool
    ) -> NDArray[np.float32]:
        cleans = self.max_hole_area > 0 or self.max_sprinkle_area > 0
        if not (return_logits or cleans or self.mask_threshold):
            return answer.masks.astype(np.float32)
        logits = answer.logits
        if cleans:
            flat = without_specks(
                logits.reshape(-1, *logits.shape[2:]),
                holes=self.max_hole_area,
                specks=self.max_sprinkle_area,
                threshold=self.mask_threshold,
                beyond=_BEYOND,
            )
            logits = flat.reshape(logits.shape)
        full = full_size(logits, embedding.transform, self.device)
        return full if return_logits else (full > self.mask_threshold).astype(np.float32)


def _of_images(name: str, batch: Any, count: int) -> Sequence[Any]:
    """The prompts of each image."""
    if batch is None:
        return [None] * count
    if not hasattr(batch, "__len__") or isinstance(batch, str) or len(batch) != count:
        got = f"{len(batch)}" if hasattr(batch, "__len__") else type(batch).__name__
        raise InputError(f"{name}: expected one for each of {count} images, got {got}")
    return list(batch)


def _number(name: str, value: Any) -> float:
    """A finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not np.isfinite(number) or isinstance(value, (bool, str)):
        raise InputError(f"{name}: expected a finite number, got {shown(value)}")
    return number
