"""One frame of concept tracking (SAM 3, 2511.16719): look for the words, and track what they found.

All objects are tracked into the frame before anything of it is remembered; then they are compared
with what was detected, concept by concept. What is found of a concept does not depend on others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from samkit.image_predictor import ImageEmbedding
from samkit.image_predictor.concepts import Candidates
from samkit.memory.prediction import predict_from_memory, remember
from samkit.nn import ImageFeatures
from samkit.nn.memory import Memory, ObjectPrediction
from samkit.video.concepts.association import Association, associate, overlaps
from samkit.video.concepts.lifetimes import Life, Way, doomed, is_hidden, live_on
from samkit.video.concepts.overlaps import (
    BLANK_LOGIT,
    clear_of_others,
    covered_by_others,
    filled,
)
from samkit.video.concepts.remembering import given_objects, joined, remember_masks
from samkit.video.concepts.state import ConceptState, Track
from samkit.video.object_state import TrackedFrame
from samkit.video.session import FrameObjects, Session

__all__ = ["track_concepts"]


@dataclass(kw_only=True, eq=False)
class _Plan:
    """What a frame changes.

    Attributes:
        new: name and what was detected, of each new object.
        sure: object id -> what was detected, to be remembered like a prompt.
        doomed: objects that turned out to be none.
    """

    new: list[tuple[str, Candidates]] = field(default_factory=list)
    sure: dict[int, Candidates] = field(default_factory=dict)
    doomed: set[int] = field(default_factory=set)


def track_concepts(
    session: Session,
    concepts: ConceptState,
    frame: int,
    embedding: ImageEmbedding,
    *,
    backward: bool,
) -> FrameObjects:
    """Track all objects of a session into a frame, and find new ones in it.

    Args:
        session: is changed.
        concepts: of the session.
        frame: number of the frame.
        embedding: of the frame.
        backward: going towards the start of the video.
    """
    session.image_size = embedding.image_size
    session.prune(frame, backward=backward)
    concepts.prune(session.objects, (frame, *(() if session.one_way else session.anchors)))
    way = Way(frame=frame, backward=backward, delay=session.delay)
    with torch.inference_mode():
        seen = _propagated(session, concepts, embedding.features, way)
        plan = _compared(session, concepts, seen, embedding, way)
        _blank_covered(concepts, seen, way)
        _remember(session, concepts, seen, plan, embedding.features, way)
        _begin(session, concepts, seen, plan, embedding.features, way)
    for object_id in plan.doomed:
        session.remove(object_id)
    hidden = frozenset(
        object_id
        for object_id, track in concepts.tracks.items()
        if is_hidden(track.life, concepts.settings)
        and not track.is_corrected(session.objects[object_id])
    )
    return FrameObjects(frame=frame, predictions=seen, hidden=hidden)


def _propagated(
    session: Session, concepts: ConceptState, features: ImageFeatures, way: Way
) -> dict[int, ObjectPrediction]:
    """Each object in the frame: as it was prompted there, or from memory, without specks."""
    states, seen = session.objects, {}
    followed = [i for i, state in states.items() if way.frame not in state.prompted]
    if followed:
        prediction = predict_from_memory(
            session.network,
            features,
            [
                states[i].bank.reachable(
                    way.frame, backward=way.backward, frames=session.frame_count
                )
                for i in followed
            ],
        )
        area = concepts.settings.fill_hole_area
        for object_id, one in zip(followed, prediction.each(), strict=True):
            if object_id in concepts.tracks:
                one = replace(one, logits=filled(one.logits, area))
            seen[object_id] = one
    return {i: seen.get(i) or state.prompted[way.frame].prediction for i, state in states.items()}


def _compared(
    session: Session,
    concepts: ConceptState,
    seen: dict[int, ObjectPrediction],
    embedding: ImageEmbedding,
    way: Way,
) -> _Plan:
    """Compare objects with what is detected in the frame, and count it for or against them."""
    settings, plan = concepts.settings, _Plan()
    every = settings.recondition_every_nth_frame
    prompted = [one.logits for i, one in seen.items() if i not in concepts.tracks]
    for concept in concepts.asked:
        found = concepts.detect(concept, way.frame, embedding)
        masks, own = found.logits > 0, concepts.tracks_of(concept.name)
        tracked = torch.cat([found.logits[:0], *(seen[i].logits for i in own)]) > 0
        association = associate(masks, found.probabilities, tracked, settings)
        lives = {i: concepts.tracks[i].life for i in own}
        _count(lives, own, association, way, concepts)
        corrected = {i for i in own if concepts.tracks[i].is_corrected(session.objects[i])}
        plan.doomed |= doomed(lives, way, settings) - corrected

        # An object that the user prompted is not found once more.
        others = torch.cat([found.logits[:0], *prompted]) > 0
        is_taken = (overlaps(masks, others) >= settings.trk_assoc_iou_thresh).any(1).tolist()
        plan.new += [
            (concept.name, found.take(torch.tensor([i])))
            for i in association.new
            if not is_taken[i]
        ]
        if every and way.frame % every == 0:
            for place, i in association.sure.items():
                object_id = own[place]
                is_given = way.frame in session.objects[object_id].prompted
                # A logit, as in the code of the authors.
                is_there = float(seen[object_id].object_score) > settings.high_conf_thresh
                if is_there and not is_given and object_id not in corrected:
                    plan.sure[object_id] = found.take(torch.tensor([i]))
    room = max(0, settings.max_num_objects - len(concepts.tracks))
    if len(plan.new) > room:
        plan.new = sorted(plan.new, key=lambda one: -float(one[1].probabilities))[:room]
    return plan


def _count(
    lives: dict[int, Life],
    own: Sequence[int],
    association: Association,
    way: Way,
    concepts: ConceptState,
) -> None:
    """`live_on` of one concept, whose objects `own` the association has by number."""
    live_on(
        lives,
        [[own[i] for i in places] for places in association.shared],
        [own[i] for i in association.unmatched],
        [own[i] for i in association.empty],
        way,
        concepts.settings,
    )


def _blank_covered(concepts: ConceptState, seen: dict[int, ObjectPrediction], way: Way) -> None:
    """Blank objects that came back onto another one of the same concept."""
    least = concepts.settings.suppress_overlapping_based_on_recent_occlusion_threshold
    for name in dict.fromkeys(track.name for track in concepts.tracks.values()):
        own = concepts.tracks_of(name)
        away = [concepts.tracks[i].away for i in own]
        masks = torch.cat([seen[i].logits for i in own]) > 0
        goes = covered_by_others(masks, away, least, backward=way.backward)
        for i, mask, is_covered in zip(own, masks, goes.tolist(), strict=True):
            if is_covered:
                blank = torch.full_like(seen[i].logits, BLANK_LOGIT)
                seen[i] = replace(seen[i], logits=blank)
            if is_covered or not bool(mask.any()):
                concepts.tracks[i].away = way.frame


def _remember(
    session: Session,
    concepts: ConceptState,
    seen: dict[int, ObjectPrediction],
    plan: _Plan,
    features: ImageFeatures,
    way: Way,
) -> None:
    """Remember the frame; objects in `plan.sure` get what was detected as their mask."""
    network, states = session.network, session.objects
    followed = [i for i, state in states.items() if way.frame not in state.prompted]
    found = [i for i in followed if i in concepts.tracks]
    own = [i for i in followed if i not in concepts.tracks]
    memories: dict[int, Memory] = {}
    if own:
        rest = remember(network, features, joined([seen[i] for i in own]), prompted=False)
        memories.update(zip(own, rest, strict=True))
    if found:
        shown = _without_overlaps(concepts, seen)
        rest = remember_masks(
            network, features, [seen[i] for i in found], [shown[i] for i in found], prompted=False
        )
        memories.update(zip(found, rest, strict=True))
    for object_id, memory in memories.items():
        states[object_id].bank.add(way.frame, memory, prompted=False)
    if plan.sure:
        ids = list(plan.sure)
        given = given_objects(network, features, list(plan.sure.values()), concepts.settings)
        for i, one in zip(ids, given, strict=True):
            prediction = replace(seen[i], logits=one.prediction.logits)
            one = replace(one, prediction=replace(prediction, pointer=one.prediction.pointer))
            if concepts.settings.recondition_on_trk_masks:
                one = replace(one, prediction=prediction, memory=memories[i])
            states[i].add_prompted(way.frame, one)
            concepts.tracks[i].given[way.frame] = one
            seen[i] = one.prediction
    for i, state in states.items():
        state.add_tracked(TrackedFrame(frame=way.frame, prediction=seen[i], backward=way.backward))


def _without_overlaps(
    concepts: ConceptState, seen: dict[int, ObjectPrediction]
) -> dict[int, Tensor]:
    """Logits (1, h, w) of found objects, of which those of masks that others cover are blank."""
    shown = {}
    for name in dict.fromkeys(track.name for track in concepts.tracks.values()):
        own = concepts.tracks_of(name)
        is_clear = clear_of_others(torch.cat([seen[i].logits for i in own])).tolist()
        for i, stays in zip(own, is_clear, strict=True):
            logits = seen[i].logits
            shown[i] = logits if stays else logits.clamp(max=BLANK_LOGIT)
    return shown


def _begin(
    session: Session,
    concepts: ConceptState,
    seen: dict[int, ObjectPrediction],
    plan: _Plan,
    features: ImageFeatures,
    way: Way,
) -> None:
    """Begin new objects."""
    if not plan.new:
        return
    found = [one for _, one in plan.new]
    given = given_objects(session.network, features, found, concepts.settings)
    for (name, candidate), one in zip(plan.new, given, strict=True):
        object_id = concepts.next_id(session.objects)
        state = session.new_object()
        state.add_prompted(way.frame, one)
        state.add_tracked(
            TrackedFrame(frame=way.frame, prediction=one.prediction, backward=way.backward)
        )
        session.objects[object_id] = state
        concepts.tracks[object_id] = Track(
            name=name,
            score=float(candidate.probabilities),
            life=Life.begun(way.frame, concepts.settings),
            given={way.frame: one},
        )
        seen[object_id] = one.prediction
