"""The two ways to hold the pixels of N masks: as pixels, or as run lengths."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from samkit import rle
from samkit.errors import InputError
from samkit.geometry import checked_size, mask_boxes
from samkit.limits import check_image_size, check_mask_size
from samkit.masks import checks

DENSE_BYTES = 2**28
"""Masks that take more bytes as pixels are held as run lengths by `hold`."""


Crop: TypeAlias = tuple[tuple[int, int], npt.NDArray[np.bool_]]
"""The corner (x, y) of a mask's tight box, and the mask in it, (h, w); empty: (0, 0)."""


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Masks (N, H, W) bool, read-only."""

    masks: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, i: int) -> npt.NDArray[np.bool_]:
        mask: npt.NDArray[np.bool_] = self.masks[i]
        return mask

    def __iter__(self) -> Iterator[npt.NDArray[np.bool_]]:
        return iter(self.masks)

    @property
    def image_size(self) -> tuple[int, int]:
        height, width = self.masks.shape[1:]
        return height, width

    def dense(self) -> npt.NDArray[np.bool_]:
        return self.masks

    def crops(self) -> Iterator[Crop]:
        for mask, box in zip(self.masks, self.boxes(), strict=True):
            x0, y0, x1, y1 = box.astype(int).tolist()
            yield (x0, y0), mask[y0:y1, x0:x1]

    def counts(self) -> tuple[bytes, ...]:
        return rle.encode(self.masks)

    def take(self, at: npt.NDArray[np.int64]) -> "Pixels":
        # A run of neighbours is a view: an image's worth of pixels per mask is not copied.
        if at.size and (np.diff(at) == 1).all():
            return Pixels(self.masks[int(at[0]) : int(at[-1]) + 1])
        return Pixels(checks.frozen(self.masks[at]))

    def boxes(self) -> npt.NDArray[np.float32]:
        return checks.frozen(mask_boxes(self.masks))

    def areas(self) -> npt.NDArray[np.int64]:
        return checks.frozen(np.array([np.count_nonzero(mask) for mask in self.masks], np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class RunLengths:
    """One string of run lengths per mask (see `samkit.rle`), all of one image size."""

    strings: tuple[bytes, ...]
    image_size: tuple[int, int]

    @staticmethod
    def checked(rles: Iterable[Mapping[str, Any]], image_size: tuple[int, int]) -> "RunLengths":
        """See `Masks.from_rle`."""
        size = checked_size(image_size, "image size")
        check_image_size(*size, "image size", InputError)
        each = checks.each("RLEs", rles)
        strings = (rle.checked_counts(one, size, f"RLE {i}") for i, one in enumerate(each))
        return RunLengths(tuple(strings), size)

    def __len__(self) -> int:
        return len(self.strings)

    def __getitem__(self, i: int) -> npt.NDArray[np.bool_]:
        return rle.decode_one(self.strings[i], self.image_size)

    def __iter__(self) -> Iterator[npt.NDArray[np.bool_]]:
        return (self[i] for i in range(len(self)))

    def dense(self) -> npt.NDArray[np.bool_]:
        check_mask_size(len(self), *self.image_size, "masks as pixels")
        return checks.frozen(rle.decode(self.strings, self.image_size))

    def crops(self) -> Iterator[Crop]:
        for one, box in zip(self.strings, self.boxes(), strict=True):
            x0, y0, x1, y1 = box.astype(int).tolist()
            yield (x0, y0), rle.decode_box(one, self.image_size, (x0, y0, x1, y1))

    def counts(self) -> tuple[bytes, ...]:
        return self.strings

    def take(self, at: npt.NDArray[np.int64]) -> "RunLengths":
        return RunLengths(tuple(self.strings[i] for i in at), self.image_size)

    def boxes(self) -> npt.NDArray[np.float32]:
        return checks.frozen(rle.boxes(self.strings, self.image_size))

    def areas(self) -> npt.NDArray[np.int64]:
        return checks.frozen(rle.areas(self.strings, self.image_size))


Storage: TypeAlias = Pixels | RunLengths
"""Masks (H, W), by position and one after the other; run lengths are decoded when asked for.

