"""All that a session holds of one object: values, which prompting and following replace."""

from dataclasses import dataclass, field, replace

from samkit.memory.bank import Memory, MemoryBank
from samkit.nn.memory import ObjectPrediction
from samkit.prompts import Prompt

__all__ = ["Answer", "ObjectState", "TrackedFrame"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """A frame in which an object was prompted.

    Attributes:
        prompt: all that was said of it there.
        found: what it looks like there.
        memory: what is remembered of it there.
        corrects: the prompt corrects what was found with memory. Such a frame is remembered like
            one in which the object was followed, and not for good (as in the reference).
    """

    prompt: Prompt
    found: ObjectPrediction
    memory: Memory
    corrects: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackedFrame:
    """A frame in which tracking looked.

    Attributes:
        frame: its number.
        found: what the object looks like there.
        backward: whether tracking went towards the start of the video.
    """

    frame: int
    found: ObjectPrediction
    backward: bool


@dataclass(kw_only=True)
class ObjectState:
    """One object.

    Attributes:
        bank: what is remembered of it.
        answers: frame -> what was said and found there; the frame that was prompted last is last.
        sights: the frames in which tracking looked last, as many as there are pointers in reach;
            the newest is last.
        tracked: (first, last) of each run of frames in which it was looked for, in order.
    """

    bank: MemoryBank
    answers: dict[int, Answer] = field(default_factory=dict)
    sights: tuple[TrackedFrame, ...] = ()
    tracked: tuple[tuple[int, int], ...] = ()

    def copy(self) -> "ObjectState":
        """The same state, which does not follow when this one moves on. Tensors are shared."""
        return ObjectState(
            bank=self.bank.copy(),
            answers=dict(self.answers),
            sights=self.sights,
            tracked=self.tracked,
        )

    def in_frame(self, frame: int) -> ObjectPrediction | None:
        """What it looks like in a frame, if that is at hand."""
        if frame in self.answers:
            return self.answers[frame].found
        sight = self.sight_of(frame)
        return None if sight is None else sight.found

    def sight_of(self, frame: int) -> TrackedFrame | None:
        """What tracking saw in a frame, if that is at hand."""
        return next((sight for sight in self.sights if sight.frame == frame), None)

    def was_tracked(self, frame: int) -> bool:
        """Whether it was looked for in a frame."""
        return any(first <= frame <= last for first, last in self.tracked)

    def answer(self, frame: int, answer: Answer) -> None:
        """Keep what was said of a frame; it replaces what was said of it before."""
        self.answers.pop(frame, None)
        self.answers[frame] = answer
        self.bank.add(frame, answer.memory, prompted=not answer.corrects)
        self.sights = tuple(
            replace(sight, found=answer.found) if sight.frame == frame else sight
            for sight in self.sights
        )

    def see(self, sight: TrackedFrame) -> None:
        """Note where tracking is, and remember again what a user corrected there."""
        others = [other for other in self.sights if other.frame != sight.frame]
        self.sights = (*others, sight)[-self.bank.pointers :]
        answer = self.answers.get(sight.frame)
        if answer is not None and answer.corrects:
            self.bank.add(sight.frame, answer.memory, prompted=False)
        self.tracked = _joined(self.tracked, sight.frame)

    def prune(self, frame: int, *, backward: bool, anchors: tuple[int, ...], one_way: bool) -> None:
        """Forget what is of no use from a frame on; arguments as for `MemoryBank.prune`."""
        self.bank.prune(frame, backward=backward, anchors=anchors, one_way=one_way)
        if one_way:  # a frame that has gone by is never shown nor corrected again
            self.sights = self.sights[-1:]
            for gone in [t for t in self.answers if t < frame and t not in self.bank.prompted]:
                del self.answers[gone]


def _joined(runs: tuple[tuple[int, int], ...], frame: int) -> tuple[tuple[int, int], ...]:
    """Runs of frames with one more frame."""
    touching = [run for run in runs if run[0] - 1 <= frame <= run[1] + 1]
    first = min([frame, *(run[0] for run in touching)])
    last = max([frame, *(run[1] for run in touching)])
    return tuple(sorted([*(run for run in runs if run not in touching), (first, last)]))
