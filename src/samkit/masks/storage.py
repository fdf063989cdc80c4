"""The two ways to hold the pixels of N masks: as pixels, or as run lengths."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samkit import rle
from samkit.geometry import mask_boxes


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Masks (N, H, W) bool, read-only."""

    masks: npt.NDArray[np.bool_]

    @property
    def image_size(self) -> tuple[int, int]:
        height, width = self.masks.shape[1:]
        return height, width

    def dense(self) -> npt.NDArray[np.bool_]:
        return self.masks

    def each(self) -> Iterator[npt.NDArray[np.bool_]]:
        """The masks (H, W) one after the other."""
        return iter(self.masks)

    def counts(self) -> tuple[bytes, ...]:
        return rle.encode(self.masks)

    def take(self, at: npt.NDArray[np.int64]) -> "Pixels":
        # A run of neighbours is a view: an image's worth of pixels per mask is not copied.
        if at.size and (np.diff(at) == 1).all():
            return Pixels(self.masks[int(at[0]) : int(at[-1]) + 1])
        chosen = self.masks[at]
        chosen.flags.writeable = False
        return Pixels(chosen)

    def boxes(self) -> npt.NDArray[np.float32]:
        return mask_boxes(self.masks)

    def areas(self) -> npt.NDArray[np.int64]:
        return np.array([np.count_nonzero(mask) for mask in self.masks], np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class RunLengths:
    """One string of run lengths per mask (see `samkit.rle`), all of one image size."""

    strings: tuple[bytes, ...]
    image_size: tuple[int, int]

    def dense(self) -> npt.NDArray[np.bool_]:
        masks = rle.decode(self.strings, self.image_size)
        masks.flags.writeable = False
        return masks

    def each(self) -> Iterator[npt.NDArray[np.bool_]]:
        """The masks (H, W) one after the other, each decoded when its turn comes."""
        return (rle.decode_one(one, self.image_size) for one in self.strings)

    def counts(self) -> tuple[bytes, ...]:
        return self.strings

    def take(self, at: npt.NDArray[np.int64]) -> "RunLengths":
        return RunLengths(tuple(self.strings[i] for i in at), self.image_size)

    def boxes(self) -> npt.NDArray[np.float32]:
        return rle.boxes(self.strings, self.image_size)

    def areas(self) -> npt.NDArray[np.int64]:
        return rle.areas(self.strings, self.image_size)


Storage = Pixels | RunLengths


def joined(parts: list[Storage]) -> Storage:
    """One storage after the other, as run lengths when any of them is."""
    if any(isinstance(part, RunLengths) for part in parts):
        strings = tuple(one for part in parts for one in part.counts())
        return RunLengths(strings, parts[0].image_size)
    masks = np.concatenate([part.dense() for part in parts])
    masks.flags.writeable = False
    return Pixels(masks)