`crops` decodes in the boxes of the masks alone, as masks may be small and their image large.
"""


def hold(
    masks: Iterable[npt.NDArray[np.bool_]], count: int, image_size: tuple[int, int], total: int
) -> Storage:
    """See `Masks.from_pixels`; ``count`` is the number of scores."""
    size = checked_size(image_size, "image size")
    checked = _each_checked(masks, count, size)
    if total * size[0] * size[1] > DENSE_BYTES:
        return RunLengths(rle.encode(checked), size)
    pixels = np.empty((count, *size), np.bool_)
    for i, mask in enumerate(checked):
        pixels[i] = mask
    return Pixels(checks.frozen(pixels))


def _each_checked(
    masks: Iterable[npt.NDArray[np.bool_]], count: int, size: tuple[int, int]
) -> Iterator[npt.NDArray[np.bool_]]:
    """Check each mask (H, W), and at the end that there are ``count``."""
    number = 0
    for number, mask in enumerate(masks, 1):
        if number > count:
            break
        if not isinstance(mask, np.ndarray):
            raise InputError(f"expected masks as arrays, got {type(mask).__name__}")
        if mask.shape != size or mask.dtype != np.bool_:
            raise InputError(f"expected masks {size} of bool, got {mask.shape} of {mask.dtype}")
        yield mask
    if number != count:
        some = "more" if number > count else number
        raise InputError(f"expected as many masks as scores, {count}, got {some}")


def from_crops(crops: Iterable[Crop], image_size: tuple[int, int]) -> RunLengths:
    """Masks of an image from what they are in boxes of it."""
    strings = (
        rle.placed(rle.encode([mask])[0], (mask.shape[0], mask.shape[1]), corner, image_size)
        if mask.size
        else rle.encode_empty(image_size)
        for corner, mask in crops
    )
    return RunLengths(tuple(strings), image_size)


def placed(held: Storage, corner: tuple[int, int], image_size: tuple[int, int]) -> RunLengths:
    """Masks of a window of an image, as those of the image; see `Masks.placed`."""
    strings = (rle.placed(one, held.image_size, corner, image_size) for one in held.counts())
    return RunLengths(tuple(strings), image_size)


def without_overlaps(
    counts: Sequence[bytes], scores: npt.NDArray[np.float32], image_size: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], tuple[bytes, ...]]:
    """Masks (N,) that lose what better ones have: positions of those with pixels left, and these.

    Of equal scores the first is the better.
    """
    boxes = rle.boxes(counts, image_size).astype(np.int64)
    best_first = np.argsort(-scores, kind="stable")
    left: dict[int, bytes] = {}
    for rank, i in enumerate(best_first.tolist()):
        x0, y0, x1, y1 = boxes[i].tolist()
        better = best_first[:rank]
        meets = (boxes[better, :2] < (x1, y1)).all(1) & (boxes[better, 2:] > (x0, y0)).all(1)
        if not meets.any():
            left[i] = counts[i]
            continue
        mask = rle.decode_box(counts[i], image_size, (x0, y0, x1, y1))
        for j in better[meets].tolist():
            mask &= ~rle.decode_box(counts[j], image_size, (x0, y0, x1, y1))
        if mask.any():
            (left[i],) = from_crops([((x0, y0), mask)], image_size).strings
    at = [i for i in range(len(counts)) if i in left and boxes[i, 2] > boxes[i, 0]]
    return np.array(at, np.int64), tuple(left[i] for i in at)


def joined(parts: Sequence[Storage]) -> Storage:
    """One storage after the other, as run lengths when any of them is."""
    if any(isinstance(part, RunLengths) for part in parts):
        strings = tuple(one for part in parts for one in part.counts())
        return RunLengths(strings, parts[0].image_size)
    return Pixels(checks.frozen(np.concatenate([part.dense() for part in parts])))
