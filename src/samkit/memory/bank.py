"""The memories of one object that attention can reach."""

from collections.abc import Iterable
from dataclasses import replace

from samkit.nn.memory import Memory, ReachableMemory

__all__ = ["MemoryBank"]


class MemoryBank:
    """Memories of one object: of prompted frames, and of frames in which it was tracked.

    Attention reaches the tokens of all prompted frames (or of the nearest few) and of the
    `slots - 1` frames before, and the pointers of prompted frames and of the `pointers - 1` frames
    before; "before" is after when going backward. `prune` forgets the rest.

    Args:
        slots: memories in reach, the prompted frame counted once (`MemoryConfig.slots`).
        pointers: pointers in reach (`MemoryConfig.pointers`).
        nearest: how many prompted frames are attended to; None for all.
    """

    def __init__(self, *, slots: int, pointers: int, nearest: int | None = None) -> None:
        self.slots, self.pointers, self.nearest = slots, pointers, nearest
        self.prompted: dict[int, Memory] = {}
        self.tracked: dict[int, Memory] = {}

    def __len__(self) -> int:
        return len(self.prompted) + len(self.tracked)

    def copy(self) -> "MemoryBank":
        """A bank with the same memories, which changes independently."""
        bank = MemoryBank(slots=self.slots, pointers=self.pointers, nearest=self.nearest)
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
        before = {t: m for t, m in self.prompted.items() if t not in near} | self.tracked
        span = self.pointers if frames is None else min(frames, self.pointers)

        memories = [(0, m) for t, m in self.prompted.items() if t in near and m.tokens is not None]
        for ago in range(self.slots - 1, 0, -1):
            memory = before.get(frame - step * ago)
            if memory is not None and memory.tokens is not None:
                memories.append((ago, memory))
        pointers = [
            (step * (frame - t), m.pointer)
            for t, m in self.prompted.items()
            if t in near and step * (frame - t) >= 0
        ]
        for ago in range(1, span):
            memory = before.get(frame - step * ago)
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
        for t in list(self.tracked):
            # Frames ago, from the next frame and from where a pass in the other direction starts.
            ago = [step * (frame - t), *(step * (t - anchor) + 1 for anchor in anchors)]
            distance = min((a for a in ago if a > 0), default=self.pointers)
            if distance >= self.pointers:
                del self.tracked[t]
            elif distance >= self.slots and self.tracked[t].tokens is not None:
                self.tracked[t] = replace(self.tracked[t], tokens=None)
        if one_way:
            near = self._nearest(frame)
            for t in [t for t in self.prompted if t not in near and frame - t >= self.pointers]:
                del self.prompted[t]

    def _nearest(self, frame: int) -> set[int]:
        """The prompted frames that are attended to."""
        if self.nearest is None or len(self.prompted) <= self.nearest:
            return set(self.prompted)
        before = sorted(t for t in self.prompted if t < frame)[-1:]
        after = sorted(t for t in self.prompted if t >= frame)[:1]
        first = before + after  # the nearest of each side
        rest = sorted((t for t in self.prompted if t not in first), key=lambda t: abs(t - frame))
        return set((first + rest)[: self.nearest])
