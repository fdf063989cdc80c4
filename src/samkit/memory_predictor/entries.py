"""What is remembered of images: values that are never changed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samkit.image_predictor import ImageEmbedding
from samkit.memory.bank import Memory
from samkit.nn.memory import ObjectPrediction, ReachableMemory
from samkit.prompts import Prompt

__all__ = ["Entry", "Sighting", "image_signature", "reachable_memory"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """One object in one remembered image.

    Attributes:
        clicks: the points and the box that count, which further clicks add to; None after a mask.
        found: what the network made of them, a batch of one.
        memory: what other images are compared with.
        recalled: the prompt corrected what was found with the memory of other images.
    """

    clicks: Prompt | None
    found: ObjectPrediction
    memory: Memory
    recalled: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """One remembered image.

    Attributes:
        number: names the entry; numbers count up and are not used again.
        image_size: (height, width) in pixels.
        signature: tells whether an image is this one.
        sightings: object id -> what is known of it here; only objects that were prompted here.
    """

    number: int
    image_size: tuple[int, int]
    signature: str
    sightings: Mapping[int, Sighting]

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects that were prompted in this image, in the order of the prompts."""
        return tuple(self.sightings)

    def __repr__(self) -> str:
        height, width = self.image_size
        ids = ", ".join(map(str, self.sightings))
        return f"<Entry {self.number}: objects {ids} in an image {height} x {width}>"


def image_signature(embedding: ImageEmbedding) -> str:
    """Equal for the same image seen by the same network."""
    digest = hashlib.sha256(str(embedding.image_size).encode())
    digest.update(embedding.features.embedding.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def reachable_memory(memories: Sequence[Memory], *, slots: int, pointers: int) -> ReachableMemory:
    """Memories of one object as seen from the image that comes after them.

    They are like the frames of a video in the order in which they were remembered: the first is
    the prompted frame, up to `slots - 1` recent ones each have the temporal code of as many frames
    ago, and those between share the code of prompted frames, which is that of no time.

    Args:
        memories: the oldest first; at least one.
        slots, pointers: as in `MemoryConfig`.
    """
    maps, times = [], []
    for i, memory in enumerate(memories):
        assert memory.map is not None
        ago = len(memories) - i
        maps.append((ago if i and ago < slots else 0, memory.map))
        times.append((ago, memory.pointer))
    return ReachableMemory(memories=tuple(maps), pointers=tuple(times), span=pointers)
