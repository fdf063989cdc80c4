"""Concepts on images: SAM 3, asked in words or by examples."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samkit.compat.arrays import array_of
from samkit.compat.ultralytics.arrays import check_preprocessed
from samkit.compat.ultralytics.base import BasePredictor, EncodedImage
from samkit.compat.ultralytics.features import Features, features_of, image_features
from samkit.compat.ultralytics.results import Results
from samkit.compat.ultralytics.sources import SourceImage
from samkit.errors import InputError, PromptError, shown
from samkit.geometry import checked_size
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.image_predictor.device import own_dtypes
from samkit.mask_generator.selection import non_maximum_suppression
from samkit.masks import Masks
from samkit.nn import ImageFeatures, Network, Sam2
from samkit.prompts import Concept

__all__ = ["AskedInWords", "SAM3SemanticPredictor", "concepts_of"]

_PROMPTS = ("text", "bboxes", "labels")
_TRUNK = "trunk"  # beside the features of SAM 2


class AskedInWords(BasePredictor):
    """What predictors of concepts have in common: their prompts, and that they need a detector."""

    def set_prompts(self, prompts: Mapping[str, Any]) -> None:
        """Set the prompts of all following calls without any, until others are set.

        Args:
            prompts: some of text, bboxes and labels; an empty dict for none.

        Raises:
            PromptError: an unknown key, a wrong shape or wrong values.
        """
        self.prompts = checked_words(prompts)

    def reset_prompts(self) -> None:
        """Forget the prompts of `set_prompts`."""
        self.prompts = {}

    def _prepare(self, core: ImagePredictor) -> None:
        if not core.can_find:
            raise InputError(
                "model: expected a name, a file or a folder of SAM 3, which hold its detector, got "
                f"{core}"
            )
        super()._prepare(core)


class SAM3SemanticPredictor(AskedInWords):
    """All objects of concepts in images, with SAM 3.

        predictor = SAM3SemanticPredictor(overrides={"model": "sam3.pt", "conf": 0.25})
        predictor.set_image("bus.jpg")
        results = predictor(text=["person", "bus"])
        results = predictor(bboxes=[[480, 290, 590, 650]], labels=[1])

    Objects more probable than the setting `conf` are kept, and of those of one class whose boxes
    overlap more than `iou` the most probable. Arguments and attributes are those of
    `BasePredictor`.
    """

    default_model = "sam3.pt"
    _names: tuple[str, ...] = ()

    def __call__(
        self,
        source: Any = None,
        text: Any = None,
        bboxes: Any = None,
        labels: Any = None,
        stream: bool = False,
    ) -> list[Results] | Iterator[Results]:
        """Masks of all objects of concepts.

        Args:
            source: as for `setup_source`; by default the image of `set_image`, else that source.
            text: words, or a list of them, each of which is a class.
            bboxes: (4,) or (N, 4) xyxy around examples, which go with each of the words; without
                words the class is "visual".
            labels: (N,) of the boxes, 1 for an example, 0 for what is not meant; all 1 by default.
            stream: give results one by one instead of a list.

        Returns:
            Results for each image, a list or a generator; `names` are the words, classes their
            numbers.

        Raises:
            ImageError, PromptError, InputError: the message says what was expected.
        """
        concepts = self._concepts(text, bboxes, labels)
        self._names = tuple(concept.name for concept in concepts)
        return self._predict_images(
            source, lambda image: self._found(image.embedding, concepts), stream
        )

    def inference_features(
        self,
        features: Features,
        src_shape: tuple[int, int],
        text: Any = None,
        bboxes: Any = None,
        labels: Any = None,
    ) -> tuple[Tensor | None, Tensor]:
        """Masks of concepts on features of one image, `features` of a predictor of this model.

        Args:
            features: also of another predictor of the same model.
            src_shape: (H, W) of the image that boxes and masks refer to.
            text, bboxes, labels: as in a call.

        Returns:
            Masks (N, H, W) bool, or None where there are none, and boxes (N, 6) float32: xyxy,
            score, class.

        Raises:
            InputError: features of another form, or an invalid size; PromptError: no prompts.
        """
        concepts = self._concepts(text, bboxes, labels)
        if not isinstance(features, Mapping) or not isinstance(features.get(_TRUNK), Tensor):
            raise InputError(
                "features: expected those of a SAM3SemanticPredictor, got "
                f"{type(features).__name__}"
            )
        known = image_features(self.core.network, features)
        known = replace(known, further=(features[_TRUNK],))
        height, width = checked_size(src_shape, "src_shape")
        found = self._found(self.core.embedding(known, (height, width)), concepts)
        result = Results(np.zeros((height, width, 3), np.uint8), "", found, found.scores)
        return (result.masks.data if len(found) else None), result.boxes.data

    def get_im_features(self, im: Tensor) -> Features:
        """Features of preprocessed images (N, 3, H, W): of SAM 2, with ``trunk`` (N, C, h, w)."""
        return _theirs(self.core.network, self._network_features(im))

    def _concepts(self, text: Any, bboxes: Any, labels: Any) -> list[Concept]:
        if text is None and bboxes is None and labels is None:
            return concepts_of(**self.prompts)
        return concepts_of(text, bboxes, labels)

    def _found(self, embedding: ImageEmbedding, concepts: list[Concept]) -> Masks:
        masks = self.core.find(embedding, concepts, threshold=self.args.conf)
        at = [np.zeros(0, np.int64)]
        for number in range(len(concepts)):
            own = np.flatnonzero(masks.prompt_index == number)
            kept = non_maximum_suppression(masks.boxes[own], masks.scores[own], self.args.iou)
            at.append(own[kept])
        some = masks[np.concatenate(at)]
        return some.with_object_ids(some.prompt_index)

    def _network_features(self, im: Tensor) -> ImageFeatures:
        check_preprocessed(im)
        network = self.core.network
        assert isinstance(network, Sam2)
        with torch.no_grad(), own_dtypes(network):
            return network.encode_with_trunk(im.to(self.core.device, self.core.dtype))

    def _set_image(self, image: EncodedImage) -> Features:
        super()._set_image(image)
        self.features = _theirs(self.core.network, image.embedding.features)
        return self.features

    def _result(self, image: SourceImage, masks: Masks, preprocess_ms: float = 0.0) -> Results:
        result = super()._result(image, masks, preprocess_ms)
        result.names = dict(enumerate(self._names))
        return result


def checked_words(prompts: Any) -> dict[str, Any]:
    """A dict with some of text, bboxes and labels, or with nothing.

    Raises:
        PromptError: an unknown key, a wrong shape or wrong values.
    """
    if not isinstance(prompts, Mapping) or not set(prompts) <= set(_PROMPTS):
        raise PromptError(
            f"prompts: expected a dict with some of {', '.join(_PROMPTS)}, got {shown(prompts)}"
        )
    if prompts:
        concepts_of(**prompts)
    return dict(prompts)


def concepts_of(text: Any = None, bboxes: Any = None, labels: Any = None) -> list[Concept]:
    """A concept for each of the words, with the same examples; or one of examples alone.

    Raises:
        PromptError: neither words nor an example, or wrong values.
    """
    texts = [text] if text is None or isinstance(text, str) else text
    if not isinstance(texts, (list, tuple)) or not texts:
        raise PromptError(f"text: expected words or a list of them, got {shown(text)}")
    boxes = None if bboxes is None else np.atleast_2d(array_of(bboxes, "bboxes"))
    each = None if labels is None else np.atleast_1d(array_of(labels, "labels"))
    return [Concept(one, boxes=boxes, labels=each) for one in texts]


def _theirs(network: Network, features: ImageFeatures) -> Features:
    found = features_of(network, features)
    assert isinstance(found, dict)
    return {**found, _TRUNK: features.further[0]}
