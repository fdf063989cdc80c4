"""Prompts of N objects in Meta's form, and what a predictor answers to them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from samkit.arguments import switch
from samkit.compat.arrays import finite_numbers
from samkit.compat.prompts import input_mask, object_prompt
from samkit.errors import InputError, PromptError
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.masks import Masks
from samkit.prompts import Prompt
from samkit.transforms import ImageTransform

__all__ = ["Answer", "ObjectArrays", "candidates", "full_size", "required"]

# Shape of what one object has; None is any length.
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "points": (None, 2),
    "labels": (None,),
    "box": (4,),
    "mask_input": (1, None, None),
}
_SHOWN = {"points": "P, 2", "labels": "P", "box": "4", "mask_input": "1, h, w"}
# Label of a point that is left out, so that objects with fewer points fit a batch.
_PADDING = -1
# Objects that are asked about at a time, and the most bytes of their masks.
_AT_ONCE, _MASK_BYTES = 64, 2**28


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectArrays:
    """Prompts of N objects in one image; what is None is not said about any of them.

    Attributes:
        count: N.
        points: (N, P, 2) float32 xy in pixels of the image.
        labels: (N, P), 1 foreground, 0 background, -1 padding: its point is left out.
        boxes: (N, 4) float32 xyxy.
        masks: (N, h, w) float32 logits in the network's frame.
    """

    count: int
    points: NDArray[np.float32] | None
    labels: NDArray[np.float32] | None
    boxes: NDArray[np.float32] | None
    masks: NDArray[np.float32] | None

    @classmethod
    def read(
        cls,
        points: Any = None,
        labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        *,
        scale: tuple[float, float] = (1.0, 1.0),
    ) -> "ObjectArrays":
        """Check arrays, tensors or lists, with or without an axis N.

        Args:
            points: (P, 2) or (N, P, 2).
            labels: (P,) or (N, P), which points need.
            box: (4,) or (N, 4).
            mask_input: (1, h, w) or (N, 1, h, w) logits.
            scale: pixels of the image for one unit of coordinates, in x and y.

        Raises:
            PromptError: nothing at all, another shape, a wrong label, or different N.
        """
        named = {"points": points, "labels": labels, "box": box, "mask_input": mask_input}
        given = {name: _of_objects(v, name) for name, v in named.items() if v is not None}
        if not given:
            raise PromptError("expected points with labels, box or mask_input, got none of them")
        if ("points" in given) != ("labels" in given):
            raise PromptError("expected points and labels together, got one of them")
        shapes = ", ".join(f"{name} {array.shape}" for name, array in given.items())
        counts = {len(array) for array in given.values()}
        if len(counts) != 1:
            raise PromptError(f"expected prompts of the same number of objects, got {shapes}")
        if "points" in given and given["labels"].shape != given["points"].shape[:2]:
            raise PromptError(f"labels: expected one for each point, got {shapes}")
        kinds = given.get("labels", np.zeros(0))
        if wrong := kinds[~np.isin(kinds, (1, 0, _PADDING))].tolist():
            raise PromptError(
                f"labels: expected 1 (foreground), 0 (background) or -1 (padding), got {wrong[0]:g}"
            )
        pixels = np.array(scale, np.float32)
        return cls(
            count=counts.pop(),
            points=given["points"] * pixels if "points" in given else None,
            labels=given.get("labels"),
            boxes=given["box"] * np.tile(pixels, 2) if "box" in given else None,
            masks=given["mask_input"][:, 0] if "mask_input" in given else None,
        )

    def prompt(self, i: int, mask: Prompt | None = None) -> Prompt:
        """The points and the box of object i, and a mask.

        Raises:
            PromptError: there is nothing of it.
        """
        points = labels = None
        if self.points is not None and self.labels is not None:
            given = self.labels[i] != _PADDING
            points, labels = self.points[i][given], self.labels[i][given]
        box = None if self.boxes is None else self.boxes[i]
        return object_prompt(points=points, labels=labels, box=box, mask=mask)

    def ask(
        self, predictor: ImagePredictor, embedding: ImageEmbedding, *, multimask_output: bool
    ) -> "Answer":
        """Masks of all objects. Masks that come with points or boxes are refined.

        Args:
            predictor: that made the embedding.
            embedding: of the image.
            multimask_output: three masks of each object instead of one.

        Raises:
            PromptError: a wrong value, or masks of another size.
        """
        K = candidates(predictor, multimask_output)
        transform = embedding.transform
        if self.masks is not None and self.masks.shape[1:] != transform.mask_size:
            h, w = transform.mask_size
            raise PromptError(
                f"mask_input: expected logits of an earlier prediction, of shape (1, {h}, {w}), "
                f"got {(1, *self.masks.shape[1:])}"
            )
        H, W = embedding.image_size
        step = max(1, min(_AT_ONCE, _MASK_BYTES // (K * H * W)))
        parts = [
            self._ask(predictor, embedding, range(start, min(start + step, self.count)), K)
            for start in range(0, self.count, step)
        ]
        return Answer.joined(parts, (self.count, K), transform)

    def _ask(
        self, predictor: ImagePredictor, embedding: ImageEmbedding, numbers: range, K: int
    ) -> Masks:
        masks = None if self.masks is None else self.masks[numbers.start : numbers.stop]
        if masks is not None and self.points is None and self.boxes is None:
            prompts = [input_mask(one, embedding.transform) for one in masks]
            return predictor.predict(embedding, prompts, candidates=K)
        prior = None if masks is None else _prior(masks, embedding.image_size)
        prompts = [self.prompt(i) for i in numbers]
        return predictor.predict(embedding, prompts, candidates=K, prior=prior)


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """K masks of each of N objects.

    Attributes:
        masks: (N, K, H, W) bool.
        scores: (N, K) float32, predicted IoU.
        logits: (N, K, h, w) float32 in the network's frame.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    logits: NDArray[np.float32]

    @classmethod
    def joined(
        cls, parts: list[Masks], shape: tuple[int, int], transform: ImageTransform
    ) -> "Answer":
        """The answer in parts, for (N, K) masks in all."""
        masks = [np.zeros((0, *transform.image_size), np.bool_), *(part.masks for part in parts)]
        logits = [np.zeros((0, *transform.mask_size), np.float32)]
        logits += [part.logits for part in parts if part.logits is not None]
        scores = [np.zeros(0, np.float32), *(part.scores for part in parts)]
        return cls(
            masks=np.concatenate(masks).reshape(*shape, *transform.image_size),
            scores=np.concatenate(scores).reshape(shape),
            logits=np.concatenate(logits).reshape(*shape, *transform.mask_size),
        )


