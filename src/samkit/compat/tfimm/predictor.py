"""Masks of prompts on one image at a time."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samkit.compat.arrays import array_of
from samkit.compat.tfimm.model import Prediction, SegmentAnythingModel
from samkit.compat.tfimm.prompts import read_prompts
from samkit.compat.tfimm.resizer import ImageResizer
from samkit.errors import ImageError, InputError, PromptError
from samkit.limits import check_image_size
from samkit.nn import ImageFeatures
from samkit.prompts import Prompt
from samkit.transforms import ImageTransform

__all__ = ["SAMPredictor"]

Preprocessing = Callable[[NDArray[Any]], ArrayLike]

# Axes of the prompts of one object, without a batch.
_AXES = {"points": 2, "labels": 1, "boxes": 2, "masks": 3}
# Prompts that are decoded at a time, which bounds the memory that many of them take.
_AT_ONCE = 8
# Resampling and colour conversion may leave 0..255 by this.
_TOLERANCE = 1.0


class SAMPredictor:
    """Encodes an image once, then predicts masks for any number of prompts on it.

    Images of any size are scaled into the model's `input_size` and padded. With
    ``fixed_input_size=False`` they are not scaled, only padded to multiples of the patch size.

    Args:
        model: SAM.
        preprocessing: from a scaled image (1, h, w, C), values as given, to a normalised one of the
            same shape; by default with the model's mean and deviation. Padding comes after it.

    Raises:
        InputError: not a SegmentAnythingModel, or `preprocessing` is not a function.
    """

    def __init__(
        self, model: SegmentAnythingModel, preprocessing: Preprocessing | None = None
    ) -> None:
        if not isinstance(model, SegmentAnythingModel):
            raise InputError(
                f"expected a SegmentAnythingModel, got {type(model).__name__}; from a network of "
                "samkit: SegmentAnythingModel.from_network(network)"
            )
        if preprocessing is not None and not callable(preprocessing):
            kind = type(preprocessing).__name__
            raise InputError(f"preprocessing: expected a function or None, got {kind}")
        self.model = model
        self.preprocessing = preprocessing
        self._image: tuple[ImageFeatures, ImageResizer] | None = None

    @property
    def image_set(self) -> bool:
        """Whether there is an image to predict on."""
        return self._image is not None

    @property
    def resizer(self) -> ImageResizer | None:
        """From the image to the model's input and back; None without an image."""
        return None if self._image is None else self._image[1]

    @property
    def image_embedding(self) -> NDArray[np.float32] | None:
        """(1, H'', W'', D) float32, a copy; None without an image."""
        if self._image is None:
            return None
        return self._image[0].embedding.permute(0, 2, 3, 1).float().cpu().numpy().copy()

    def input_size(self) -> tuple[int, int]:
        """(H, W) of the model's input for the image; without one, of a model of fixed size.

        Raises:
            InputError: no image is set, and the model takes any size.
        """
        if self._image is not None:
            return self._image[1].dst_size
        if self.model.cfg.fixed_input_size:
            return self.model.cfg.input_size
        raise InputError("no image is set, and the model takes any size: call set_image(image)")

    def mask_size(self) -> tuple[int, int]:
        """(H', W') of logits and of mask prompts.

        Raises:
            InputError: as of `input_size`.
        """
        return self.model.mask_size(self.input_size())

    def set_image(self, image: ArrayLike) -> None:
        """Encode an image (H0, W0, C) with values 0..255; it replaces the previous one.

        Raises:
            ImageError: another shape, or values that are no such numbers.
        """
        self.clear_image()
        array = self._read(image)
        resizer = self._resizer((array.shape[0], array.shape[1]))
        if self.preprocessing is None:
            config = self.model.network.config
            pixels = resizer.transform.pixels(array, config.mean, config.std)
            normalised = pixels.permute(0, 2, 3, 1).numpy()
        else:
            normalised = resizer.pad_image(self._preprocess(resizer.scale_image(array)[None]))
        self._image = self.model.encode(normalised), resizer

    def clear_image(self) -> None:
        """Forget the image."""
        self._image = None

    def __call__(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        boxes: ArrayLike | None = None,
        masks: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> Prediction:
        """Masks of one object, or, with a leading axis N on all prompts, of N objects.

        For an object without any prompt, the network predicts without one.

        Args:
            points: (M1, 2) xy in pixels of the image.
            labels: (M1,) of 1 (foreground), 0 (background) or -1 (padding: its point is ignored);
                without labels all points are foreground.
            boxes: (M2, 4) xyxy in pixels of the image, all around the same object. The corners are
                taken as they are given.
            masks: (M3, H', W') logits, M3 0 or 1, of an earlier call or `preprocess_masks`.
            multimask_output: several masks for each object instead of one.
            return_logits: logits at the size of the image instead of masks.

        Returns:
            Masks (K, H0, W0), scores (K,) and logits (K, H', W'), or the same with a leading N.

        Raises:
            InputError: no image is set.
            PromptError: a wrong shape or value.
        """
        features, transform = self._current_image()
        named = {"points": points, "labels": labels, "boxes": boxes, "masks": masks}
        given = {name: array_of(value, name) for name, value in named.items() if value is not None}
        count = _batch_size(given)
        if count is None:
            given = {name: array[None] for name, array in given.items()}
        prompts = read_prompts(
            **given, count=1 if count is None else count, mask_size=transform.mask_size
        )
        parts = []
        for start in range(0, max(1, len(prompts)), _AT_ONCE):  # also once for no objects
            part = slice(start, start + _AT_ONCE)
            tensors = prompts.tensors(part, transform, features.embedding.device)
            prediction = self.model.decode(features, tensors, multimask_output)
            parts.append(self.model.output(prediction, transform, return_logits))
        arrays = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Prediction(*(array[0] if count is None else array for array in arrays))

    def preprocess_masks(self, mask: ArrayLike) -> NDArray[np.float32]:
        """Masks of the image as mask prompts: (M, H0, W0) -> (M, H', W'), also with leading N.

        They are 0 in the padding.

        Args:
            mask: float logits, positive inside. Bools, or integers that are 0 and one other value,
                are taken as binary.

        Raises:
            InputError: no image is set.
            PromptError: another shape, or values that are no numbers.
        """
        _, transform = self._current_image()
        array = array_of(mask, "mask")
        if array.ndim not in (3, 4) or array.shape[-2:] != transform.image_size:
            height, width = transform.image_size
            raise PromptError(
                f"mask: expected shape (M, {height}, {width}) or (N, M, {height}, {width}), "
                f"got {array.shape}"
            )
        if array.dtype.kind == "f":
            array = array.astype(np.float32)
        result = np.empty((*array.shape[:-2], *transform.mask_size), np.float32)
        for index in np.ndindex(array.shape[:-2]):
            one = array[index]
            prompt = Prompt(mask_input=one) if one.dtype == np.float32 else Prompt.mask(one)
            assert prompt.mask_input is not None
            result[index] = transform.mask_to_input(prompt.mask_input, padding=0.0).numpy()
        return result

    def _current_image(self) -> tuple[ImageFeatures, ImageTransform]:
        if self._image is None:
            raise InputError("no image is set: call set_image(image) first")
        features, resizer = self._image
        return features, replace(resizer.transform, stride=self.model.cfg.encoder_patch_size)

    def _resizer(self, size: tuple[int, int]) -> ImageResizer:
        """For an image (H0, W0)."""
        cfg = self.model.cfg
        if cfg.fixed_input_size:
            return ImageResizer(size, cfg.input_size)
        rows, columns = self.model.grid_size(size)
        patch = cfg.encoder_patch_size
        return ImageResizer(size, (rows * patch, columns * patch), pad_only=True)

    def _read(self, image: ArrayLike) -> NDArray[Any]:
        channels = self.model.cfg.in_channels
        if isinstance(image, np.ndarray) and image.ndim == 3 and image.size:  # before it is copied
            check_image_size(image.shape[0], image.shape[1], "image")
        array = array_of(image, "image", ImageError)
        if array.ndim != 3 or array.shape[2] != channels or 0 in array.shape:
            raise ImageError(
                f"image: expected shape (H0, W0, {channels}), none of it 0, got {array.shape}"
            )
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise ImageError(f"image: expected finite numbers, got {array.dtype}")
        low, high = float(array.min()), float(array.max())
        if self.preprocessing is None and (low < -_TOLERANCE or high > 255 + _TOLERANCE):
            raise ImageError(f"image: expected values 0..255, got {low:g}..{high:g}")
        return array

    def _preprocess(self, scaled: NDArray[Any]) -> NDArray[np.float32]:
        assert self.preprocessing is not None
        given = array_of(self.preprocessing(scaled), "preprocessing", ImageError)
        if given.dtype.kind in "biuf" and given.shape == scaled.shape:
            with np.errstate(over="ignore", invalid="ignore"):
                result = given.astype(np.float32, copy=False)
            if np.isfinite(result).all():
                return result
        raise ImageError(
            f"preprocessing: expected finite values of shape {scaled.shape}, "
            f"got {given.dtype} of shape {given.shape}"
        )


def _batch_size(prompts: Mapping[str, NDArray[Any]]) -> int | None:
    """N where all prompts have a batch axis, None where none has."""
    sizes = set()
    for name, array in prompts.items():
        axes = _AXES[name]
        if array.ndim not in (axes, axes + 1):
            raise PromptError(
                f"{name}: expected {axes} axes, or {axes + 1} with a batch, got shape {array.shape}"
            )
        sizes.add(None if array.ndim == axes else len(array))
    if len(sizes) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in prompts.items())
        raise PromptError(f"expected all prompts with the same batch axis or none, got {shapes}")
    return sizes.pop() if sizes else None
