"""What a session knows of the concepts that it looks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import torch
from torch import Tensor

from samkit.errors import PromptError, shown
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.image_predictor.concepts import Candidates
from samkit.image_predictor.device import own_dtypes
from samkit.memory.prediction import PromptedObject
from samkit.prompts import Concept, as_concepts
from samkit.video.concepts.association import best_of_overlapping
from samkit.video.concepts.lifetimes import Life
from samkit.video.concepts.settings import ConceptTracking
from samkit.video.object_state import ObjectState

__all__ = ["ConceptState", "Track", "checked_concepts"]

# Of each object, where the network attends to all prompted frames; the released one has as many.
_MOST_GIVEN = 4


@dataclass(kw_only=True, eq=False)
class Track:
    """An object that words found.

    Attributes:
        name: the words.
        score: how probable it was when it was found.
        life: how long it is believed in.
        away: the last frame in which it was not seen, if there was one.
        given: frame -> what was detected there and then remembered like a prompt.
    """

    name: str
    score: float
    life: Life
    away: int | None = None
    given: dict[int, PromptedObject] = field(default_factory=dict)

    def is_corrected(self, state: ObjectState) -> bool:
        """Whether the user prompted the object too."""
        return any(one is not self.given.get(frame) for frame, one in state.prompted.items())


@dataclass(kw_only=True, eq=False)
class ConceptState:
    """The concepts of a session, and the objects that were found of them.

    Attributes:
        predictor: with a detector.
        asked: what is looked for, each under another name.
        settings: by which rules.
        frame: in which the boxes of examples are.
        examples: name -> tokens of the examples in that frame.
        tracks: object id -> what was found, in the order of being found.
        last_id: of an object that was found, 0 before the first one.
    """

    predictor: ImagePredictor
    asked: tuple[Concept, ...]
    settings: ConceptTracking
    frame: int = 0
    examples: dict[str, Tensor] = field(default_factory=dict)
    tracks: dict[int, Track] = field(default_factory=dict)
    last_id: int = 0

    def look_at_examples(self, embedding: ImageEmbedding) -> None:
        """Make tokens of the boxes, which are in the frame of this embedding."""
        predictor = self.predictor
        with own_dtypes(predictor.network):
            self.examples = {
                one.name: predictor.finder.examples(embedding, one, predictor.device)
                for one in self.asked
                if len(one.boxes)
            }

    def detect(self, concept: Concept, frame: int, embedding: ImageEmbedding) -> Candidates:
        """The objects of a concept in a frame, the most probable of those that overlap."""
        predictor, settings = self.predictor, self.settings
        examples = None if frame == self.frame else self.examples.get(concept.name)
        with torch.inference_mode(), own_dtypes(predictor.network):
            found = predictor.finder.detect(
                embedding, concept, settings.score_threshold_detection, predictor.device, examples
            )
            # An empty mask is no object, and would be found anew in each frame.
            found = found.take((found.logits > 0).flatten(1).any(1).nonzero()[:, 0])
            if not settings.det_nms_thresh:
                return found
            masks, most = found.logits > 0, settings.det_nms_thresh
            return found.take(best_of_overlapping(masks, found.probabilities, most))

    def prune(self, states: Mapping[int, ObjectState], places: Sequence[int]) -> None:
        """Forget detections that are remembered like prompts, but those around some frames.

        Attention reaches no more of them, unless the user prompted others in between.

        Args:
            states: of all objects; are changed.
            places: numbers of frames.
        """
        for object_id, track in self.tracks.items():
            state = states[object_id]
            there = [frame for frame in track.given if frame in state.prompted]
            kept: set[int] = set()
            for place in places:
                nearest = sorted((abs(frame - place), frame) for frame in there)
                most = state.bank.nearest or _MOST_GIVEN
                kept |= {
                    frame
                    for rank, (distance, frame) in enumerate(nearest)
                    if rank < most or distance <= state.bank.pointers
                }
            for frame in set(there) - kept:
                if state.prompted[frame] is track.given[frame]:
                    del state.prompted[frame]
                    state.bank.forget(frame)
            track.given = {frame: track.given[frame] for frame in there if frame in kept}

    def tracks_of(self, name: str) -> list[int]:
        """The objects that were found of a concept."""
        return [object_id for object_id, track in self.tracks.items() if track.name == name]

    def next_id(self, taken: Mapping[int, object]) -> int:
        """The id of a new object: higher than those before, and not among others."""
        self.last_id = next(i for i in count(self.last_id + 1) if i not in taken)
        return self.last_id


def checked_concepts(value: object) -> tuple[Concept, ...]:
    """What `VideoPredictor.find` looks for.

    Raises:
        PromptError: no concepts, or two of one name.
    """
    concepts = as_concepts(value)  # type: ignore[arg-type]
    if not concepts:
        raise PromptError('concepts: expected words, such as "person", got none')
    names = [one.name for one in concepts]
    for name in names:
        if names.count(name) > 1:
            raise PromptError(f"concepts: expected each once, got {shown(name)} twice")
    return concepts
