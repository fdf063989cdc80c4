"""Concepts on embeddings to masks, by the detector of SAM 3."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from samkit.errors import InputError
from samkit.image_predictor.embedding import ImageEmbedding
from samkit.image_predictor.masks import check_finite
from samkit.masks import Masks
from samkit.nn import Network, Sam2
from samkit.nn.detector import ConceptTokens, Detections, Detector
from samkit.nn.fast.shared_image import LastImage
from samkit.prompts import Concept
from samkit.sizes import Sam3Config
from samkit.words import tokens_of

__all__ = ["ConceptFinder", "checked_finder", "finder_of"]

# Texts whose features are kept; each takes 33 kB.
_TEXTS_KEPT = 1024
# Beyond this many bytes low-resolution logits are not kept.
_LOGITS_BYTES = 2**28


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

    def find(
        self,
        embedding: ImageEmbedding,
        concepts: Sequence[Concept],
        threshold: float,
        device: torch.device,
    ) -> Masks:
        """See `ImagePredictor.find`; the device is that of the network."""
        detector = self.detector(device)
        trunk = _trunk(embedding, detector.trunk_dim)
        parts = [Masks.empty(embedding.image_size)]
        with torch.inference_mode():
            for i, concept in enumerate(concepts):
                detections = detector.detect(
                    self._maps(detector, trunk, device),
                    self._words(detector, concept.name, device),
                    *_examples(concept, embedding.image_size, device),
                )
                best = _best(detections, threshold)
                logits = detector.masks(detections.queries[:, best], detections.pixels)[0]
                found = sum(map(len, parts))
                parts.append(_masks(detections, best, logits, embedding, concept.name, i, found))
        return Masks.concatenate(parts)

    def _words(self, detector: Detector, text: str, device: torch.device) -> ConceptTokens:
        if text not in self._texts:
            if len(self._texts) == _TEXTS_KEPT:
                self._texts.pop(next(iter(self._texts)))
            self._texts[text] = detector.words(torch.tensor([tokens_of(text)], device=device))
        return self._texts[text]

    def _maps(self, detector: Detector, trunk: Tensor, device: torch.device) -> list[Tensor]:
        maps = self._last.find(
            (trunk,),
            detector.neck.parameters(),
            lambda: detector.maps(trunk.to(device)),
            at_once=True,
        )
        assert maps is not None
        return maps


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


def checked_finder(finder: ConceptFinder | None) -> ConceptFinder:
    """What finds concepts.

    Raises:
        InputError: there is none.
    """
    if finder is None:
        raise InputError(
            "find: this network has no detector of concepts, only SAM 3 has one: "
            'samkit.load("sam3")'
        )
    return finder


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


def _best(detections: Detections, threshold: float) -> Tensor:
    """Which candidates (K,) of one concept are more probable than that, the most probable first."""
    probabilities = detections.probabilities[0]
    check_finite(probabilities)
    order = probabilities.argsort(descending=True, stable=True)
    return order[probabilities[order] > threshold]


def _masks(
    detections: Detections,
    best: Tensor,
    logits: Tensor,
    embedding: ImageEmbedding,
    name: str,
    index: int,
    before: int,
) -> Masks:
    """Candidates (K,) of one concept with their mask logits (K, h, w); so many masks are before."""
    count, (height, width) = len(best), embedding.image_size
    size = torch.tensor([width, height] * 2, dtype=torch.float32, device=best.device)
    boxes = detections.boxes[0, best].clamp(0, 1) * size
    keep_logits = (before + count) * logits[0:1].numel() * 4 <= _LOGITS_BYTES
    return Masks.from_pixels(
        map(embedding.transform.mask_in_image, logits),
        embedding.image_size,
        detections.probabilities[0, best].cpu().numpy(),
        total=before + count,
        object_ids=before + np.arange(count),
        prompt_index=np.full(count, index),
        presence=detections.presence.sigmoid().expand(count).cpu().numpy(),
        boxes=boxes.cpu().numpy(),
        names=np.full(count, name),
        logits=logits.float().cpu().numpy() if keep_logits else None,
    )
