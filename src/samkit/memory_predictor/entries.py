"""Entries: remembered images, as immutable values."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samkit.image_predictor import ImageEmbedding
from samkit.memory.prediction import PromptedObject
from samkit.nn.memory import Memory, ReachableMemory

__all__ = ["Entry", "image_signature", "reachable_memory"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """One remembered image.

    Attributes:
        number: identifies the entry; numbers count up and are not used again.
        image_size: (height, width) in pixels.
        signature: of the image, as `image_signature` gives it.
        objects: object id -> the object here; only objects that were prompted here.
    """

    number: int
    image_size: tuple[int, int]
    signature: str
    objects: Mapping[int, PromptedObject]

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects that were prompted in this image, in the order of the prompts."""
        return tuple(self.objects)

    def __repr__(self) -> str:
        height, width = self.image_size
        ids = ", ".join(map(str, self.objects))
        return f"<Entry {self.number}: objects {ids} in an image {height} x {width}>"


def image_signature(embedding: ImageEmbedding) -> str:
    """A hash that is equal for the same image embedded by the same network."""
    digest = hashlib.sha256(str(embedding.image_size).encode())
    digest.update(embedding.features.embedding.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def reachable_memory(memories: Sequence[Memory], *, slots: int, pointers: int) -> ReachableMemory:
    """Memories of one object in reach from a new image.

    They count as the frames of a video in the order in which they were remembered: the first is
    the prompted frame, the last `slots - 1` have the temporal encoding of as many frames ago, and
    those between share the encoding of prompted frames.

    Args:
        memories: the oldest first; at least one.
        slots, pointers: as in `MemoryConfig`.
    """
    encoded, times = [], []
    for i, memory in enumerate(memories):
        ago = len(memories) - i
        encoded.append((ago if i and ago < slots else 0, memory))
        times.append((ago, memory.pointer))
    return ReachableMemory(memories=tuple(encoded), pointers=tuple(times), span=pointers)
