"""Masks of prompts on one image at a time."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.arguments import switch
from samkit.compat.networks import predictor_of
from samkit.compat.objects import Answer, ObjectArrays, full_size, required
from samkit.compat.segment_anything.transform import InputTransform
from samkit.errors import ImageError, InputError, PromptError, shown
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.nn import Network

__all__ = ["SamPredictor"]


class SamPredictor:
    """Encodes an image once, then predicts masks of any number of prompts on it (2304.02643).

        predictor = SamPredictor(sam_model_registry["vit_b"](checkpoint="sam_vit_b_01ec64.pth"))
        predictor.set_image(image)
        masks, scores, logits = predictor.predict(np.array([[500, 375]]), np.array([1]))

    Coordinates are pixels of the image. Low-resolution logits are of the network's frame, h = w =
    256 for SAM; other networks may have other sizes.

    Args:
        sam_model: a network, on any device, which runs in float32; or an `ImagePredictor`, which
            has its own device and dtype.

    Attributes:
        core: samkit's own predictor, which does the work.
        model: its network.
        transform: scales images and coordinates for `set_torch_image` and `predict_torch`.

    Raises:
        InputError: neither of them.
    """

    def __init__(self, sam_model: Network | ImagePredictor) -> None:
        self.core = predictor_of(sam_model)
        self.model = self.core.network
        self.transform = InputTransform(self.model.config)
        self._embedding: ImageEmbedding | None = None

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return self.core.device

    @property
    def is_image_set(self) -> bool:
        """Whether there is an image to predict on."""
        return self._embedding is not None

    @property
    def original_size(self) -> tuple[int, int] | None:
        """(H, W) of the image in pixels; None without one."""
        return None if self._embedding is None else self._embedding.image_size

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(h, w) of the image when it is scaled for the network; None without one."""
        return None if self._embedding is None else self._embedding.transform.content_size

    def set_image(self, image: Any, image_format: str = "RGB") -> None:
        """Encode an image; it replaces the previous one.

        Args:
            image: an array (H, W, 3) uint8, or whatever `samkit.read_image` takes.
            image_format: "RGB" or "BGR", the order of its channels.

        Raises:
            ImageError: not an image; InputError: another format.
        """
        if image_format not in ("RGB", "BGR"):
            raise InputError(f"image_format: expected RGB or BGR, got {shown(image_format)}")
        self.reset_image()
        pixels = self.core.read(image)
        if image_format == "BGR":
            pixels = np.ascontiguousarray(pixels[..., ::-1])
        self._embedding = self.core.embed(pixels)

    def set_torch_image(self, transformed_image: Tensor, original_image_size: Any) -> None:
        """Encode an image that `transform.apply_image` has scaled.

        Args:
            transformed_image: (1, 3, h, w), values 0..255, which are rounded.
            original_image_size: (H, W) of the image before, to which prompts and masks refer.

        Raises:
            ImageError: another shape; InputError: not two sides in pixels.
        """
        expected = self.transform.of(original_image_size)
        size = expected.content_size
        if not isinstance(transformed_image, Tensor) or transformed_image.shape != (1, 3, *size):
            got = getattr(transformed_image, "shape", type(transformed_image).__name__)
            raise ImageError(
                f"transformed_image: expected a tensor of shape {(1, 3, *size)} for an image of "
                f"{expected.image_size} (height, width), got {shown(got)}"
            )
        self.reset_image()
        pixels = transformed_image[0].detach().permute(1, 2, 0).float().round().clamp(0, 255)
        scaled = self.core.embed(pixels.byte().cpu().numpy())
        self._embedding = self.core.embedding(scaled.features, expected.image_size)

    def reset_image(self) -> None:
        """Forget the image."""
        self._embedding = None

    def get_image_embedding(self) -> Tensor:
        """(1, C, h, w) float32, the output of the image encoder: (1, 256, 64, 64) for SAM.

        Raises:
            InputError: no image is set.
        """
        return required(self._embedding).features.embedding

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """Masks of one object.

        Args:
            point_coords: (P, 2) xy in pixels.
            point_labels: (P,) of 1 (foreground), 0 (background) or -1 (the point is left out).
            box: (4,) xyxy in pixels.
            mask_input: (1, h, w) logits of an earlier call, to be refined.
            multimask_output: three masks instead of one.
            return_logits: logits instead of masks.

        Returns:
            Masks (C, H, W) bool, or float32 logits, of the image's size; predicted IoUs (C,)
            float32; and low-resolution logits (C, h, w) float32, which `mask_input` takes.

        Raises:
            InputError: no image is set.
            PromptError: no prompt, prompts of several objects, or a wrong shape or value.
        """
        embedding = required(self._embedding)
        objects = ObjectArrays.read(point_coords, point_labels, box, mask_input)
        if objects.count != 1:
            raise PromptError(
                f"expected prompts of one object, got those of {objects.count}; "
                "predict_torch takes several"
            )
        answer = objects.ask(self.core, embedding, multimask_output=multimask_output)
        masks = self._masks(answer, embedding, return_logits)
        return masks[0], answer.scores[0], answer.logits[0]

    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Masks of N objects. Coordinates are in the network's frame, as `transform` gives them.

        Args:
            point_coords: (N, P, 2) xy, or None.
            point_labels: (N, P) of 1, 0 or -1, or None.
            boxes: (N, 4) xyxy.
            mask_input: (N, 1, h, w) logits.
            multimask_output, return_logits: as in `predict`.

        Returns:
            Masks (N, C, H, W), predicted IoUs (N, C) and low-resolution logits (N, C, h, w), on
            the network's device, as of `predict`.

        Raises:
            InputError, PromptError: as of `predict`.
        """
        embedding = required(self._embedding)
        x, y = (1 / self.transform.scale(embedding.image_size)).tolist()
        objects = ObjectArrays.read(point_coords, point_labels, boxes, mask_input, scale=(x, y))
        answer = objects.ask(self.core, embedding, multimask_output=multimask_output)
        masks = self._masks(answer, embedding, return_logits)
        on_device = [
            torch.from_numpy(array).to(self.device)
            for array in (masks, answer.scores, answer.logits)
        ]
        return on_device[0], on_device[1], on_device[2]

    def _masks(
        self, answer: Answer, embedding: ImageEmbedding, return_logits: object
    ) -> NDArray[Any]:
        if not switch("return_logits", return_logits):
            return answer.masks
        return full_size(answer.logits, embedding.transform, self.device)
