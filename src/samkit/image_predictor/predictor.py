"""Prompts on images to masks."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.errors import ImageError, InputError
from samkit.geometry import checked_size
from samkit.image_predictor.arguments import checked_candidates, several
from samkit.image_predictor.batching import decoder_batches
from samkit.image_predictor.concepts import ConceptFinder, checked_finder, finder_of
from samkit.image_predictor.device import (
    dtype_of,
    find_device,
    is_placed,
    own_dtypes,
    place_network,
)
from samkit.image_predictor.embedding import ImageEmbedding, check_features
from samkit.image_predictor.freed_memory import give_back_freed_memory
from samkit.image_predictor.masks import masks_of
from samkit.image_predictor.priors import prior_logits
from samkit.image_predictor.prompt_tokens import prompt_tensors
from samkit.image_predictor.windows import prompts_in_window, read_window
from samkit.masks import Masks
from samkit.masks.checks import number
from samkit.media import read_image
from samkit.nn import ImageFeatures, MaskPrediction, Network, Sam2
from samkit.nn.detector import Detector
from samkit.prompts import Concept, Prompt, as_concepts, as_prompts
from samkit.transforms import ImageTransform
from samkit.weights.tensor_file import fingerprint

__all__ = ["ImagePredictor"]

# Beyond this many bytes low-resolution logits are not kept.
_LOGITS_BYTES = 2**28
# What an embedding depends on: networks that differ only elsewhere can share embeddings.
_EMBEDDING_PARTS = ("image_encoder.", "mask_decoder.conv_s")


class ImagePredictor:
    """Prompts on images to masks. It holds a network and no image.

    Args:
        network: set to evaluation; copied if it has another device or dtype.
        device: "auto" (CUDA, else Apple's GPU, else the CPU) or a torch device or its name.
        dtype: of the image encoder, and in video of the memory attention, which take nearly all
            of the time: "auto" (bfloat16 where the hardware multiplies it fast, else float32),
            "float32", "bfloat16", "float16" or a torch dtype. Prompts and masks are always
            computed in float32, and so is all of `pico`: its small encoder would gain little, and
            half precision shows in its masks. Autocast and torch's defaults for dtype and device
            change none of it.
        detector: loads the detector of a network of SAM 3 when `find` is called first; None: it
            has none.

    Raises:
        InputError: the device or dtype is unknown or not available, or a detector is given for a
            network that is not of SAM 3.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        detector: Callable[[], Detector] | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise InputError(
                f"expected a network (samkit.nn.Network), got {type(network).__name__}; "
                "by name or file: samkit.load(...)"
            )
        self.device = find_device(device)
        self.dtype = dtype_of(network, dtype, self.device)
        self._network_id = fingerprint(network, parts=_EMBEDDING_PARTS)
        if not is_placed(network, self.device, self.dtype):
            network = copy.deepcopy(network)
            place_network(network, self.device, self.dtype)
        self.network = network.eval()
        self._finder = finder_of(network, detector)

    def __repr__(self) -> str:
        config = self.network.config
        encoder = type(config.image_encoder).__name__.removesuffix("Config")
        height, width = config.image_size
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"ImagePredictor({type(self.network).__name__} with {encoder}, "
            f"input {height}x{width}, {dtype} on {self.device})"
        )

    def embed(self, image: Any) -> ImageEmbedding:
        """Compute the embedding of an image, for any number of prompts.

        Args:
            image: a path, bytes, PIL image, array or tensor: whatever `samkit.read_image` takes.
                A network with other than three input channels takes an array (H, W, C) of values
                0..255.

        Raises:
            ImageError: the image cannot be read or is of an unsupported kind.
        """
        return self._embed([self.read(image)])[0]

    def embed_batch(self, images: Sequence[Any]) -> list[ImageEmbedding]:
        """Compute the embeddings of several images together, which saves time on a GPU.

        Args:
            images: each as of `embed`.

        Raises:
            ImageError: as of `embed`.
            InputError: not a list of images.
        """
        return self._embed([self.read(image) for image in several("images", images)])

    def predict(
        self,
        image: Any,
        prompts: Prompt | Sequence[Prompt],
        *,
        candidates: int = 1,
        prior: Masks | None = None,
        window: Sequence[int] | None = None,
    ) -> Masks:
        """Masks of prompts on one image, or on a window of it.

        Args:
            image: an `ImageEmbedding` of this predictor, or any image, which is then embedded.
            prompts: one or many; each is about one object, and its masks do not depend on the
                others.
            candidates: 1 for the network's single mask, 3 for its three proposals, such as
                whole, part and subpart, in no fixed order.
            prior: masks of an earlier call on this image, one for each prompt, to refine. Their
                logits go to the network together with the prompts. They do not hold the earlier
                prompts: give clicks that still count again.
            window: (x0, y0, x1, y1) in whole pixels, for images that are too large to be looked at
                as a whole: only this part is looked at, and of a TIFF file only it is read. Prompts
                (points and boxes inside of the window) and masks are in pixels of the whole image;
                the masks are held as RLE, without logits, so that the rest costs nothing.

        Returns:
            `Masks` in the order of the prompts; mask i belongs to prompt `prompt_index[i]`, and
            with `candidates=3` each prompt has three in a row. Nothing is dropped. Above 256 MB
            masks are held as RLE, and low-resolution logits are not kept (`Masks.logits` is None).

        Raises:
            ImageError, PromptError, InputError: the message says what was expected.
        """
        # The prompts are checked before the image is embedded, which takes long.
        prompts = as_prompts(prompts)
        width = checked_candidates(candidates, self.network.config.mask_decoder.candidates)
        if window is not None:
            if prior is not None or isinstance(image, ImageEmbedding):
                raise InputError(
                    "window: it goes with neither prior= nor an embedding; embed the window "
                    "itself, embed(read_image(image, window=window)), with prompts in its pixels"
                )
            is_rgb = len(self.network.config.mean) == 3
            pixels, inside, size = read_window(image if is_rgb else self.read(image), window)
            inner = prompts_in_window(prompts, inside)
            return self.predict(pixels, inner, candidates=candidates).placed(inside[:2], size)
        embedding = image if isinstance(image, ImageEmbedding) else self.embed(image)
        self.check_embedding(embedding)
        priors = None if prior is None else prior_logits(prior, prompts, embedding.transform)
        total, (h, w) = len(prompts) * width, embedding.transform.mask_size
        keep_logits = total * h * w * 4 <= _LOGITS_BYTES
        parts = [
            masks_of(prediction, embedding.transform, start, total=total, keep_logits=keep_logits)
            for start, prediction in self._decode(embedding, prompts, priors, candidates)
        ]
        return Masks.concatenate(parts) if parts else Masks.empty(embedding.image_size)

    def predict_batch(
        self,
        images: Sequence[Any],
        prompts: Sequence[Prompt | Sequence[Prompt]],
        *,
        candidates: int = 1,
    ) -> list[Masks]:
        """Masks of prompts on several images, which may differ in size.

        Args:
            images: images or embeddings.
            prompts: for each image its prompt or prompts.
            candidates: as in `predict`.

        Returns:
            One `Masks` for each image, in order.

        Raises:
            InputError: there are not as many lists of prompts as images; else as in `predict`.
        """
        images, prompts = several("images", images), several("prompts", prompts)
        if len(images) != len(prompts):
            raise InputError(
                "expected one list of prompts for each image, "
                f"got {len(images)} images and {len(prompts)} lists"
            )
        checked = [as_prompts(value) for value in prompts]
        checked_candidates(candidates, self.network.config.mask_decoder.candidates)
        # A GPU is faster with several images at a time, a CPU is not.
        step = 1 if self.device.type == "cpu" else 8
        results = []
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            pairs = zip(self._embed_mixed(images[part]), checked[part], strict=True)
            results += [self.predict(*pair, candidates=candidates) for pair in pairs]
        return results

    @property
    def finder(self) -> ConceptFinder:
        """What finds concepts on embeddings. InputError: the network has no detector."""
        return checked_finder(self._finder)

    @property
    def can_find(self) -> bool:
        """Whether the network has a detector of concepts, as SAM 3 has."""
        return self._finder is not None

    def load_detector(self) -> Detector:
        """The detector, which `find` loads at its first call; errors are those of `find`."""
        return self.finder.detector(self.device)

    def find(
        self,
        image: Any,
        concepts: str | Concept | Sequence[str | Concept],
        *,
        threshold: float = 0.5,
    ) -> Masks:
        """Masks of all objects of concepts on one image. SAM 3 alone can do this.

        The detector is loaded at the first call. What it makes of an image is kept for the next
        call with the same embedding, and what it makes of words for all images, so that further
        concepts are far cheaper than the first: embed an image that is asked about more than once.

        Args:
            image: an `ImageEmbedding` of this predictor, or any image, which is then embedded.
            concepts: words, or `Concept` with words or examples or both; one or many. What is found
                of one does not depend on the others.
            threshold: from 0 to 1; objects are kept that are more probable than this.

        Returns:
            `Masks`, perhaps none, concept by concept in their order, of each the most probable
            first. Of mask i `prompt_index[i]` is the number of its concept and `names[i]` its
            words; `scores[i]` is how probable the object is, `presence[i]` how probable it is that
            there is any of this concept, and `boxes[i]` the box that the network gives, inside of
            the image. Above 256 MB masks are held as RLE, and low-resolution logits are not kept.

        Raises:
            InputError: the network has no detector, or the threshold is no such number.
            PromptError: these are no concepts.
            ImageError: the image cannot be read.
            CheckpointError, DownloadError: the detector cannot be loaded.
        """
        asked = as_concepts(concepts)
        least = number("threshold", threshold, most=1)
        finder = self.finder
        embedding = image if isinstance(image, ImageEmbedding) else self.embed(image)
        self.check_embedding(embedding)
        with own_dtypes(self.network):
            return finder.find(embedding, asked, least, self.device)

    # Images

    def read(self, image: Any) -> NDArray[np.generic]:
        """The pixels (H, W, C) of whatever `embed` takes.

        Raises:
            ImageError: the image cannot be read or is of an unsupported kind.
        """
        channels = len(self.network.config.mean)
        if channels == 3:
            return read_image(image)
        try:
            array = np.asarray(image)
        except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, other tensors
            raise ImageError(f"this network takes arrays (H, W, {channels}): {error}") from error
        if array.ndim != 3 or array.shape[2] != channels or 0 in array.shape:
            raise ImageError(
                f"this network takes arrays (H, W, {channels}), got shape {array.shape}"
            )
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise ImageError(f"expected finite numbers from 0 to 255, got {array.dtype}")
        return array

    def transform(
        self, image_size: tuple[int, int], input_size: tuple[int, int] | None = None
    ) -> ImageTransform:
        """How an image (H, W) lies in the network's input; see `ImageTransform.for_network`."""
        image_size = checked_size(image_size, "image_size")
        return ImageTransform.for_network(self.network.config, image_size, input_size)

    def check_embedding(self, embedding: ImageEmbedding) -> None:
        """Raise InputError if another network made an embedding, or it is damaged."""
        if not isinstance(embedding, ImageEmbedding):
            raise InputError(f"expected an ImageEmbedding, got {type(embedding).__name__}")
        if not isinstance(embedding.transform, ImageTransform):
            got = type(embedding.transform).__name__
            raise InputError(f"this embedding is damaged: expected an ImageTransform, got {got}")
        if not isinstance(embedding.network_id, str) or embedding.network_id != self._network_id:
            raise InputError(
                "this embedding was made by another network; embed the image with this predictor"
            )
        transform = embedding.transform
        if transform != self.transform(transform.image_size, transform.input_size):
            raise InputError("this embedding is damaged: its image does not lie in the input so")
        check_features(embedding.features, self.network.config)
        kinds = {tensor.dtype for tensor in embedding.features.tensors} - {torch.float32}
        if kinds:
            raise InputError(f"this embedding is damaged: expected float32, got {kinds.pop()}")
        if embedding.features.prompt_size != transform.prompt_size:
            raise InputError(
                f"this embedding is damaged: expected features of {transform.prompt_size} pixels, "
                f"got {embedding.features.prompt_size}"
            )

    def embedding(self, features: ImageFeatures, image_size: tuple[int, int]) -> ImageEmbedding:
        """An embedding of features that were computed elsewhere by the same network.

        Args:
            features: of one image, as the network's `encode_image` gives them.
            image_size: (H, W) that prompts and masks refer to; it may differ from the size of the
                image that the features were computed from.

        Raises:
            InputError: features of several images, or of another network.
        """
        check_features(features, self.network.config)
        if not all(bool(tensor.isfinite().all()) for tensor in features.tensors):
            raise InputError("features: expected finite numbers, got NaN or infinity")
        image_size = checked_size(image_size, "image_size")
        height, width = features.prompt_size
        scale = self.network.config.image_encoder.prompt_scale
        return ImageEmbedding(
            features=features.map(lambda tensor: tensor.to(self.device, torch.float32)),
            transform=self.transform(image_size, (height // scale, width // scale)),
            network_id=self._network_id,
        )

    def _embed(self, images: Sequence[NDArray[np.generic]]) -> list[ImageEmbedding]:
        config = self.network.config
        transforms = [self.transform((image.shape[0], image.shape[1])) for image in images]
        pixels = [
            transform.pixels(image, config.mean, config.std)
            for transform, image in zip(transforms, images, strict=True)
        ]
        with torch.inference_mode(), own_dtypes(self.network, self.dtype):
            features = self._encode(torch.cat(pixels).to(self.device, self.dtype))
        return [
            ImageEmbedding(
                features=features.select(slice(i, i + 1)),
                transform=transform,
                network_id=self._network_id,
            )
            for i, transform in enumerate(transforms)
        ]

    def _encode(self, pixels: Tensor) -> ImageFeatures:
        if self._finder is not None and isinstance(self.network, Sam2):
            self._finder.forget_image()
            features = self.network.encode_with_trunk(pixels)
            give_back_freed_memory()
            return features
        return self.network.encode_image(pixels)

    def _embed_mixed(self, images: Sequence[Any]) -> list[ImageEmbedding]:
        pixels = [self.read(x) for x in images if not isinstance(x, ImageEmbedding)]
        new = iter(self._embed(pixels) if pixels else [])
        return [x if isinstance(x, ImageEmbedding) else next(new) for x in images]

    # Prompts

    def _decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompt],
        priors: Tensor | None,
        candidates: int,
    ) -> Iterator[tuple[int, MaskPrediction]]:
        """Predictions for prompts in order, a bounded number at a time, with their start."""
        decoder = self.network.mask_decoder
        features = embedding.to(self.device).features
        pad_boxes = self.network.config.prompt_encoder.pad_boxes
        for start, step in decoder_batches(prompts, priors is not None, features, self.network):
            part = prompts[start : start + step]
            prior = None if priors is None else priors[start : start + step]
            tensors = prompt_tensors(part, prior, embedding.transform, pad_boxes, self.device)
            with torch.inference_mode(), own_dtypes(self.network):
                attended = self.network.attend(features, tensors)
                if candidates == 1:
                    chosen = decoder.single_masks(attended)
                else:
                    chosen = decoder.multiple(decoder.masks(attended))
            yield start, chosen
