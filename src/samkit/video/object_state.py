"""The state of one object in a session."""

from dataclasses import dataclass, field, replace

from samkit.memory.bank import MemoryBank
from samkit.memory.prediction import PromptedObject
from samkit.nn.memory import ObjectPrediction

__all__ = ["ObjectState", "TrackedFrame"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackedFrame:
    """A frame in which an object was tracked.

    Attributes:
        frame: its number.
        prediction: of the object there, a batch of one.
        backward: whether tracking went towards the start of the video.
    """

    frame: int
    prediction: ObjectPrediction
    backward: bool


@dataclass(kw_only=True)
class ObjectState:
    """One object.

    A frame in which the prompt corrects a prediction from memory is remembered like a tracked one:
    not permanently (as in the reference).

    Attributes:
        bank: its memories.
        prompted: frame -> the object there; the frame that was prompted last is last.
        recent: the frames that were tracked last, as many as there are pointers in reach, the
            newest last.
        tracked: (first, last) of each run of tracked frames, in order.
    """

    bank: MemoryBank
    prompted: dict[int, PromptedObject] = field(default_factory=dict)
    recent: tuple[TrackedFrame, ...] = ()
    tracked: tuple[tuple[int, int], ...] = ()

    def copy(self) -> "ObjectState":
        """A copy that changes independently. Tensors are shared."""
        return replace(self, bank=self.bank.copy(), prompted=dict(self.prompted))

    def prediction_in(self, frame: int) -> ObjectPrediction | None:
        """The prediction of the object in a frame, if it is kept."""
        if frame in self.prompted:
            return self.prompted[frame].prediction
        recent = self.recent_frame(frame)
        return None if recent is None else recent.prediction

    def recent_frame(self, frame: int) -> TrackedFrame | None:
        """The entry of a frame in `recent`, if there is one."""
        return next((one for one in self.recent if one.frame == frame), None)

    def was_tracked(self, frame: int) -> bool:
        """Whether the object was tracked in a frame, however long ago."""
        return any(first <= frame <= last for first, last in self.tracked)

    def came_backward(self, frame: int) -> bool:
        """Whether tracking went backward in a frame in which the object was tracked."""
        recent = self.recent_frame(frame)
        return frame < min(self.bank.prompted) if recent is None else recent.backward

    def add_prompted(self, frame: int, prompted: PromptedObject) -> None:
        """Keep a prompted frame; it replaces an earlier one of the same number."""
        self.prompted.pop(frame, None)
        self.prompted[frame] = prompted
        self.bank.add(frame, prompted.memory, prompted=not prompted.corrects)
        self.recent = tuple(
            replace(one, prediction=prompted.prediction) if one.frame == frame else one
            for one in self.recent
        )

    def clear_prompted(self, frame: int) -> None:
        """Forget a prompted frame, as if the object had never been seen there.

        Where only corrections are left, the one that was prompted first becomes permanent: every
        object needs a memory that stays.
        """
        del self.prompted[frame]
        self.bank.forget(frame)
        self.recent = tuple(one for one in self.recent if one.frame != frame)
        self.tracked = _without(self.tracked, frame)
        if self.prompted and not self.bank.prompted:
            first, prompted = next(iter(self.prompted.items()))
            self.prompted[first] = replace(prompted, corrects=False)
            self.bank.add(first, prompted.memory, prompted=True)

    def add_tracked(self, tracked: TrackedFrame) -> None:
        """Keep a tracked frame; if it was corrected before, the correction is remembered again."""
        others = [other for other in self.recent if other.frame != tracked.frame]
        self.recent = (*others, tracked)[-self.bank.pointers :]
        prompted = self.prompted.get(tracked.frame)
        if prompted is not None and prompted.corrects:
            self.bank.add(tracked.frame, prompted.memory, prompted=False)
        self.tracked = _joined(self.tracked, tracked.frame)

    def prune(self, frame: int, *, backward: bool, anchors: tuple[int, ...], one_way: bool) -> None:
        """Forget what is out of reach from a frame on; arguments as in `MemoryBank.prune`."""
        self.bank.prune(frame, backward=backward, anchors=anchors, one_way=one_way)
        if one_way:  # past frames are never shown nor corrected again
            self.recent = self.recent[-1:]
            for gone in [t for t in self.prompted if t < frame and t not in self.bank.prompted]:
                del self.prompted[gone]


def _joined(runs: tuple[tuple[int, int], ...], frame: int) -> tuple[tuple[int, int], ...]:
    """Runs of frames with one more frame."""
    touching = [run for run in runs if run[0] - 1 <= frame <= run[1] + 1]
    first = min([frame, *(run[0] for run in touching)])
    last = max([frame, *(run[1] for run in touching)])
    return tuple(sorted([*(run for run in runs if run not in touching), (first, last)]))


def _without(runs: tuple[tuple[int, int], ...], frame: int) -> tuple[tuple[int, int], ...]:
    """Runs of frames with one frame less."""
    parts = []
    for first, last in runs:
        if first <= frame <= last:
            parts += [(first, frame - 1), (frame + 1, last)]
        else:
            parts.append((first, last))
    return tuple((first, last) for first, last in parts if first <= last)