def candidates(predictor: ImagePredictor, multimask_output: object) -> int:
    """How many masks of each object are asked for.

    Raises:
        InputError: neither True nor False.
    """
    several = switch("multimask_output", multimask_output)
    return predictor.network.config.mask_decoder.candidates if several else 1


def full_size(
    logits: NDArray[np.float32], transform: ImageTransform, device: torch.device
) -> NDArray[np.float32]:
    """Logits (..., h, w) in the network's frame -> (..., H, W) of the image, one at a time.

    Args:
        logits: of any number of masks.
        transform: of the image.
        device: on which they are scaled.
    """
    full = np.empty((*logits.shape[:-2], *transform.image_size), np.float32)
    for index in np.ndindex(logits.shape[:-2]):
        low = torch.from_numpy(logits[index][None]).to(device)
        full[index] = transform.masks_to_image(low)[0].cpu().numpy()
    return full


def required(embedding: ImageEmbedding | None) -> ImageEmbedding:
    """The embedding of the image that was set.

    Raises:
        InputError: none was.
    """
    if embedding is None:
        raise InputError("no image is set: call set_image(image) first")
    return embedding


def _of_objects(value: Any, name: str) -> NDArray[np.float32]:
    """Finite numbers with an axis N, which is added where there is none."""
    array = finite_numbers(value, name)
    wanted = _SHAPES[name]
    own = array.shape[max(0, array.ndim - len(wanted)) :]
    fits = len(own) == len(wanted) and all(w in (None, n) for w, n in zip(wanted, own, strict=True))
    if not fits or array.ndim > len(wanted) + 1:
        text = _SHOWN[name]
        comma = "," if len(wanted) == 1 else ""
        raise PromptError(
            f"{name}: expected shape ({text}{comma}) or (N, {text}), got {array.shape}"
        )
    return array if array.ndim > len(wanted) else array[None]


def _prior(logits: NDArray[np.float32], image_size: tuple[int, int]) -> Masks:
    """Masks of which only the logits count."""
    nothing = np.broadcast_to(np.False_, (len(logits), *image_size))
    return Masks(nothing, np.zeros(len(logits)), logits=logits)
