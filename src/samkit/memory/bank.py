"""The memories of one object that attention can reach."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from samkit.nn.memory import Memory, ReachableMemory

__all__ = ["MemoryBank"]

# As in SAM 3.
_LEAST_CONFIDENCE = 0.01


class MemoryBank:
    """Memories of one object: of prompted frames, and of frames in which it was tracked.

    Attention reaches the tokens of all prompted frames (or of the nearest few) and of the
    `slots - 1` frames before, and the pointers of prompted frames and of the `pointers - 1` frames
    before; "before" is after when going backward. With `select`, frames in which the object was
    hardly seen do not count as frames before, except the last one. `prune` forgets the rest.

    Args:
        slots: memories in reach, the prompted frame counted once (`MemoryConfig.slots`).
        pointers: pointers in reach (`MemoryConfig.pointers`).
        nearest: how many prompted frames are attended to; None for all.
        select: whether frames before are selected by their confidence.
    """

    def __init__(
        self, *, slots: int, pointers: int, nearest: int | None = None, select: bool = False
    ) -> None:
        self.slots, self.pointers, self.nearest, self.select = slots, pointers, nearest, select
        self.prompted: dict[int, Memory] = {}
        self.tracked: dict[int, Memory] = {}

    def __len__(self) -> int:
        return len(self.prompted) + len(self.tracked)

    def copy(self) -> "MemoryBank":
        """A bank with the same memories, which changes independently."""
        bank = MemoryBank(
            slots=self.slots, pointers=self.pointers, nearest=self.nearest, select=self.select
        )
        bank.prompted, bank.tracked = dict(self.prompted), dict(self.tracked)
        return bank

    def add(self, frame: int, memory: Memory, *, prompted: bool) -> None:
        """Add the memory of a frame, or replace it."""
        self.forget(frame)
        (self.prompted if prompted else self.tracked)[frame] = memory

    def forget(self, frame: int) -> None:
        """Forget the memory of a frame, if there is one."""
        self.prompted.pop(frame, None)
        self.tracked.pop(frame, None)

    def reachable(
        self, frame: int, *, backward: bool = False, frames: int | None = None
    ) -> ReachableMemory:
        """The memories in reach from a frame.

        Args:
            frame: in which the object is to be predicted.
            backward: going towards the start of the video.
            frames: how many the video has, if that is known.
        """
        step = -1 if backward else 1
        near = self._nearest(frame)
        # A prompted frame that is not among the nearest may still be one of the frames before.
        others = {t: m for t, m in self.prompted.items() if t not in near} | self.tracked
        before = {ago: others[t] for t, ago in self._ago(frame, step, others).items()}
        span = self.pointers if frames is None else min(frames, self.pointers)

        memories = [(0, m) for t, m in self.prompted.items() if t in near and m.tokens is not None]
        for ago in range(self.slots - 1, 0, -1):
            memory = before.get(ago)
            if memory is not None and memory.tokens is not None:
                memories.append((ago, memory))
        pointers = [
            (step * (frame - t), m.pointer)
            for t, m in self.prompted.items()
            if t in near and step * (frame - t) >= 0
        ]
        for ago in range(1, span):
            memory = before.get(ago)
            if memory is not None:
                pointers.append((ago, memory.pointer))
        return ReachableMemory(memories=tuple(memories), pointers=tuple(pointers), span=span)

    def prune(
        self,
        frame: int,
        *,
        backward: bool = False,
        anchors: Iterable[int] = (),
        one_way: bool = False,
    ) -> None:
        """Drop memories in reach neither from `frame` nor from those after it.

        Args:
            frame: the next one.
            backward: going towards the start of the video.
            anchors: frames from which a pass in the other direction will start.
            one_way: frames cannot be read again. Prompted frames are then dropped too where newer
                ones (`nearest` of them) replace them.
        """
        step = -1 if backward else 1
        # From the next frame, and from where a pass in the other direction starts.
        places = [(frame, step), *((anchor - step, -step) for anchor in anchors)]
        agos = [self._ago(place, way, self.tracked) for place, way in places]
        for t in list(self.tracked):
            distance = min((ago[t] for ago in agos if t in ago), default=self.pointers)
            if distance >= self.pointers:
                del self.tracked[t]
            elif distance >= self.slots and self.tracked[t].tokens is not None:
                self.tracked[t] = replace(self.tracked[t], tokens=None)
        if one_way:
            near = self._nearest(frame)
            others = {t: m for t, m in self.prompted.items() if t not in near}
            ago = self._ago(frame, step, others | self.tracked)
            for t in [
                t for t in others if t < frame and ago.get(t, self.pointers) >= self.pointers
            ]:
                del self.prompted[t]

    def _ago(self, frame: int, step: int, memories: Mapping[int, Memory]) -> dict[int, int]:
        """Frames before one -> as how many frames ago they count; those that do not are left out.

        Args:
            frame: in which the object is to be predicted.
            step: 1, or -1 when going backward.
            memories: by frame.
        """
        ago = {t: step * (frame - t) for t in memories if step * (frame - t) > 0}
        if not self.select:
            return ago
        chosen = [t for t in ago if ago[t] == 1 or memories[t].confidence > _LEAST_CONFIDENCE]
        return {t: i for i, t in enumerate(sorted(chosen, key=ago.__getitem__), 1)}

    def _nearest(self, frame: int) -> set[int]:
        """The prompted frames that are attended to."""
        if self.nearest is None or len(self.prompted) <= self.nearest:
            return set(self.prompted)
        before = sorted(t for t in self.prompted if t < frame)[-1:]
        after = sorted(t for t in self.prompted if t >= frame)[:1]
        first = before + after  # the nearest of each side
        rest = sorted((t for t in self.prompted if t not in first), key=lambda t: abs(t - frame))
        return set((first + rest)[: self.nearest])
