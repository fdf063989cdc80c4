"""Concepts on embeddings to masks, by the detector of SAM 3."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samkit.errors import InputError
from samkit.image_predictor.embedding import ImageEmbedding
from samkit.image_predictor.masks import check_finite
from samkit.masks import Masks
from samkit.nn import Network, Sam2
from samkit.nn.detector import ConceptTokens, Detector
from samkit.nn.fast.shared_image import LastImage
from samkit.prompts import Concept
from samkit.sizes import Sam3Config
from samkit.words import tokens_of

__all__ = ["Candidates", "ConceptFinder", "checked_finder", "finder_of"]

# Texts whose features are kept; each takes 33 kB.
_TEXTS_KEPT = 1024
# Beyond this many bytes low-resolution logits are not kept.
_LOGITS_BYTES = 2**28


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """What a detector finds of one concept in an image, K objects.

    Attributes:
        probabilities: (K,) that each is an object of the concept.
        presence: () that there are any.
        boxes: (K, 4) xyxy, from 0 to 1 inside the image.
        logits: (K, h, w) mask logits, four times finer than the embedding.
    """

    probabilities: Tensor
    presence: Tensor
    boxes: Tensor
    logits: Tensor

    def take(self, index: Tensor) -> "Candidates":
        """Some of them."""
        return Candidates(
            probabilities=self.probabilities[index],
            presence=self.presence,
            boxes=self.boxes[index],
            logits=self.logits[index],
        )


class ConceptFinder:
    """A detector that is loaded when it is first used, and what it need not compute twice.

    Those are the features of texts, and the maps of the last image while its embedding lives.

    Args:
        load: gives the detector, on any device.
    """

    def __init__(self, load: Callable[[], Detector]) -> None:
        self._load = load
        self._detector: Detector | None = None
        self._texts: dict[str, ConceptTokens] = {}
        self._last: LastImage[list[Tensor]] = LastImage()

    def __reduce__(self) -> tuple[type["ConceptFinder"], tuple[Callable[[], Detector]]]:
        return ConceptFinder, (self._load,)  # a copy loads its own

    def detector(self, device: torch.device) -> Detector:
        """The detector on a device; it is loaded at the first call."""
        if self._detector is None:
            with torch.inference_mode(False):  # tensors of that mode do not say when they change
                self._detector = self._load().to(device)
        return self._detector

    def forget_image(self) -> None:
        """Give back the maps of the last image, which take 110 MB."""
        self._last.forget()

    def find(
        self,
        embedding: ImageEmbedding,
        concepts: Sequence[Concept],
        threshold: float,
        device: torch.device,
    ) -> Masks:
        """See `ImagePredictor.find`; the device is that of the network."""
        parts = [_nothing(embedding.image_size)]
        for i, concept in enumerate(concepts):
            found = self.detect(embedding, concept, threshold, device)
            order = found.probabilities.argsort(descending=True, stable=True)
            before = sum(map(len, parts))
            parts.append(_masks(found.take(order), embedding, concept.name, i, before))
        return Masks.concatenate(parts)

    def detect(
        self,
        embedding: ImageEmbedding,
        concept: Concept,
        threshold: float,
        device: torch.device,
        examples: Tensor | None = None,
    ) -> Candidates:
        """The objects of a concept that are more probable than a threshold, in no order.

        Args:
            embedding: of the image.
            concept: its boxes are of this image.
            threshold: from 0 to 1.
            device: of the network.
            examples: of another image, as `examples` gives them; boxes then do not count.

        Raises:
            InputError: as of `ImagePredictor.find`.
        """
        detector = self.detector(device)
        with torch.inference_mode():
            words = self._words(detector, concept.name, device)
            if examples is not None:
                words, concept = words + examples, Concept(concept.name)
            detections = detector.detect(
                self._maps(detector, embedding, device),
                words,
                *_examples(concept, embedding.image_size, device),
            )
            probabilities = detections.probabilities[0]
            check_finite(probabilities)
            kept = (probabilities > threshold).nonzero()[:, 0]
            return Candidates(
                probabilities=probabilities[kept],
                presence=detections.presence[0].sigmoid(),
                boxes=detections.boxes[0, kept].clamp(0, 1),
                logits=detector.masks(detections.queries[:, kept], detections.pixels)[0],
            )

    def examples(self, embedding: ImageEmbedding, concept: Concept, device: torch.device) -> Tensor:
        """The boxes of a concept in an image, for `detect` on others: (1, N + 1, D)."""
        detector = self.detector(device)
        with torch.inference_mode():
            maps = self._maps(detector, embedding, device)
            return detector.examples(maps, *_examples(concept, embedding.image_size, device))

    def _words(self, detector: Detector, text: str, device: torch.device) -> ConceptTokens:
        if text not in self._texts:
            if len(self._texts) == _TEXTS_KEPT:
                self._texts.pop(next(iter(self._texts)))
            self._texts[text] = detector.words(torch.tensor([tokens_of(text)], device=device))
        return self._texts[text]

    def _maps(
        self, detector: Detector, embedding: ImageEmbedding, device: torch.device
    ) -> list[Tensor]:
        trunk = _trunk(embedding, detector.trunk_dim)
        maps = self._last.find(
            (trunk,),
            detector.neck.parameters(),
            lambda: detector.maps(trunk.to(device)),
            at_once=True,
        )
        assert maps is not None
        return maps


def checked_finder(finder: ConceptFinder | None) -> ConceptFinder:
    """What finds concepts, if there is anything that does.

    Raises:
        InputError: there is not.
    """
    if finder is None:
        raise InputError(
            "find: this network has no detector of concepts, only SAM 3 has one: "
            'samkit.load("sam3")'
        )
    return finder


def finder_of(network: Network, load: Callable[[], Detector] | None) -> ConceptFinder | None:
    """What finds concepts with a network and its detector, if it has one.

    Raises:
        InputError: a detector for a network that is not of SAM 3.
    """
    if load is None:
        return None
    if not isinstance(network, Sam2) or not isinstance(network.config, Sam3Config):
        raise InputError(
            f"detector: expected a network of SAM 3 to go with it, got {type(network).__name__}"
        )
    return ConceptFinder(load)


def _trunk(embedding: ImageEmbedding, channels: int) -> Tensor:
    """The map (1, C, h, w) of which the detector makes its own.

    Raises:
        InputError: the embedding has none.
    """
    features = embedding.features
    expected = (1, channels, *features.embedding.shape[-2:])
    if [tuple(one.shape) for one in features.further] != [expected]:
        raise InputError(
            "find: this embedding lacks the map that the detector looks at, as it is of an earlier "
            "samkit or of a predictor without a detector; embed the image with this predictor"
        )
    return features.further[0]


def _examples(
    concept: Concept, image_size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Boxes (1, N, 4) as centre, width and height from 0 to 1, and labels (1, N)."""
    height, width = image_size
    corners = concept.boxes / np.array([width, height] * 2, np.float32)
    low, high = corners[:, :2], corners[:, 2:]
    boxes = np.concatenate([(low + high) / 2, high - low], 1)
    labels = concept.labels.astype(np.int64)
    return torch.from_numpy(boxes)[None].to(device), torch.from_numpy(labels)[None].to(device)


def _nothing(image_size: tuple[int, int]) -> Masks:
    """No masks, with the fields of those that are found, so that they can be chosen by these."""
    none = np.zeros((0, *image_size), np.bool_)
    return Masks(none, (), presence=(), boxes=np.zeros((0, 4)), names=())


def _masks(
    found: Candidates, embedding: ImageEmbedding, name: str, index: int, before: int
) -> Masks:
    """Candidates (K,) of one concept as masks of the image; so many masks are before."""
    logits, count, (height, width) = found.logits, len(found.logits), embedding.image_size
    boxes = found.boxes * found.boxes.new_tensor([width, height] * 2)
    keep_logits = (before + count) * logits[0:1].numel() * 4 <= _LOGITS_BYTES
    return Masks.from_pixels(
        map(embedding.transform.mask_in_image, logits),
        embedding.image_size,
        found.probabilities.cpu().numpy(),
        total=before + count,
        object_ids=before + np.arange(count),
        prompt_index=np.full(count, index),
        presence=found.presence.expand(count).cpu().numpy(),
        boxes=boxes.cpu().numpy(),
        names=np.full(count, name),
        logits=logits.float().cpu().numpy() if keep_logits else None,
    )
