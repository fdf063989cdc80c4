"""How long objects that words found are believed in: hotstart, keep-alive and confirmation."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from samkit.video.concepts.settings import ConceptTracking

__all__ = ["Life", "Way", "doomed", "is_hidden", "live_on"]


@dataclass(kw_only=True, eq=False)
class Life:
    """What is known of one object.

    Attributes:
        born: the frame in which it was found.
        keep_alive: how long it may still go without a detection.
        in_a_row: detections in the frames up to now, without a gap.
        is_confirmed: whether there were enough of them at some time.
        unmatched: the frames without a detection, while it is young.
        shared: older object -> the frames with the same detection, while it is young.
    """

    born: int
    keep_alive: int
    in_a_row: int = 1
    is_confirmed: bool = False
    unmatched: set[int] = field(default_factory=set)
    shared: dict[int, set[int]] = field(default_factory=dict)

    @classmethod
    def begun(cls, frame: int, settings: ConceptTracking) -> "Life":
        """Of an object that is found in a frame."""
        return cls(
            born=frame,
            keep_alive=settings.init_trk_keep_alive,
            is_confirmed=settings.masklet_confirmation_consecutive_det_thresh <= 1,
        )


@dataclass(frozen=True, kw_only=True)
class Way:
    """Where tracking is.

    Attributes:
        frame: its number.
        backward: going towards the start of the video.
        delay: of results, in frames, within which objects are young.
    """

    frame: int
    backward: bool
    delay: int

    def age(self, life: Life) -> int:
        """Frames since an object was found; negative before that."""
        return (life.born - self.frame) if self.backward else (self.frame - life.born)

    def is_young(self, life: Life) -> bool:
        """Whether the frame in which an object was found has not been given away yet."""
        return 0 <= self.age(life) < self.delay


def live_on(
    lives: Mapping[int, Life],
    shared: Sequence[Sequence[int]],
    unmatched: Collection[int],
    empty: Collection[int],
    way: Way,
    settings: ConceptTracking,
) -> None:
    """Count a frame.

    Args:
        lives: object id -> what is known of it; is changed.
        shared: the objects of each detection.
        unmatched: objects that are seen without a detection.
        empty: objects that are not seen.
        way: the frame.
        settings: with the limits.
    """
    matched = {object_id for ids in shared for object_id in ids}
    starving = set(unmatched)
    if settings.decrease_trk_keep_alive_for_empty_masklets:
        starving |= set(empty)
    for object_id, life in lives.items():
        _forget_frame(life, way)
        # One that overlaps a detection a little is both matched and unmatched.
        life.in_a_row = life.in_a_row + 1 if object_id in matched else 0
        if life.in_a_row >= settings.masklet_confirmation_consecutive_det_thresh:
            life.is_confirmed = True
        if object_id in matched:
            life.keep_alive = min(settings.max_trk_keep_alive, life.keep_alive + 1)
        if object_id in starving:
            life.keep_alive = max(settings.min_trk_keep_alive, life.keep_alive - 1)
        if object_id in unmatched and way.is_young(life):
            life.unmatched.add(way.frame)
    for ids in shared:
        oldest = max(ids, key=lambda one: way.age(lives[one]), default=None)
        for object_id in ids:
            if oldest is not None and object_id != oldest and way.is_young(lives[object_id]):
                lives[object_id].shared.setdefault(oldest, set()).add(way.frame)


def doomed(lives: Mapping[int, Life], way: Way, settings: ConceptTracking) -> set[int]:
    """The young objects that turned out to be none, or to be another one."""
    return {
        object_id
        for object_id, life in lives.items()
        if way.is_young(life)
        and (
            len(life.unmatched) >= settings.hotstart_unmatch_thresh
            or max(map(len, life.shared.values()), default=0) >= settings.hotstart_dup_thresh
        )
    }


def is_hidden(life: Life, settings: ConceptTracking) -> bool:
    """Whether an object is tracked without being shown."""
    if settings.masklet_confirmation_enable and not life.is_confirmed:
        return True
    return not settings.suppress_unmatched_only_within_hotstart and life.keep_alive <= 0


def _forget_frame(life: Life, way: Way) -> None:
    """Forget what was counted in this frame, should it be tracked again, or before youth ended."""
    if not way.is_young(life):
        life.unmatched.clear()
        life.shared.clear()
    life.unmatched.discard(way.frame)
    for frames in life.shared.values():
        frames.discard(way.frame)
