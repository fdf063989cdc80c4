"""COCO's compressed run lengths: (N, H, W) bool to N short byte strings and back.

A mask is read column by column, as runs of background and foreground in turn, the first one
background. Here ``counts`` is that string alone; the size of the image is kept once for all masks.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from samkit.errors import InputError, shown

BoolArray = npt.NDArray[np.bool_]

# pycocotools takes 40 bytes for each pixel of the outline, without asking whether it gets them.
_MOST_OUTLINE = 10**7


class RLE(TypedDict):
    """One mask as COCO files and pycocotools hold it."""

    size: list[int]
    """[height, width] in pixels."""
    counts: str
    """Compressed run lengths."""


def as_rle(counts: bytes, image_size: tuple[int, int]) -> RLE:
    """One mask's counts as COCO holds them."""
    return RLE(size=list(image_size), counts=counts.decode("ascii"))


def encode(masks: Iterable[BoolArray]) -> tuple[bytes, ...]:
    """Encode masks (H, W) one after the other; only one is copied at a time."""
    # cv2 transposes many times faster than numpy does.
    columns = (cv2.transpose(mask.view(np.uint8)).reshape(mask.shape[::-1]) for mask in masks)
    return tuple(coco.encode(one.T)["counts"] for one in columns)


def encode_empty(image_size: tuple[int, int]) -> bytes:
    """Encode a mask of no pixels."""
    return compress(np.array([image_size[0] * image_size[1]]), image_size)


def encode_labels(labels: npt.NDArray[Any], count: int) -> tuple[bytes, ...]:
    """Encode the masks ``labels == 1`` to ``labels == count`` of an integer array (H, W).

    All are found in one pass, whatever their number.
    """
    size = labels.shape[0], labels.shape[1]
    columns = labels.T.ravel()
    starts = np.concatenate([[0], np.flatnonzero(columns[1:] != columns[:-1]) + 1])
    ends = np.append(starts[1:], columns.size)
    values = columns[starts].astype(np.int64)
    order = np.argsort(values, kind="stable")
    first = np.searchsorted(values[order], np.arange(1, count + 2))
    encoded = []
    for i in range(count):
        own = order[first[i] : first[i + 1]]
        edges = np.stack([starts[own], ends[own]], axis=1).ravel()
        runs = np.diff(edges, prepend=0, append=columns.size)
        encoded.append(compress(runs[: len(runs) - (runs[-1] == 0)], size))
    return tuple(encoded)


def decode(counts: Sequence[bytes], image_size: tuple[int, int]) -> BoolArray:
    """Decode to (N, H, W) bool; one mask at a time is held twice."""
    masks = np.empty((len(counts), *image_size), np.bool_)
    for mask, one in zip(masks, counts, strict=True):
        mask[...] = decode_one(one, image_size)
    return masks


def decode_one(counts: bytes, image_size: tuple[int, int]) -> BoolArray:
    """Decode one mask to (H, W) bool."""
    # pycocotools' own decoder does the same, but warns in each call with numpy 2.
    height, width = image_size
    runs = _run_lengths(counts, "the mask")
    values = np.arange(runs.size, dtype=np.uint8) % 2
    columns = np.repeat(values, runs).reshape(width, height)
    mask: BoolArray = cv2.transpose(columns).reshape(height, width).view(np.bool_)
    return mask


def encode_polygons(outlines: Sequence[Any], image_size: tuple[int, int], what: str) -> bytes:
    """Encode what lies in any of some polygons: a pixel does if its centre does.

    Args:
        outlines: one or more, each a list x0, y0, x1, y1, ... in pixels from the image's corner.
        image_size: (height, width).
        what: the beginning of error messages.

    Raises:
        InputError: an outline is no polygon, lies far outside of the image, or is far too long.
    """
    checked = [_checked_outline(one, image_size, what) for one in outlines]
    counts: bytes = coco.merge(coco.frPyObjects(checked, *image_size))["counts"]
    return counts


def decode_box(
    counts: bytes, image_size: tuple[int, int], box: tuple[int, int, int, int]
) -> BoolArray:
    """Decode what one mask has in a box xyxy inside the image, in the memory of the box."""
    height, _ = image_size
    x0, y0, x1, y1 = box
    if x0 == x1 or y0 == y1:
        return np.zeros((y1 - y0, x1 - x0), np.bool_)
    starts, ends = _column_runs(_run_lengths(counts, "the mask"), height)
    columns = starts // height
    inside = (columns >= x0) & (columns < x1)
    starts, ends, columns = starts[inside], ends[inside], columns[inside]
    top, bottom = columns * height + y0, columns * height + y1
    starts, ends = np.clip(starts, top, bottom), np.clip(ends, top, bottom)
    filled = starts < ends
    shift = ((columns - x0) * (y1 - y0) - top)[filled]
    steps = np.zeros((x1 - x0) * (y1 - y0) + 1, np.int8)
    np.add.at(steps, starts[filled] + shift, 1)
    np.add.at(steps, ends[filled] + shift, -1)
    within = np.cumsum(steps[:-1], dtype=np.int8).view(np.uint8).reshape(x1 - x0, y1 - y0)
    mask: BoolArray = cv2.transpose(within).reshape(y1 - y0, x1 - x0).view(np.bool_)
    return mask


def placed(
    counts: bytes, size: tuple[int, int], corner: tuple[int, int], image_size: tuple[int, int]
) -> bytes:
    """The counts of a mask of size (h, w) in an image (H, W), its top left corner at (x, y)."""
    height, total = image_size[0], image_size[0] * image_size[1]
    x, y = corner
    starts, ends = _column_runs(_run_lengths(counts, "the mask"), size[0])
    shift = (starts // size[0] + x) * height + y - starts // size[0] * size[0]
    edges = np.stack([starts + shift, ends + shift], axis=1).ravel()
    # Where a run ends at the bottom and the next one begins at the top, they are one.
    joints = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
    edges = np.delete(edges, np.concatenate([joints, joints + 1]))
    runs = np.diff(edges, prepend=0, append=total)
    return compress(runs[: len(runs) - (runs[-1] == 0 and len(runs) > 1)], image_size)


def union(counts: Sequence[bytes], image_size: tuple[int, int]) -> bytes:
    """The counts of what any of the masks has."""
    merged: bytes = coco.merge([_coco(one, image_size) for one in counts])["counts"]
    return merged


def _column_runs(
    runs: npt.NDArray[np.int64], height: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where runs of foreground start and end, cut where a column ends."""
    edges = np.cumsum(runs)
    starts, ends = edges[0:-1:2], edges[1::2]
    filled = ends > starts
    starts, ends = starts[filled], ends[filled]
    pieces = (ends - 1) // height - starts // height + 1
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    column = np.repeat(starts // height, pieces) + number
    return (
        np.maximum(np.repeat(starts, pieces), column * height),
        np.minimum(np.repeat(ends, pieces), (column + 1) * height),
    )


def run_lengths(counts: str) -> list[int]:
    """Compressed counts, unpacked: pixels of background and of foreground in turn."""
    lengths: list[int] = _run_lengths(counts.encode("ascii"), "the mask").tolist()
    return lengths


def areas(counts: Sequence[bytes], image_size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Count the pixels of each mask, (N,), without decoding."""
    return np.array([int(coco.area(_coco(one, image_size))) for one in counts], np.int64)


def boxes(counts: Sequence[bytes], image_size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Tight boxes (N, 4) xyxy with the far edge exclusive, without decoding; empty: zeros."""
    # pycocotools gives wrong ones where a run of foreground has no pixels.
    height, found = image_size[0], np.zeros((len(counts), 4), np.float32)
    for box, one in zip(found, counts, strict=True):
        starts, ends = _column_runs(_run_lengths(one, "the mask"), height)
        if len(starts):
            top, bottom = (starts % height).min(), ((ends - 1) % height).max() + 1
            box[:] = starts[0] // height, top, starts[-1] // height + 1, bottom
    return found


def checked_counts(rle: Mapping[str, Any], image_size: tuple[int, int], name: str) -> bytes:
    """The compressed counts of an RLE from outside, after checking all of it.

    pycocotools reads past its buffers when the sum of the counts is wrong, so nothing may reach
    it unchecked.

    Args:
        rle: ``size`` [height, width], and ``counts`` as a string, bytes or a list of run lengths.
        image_size: (height, width) that it has to have.
        name: what error messages call it.

    Raises:
        InputError: something is missing, of another size, or damaged.
    """
    if not isinstance(rle, Mapping) or not {"size", "counts"} <= rle.keys():
        raise InputError(f"expected {name} to be a dict with 'size' and 'counts', got {shown(rle)}")
    size, counts = rle["size"], rle["counts"]
    height, width = image_size
    if not isinstance(size, (list, tuple, np.ndarray)) or not np.array_equal(size, image_size):
        raise InputError(f"expected {name} of size [{height}, {width}], got {shown(size)}")
    if isinstance(counts, str):
        counts = counts.encode("utf-8", "surrogatepass")  # which are no run lengths
    if isinstance(counts, bytes):
        runs = _run_lengths(counts, name)
    else:
        runs = _plain_run_lengths(counts, name)
    pixels = height * width
    if pixels > np.iinfo(np.uint32).max:
        raise InputError(f"expected {name} of at most 2**32 - 1 pixels, got {height} x {width}")
    # The limit of each keeps the sum from wrapping round to the right number.
    if runs.min(initial=0) < 0 or runs.max(initial=0) > pixels or int(runs.sum()) != pixels:
        raise InputError(
            f"expected run lengths of {name} that fill {height} x {width} pixels, got lengths "
            f"{runs.min(initial=0)} to {runs.max(initial=0)} with the sum {runs.sum()}"
        )
    return counts if isinstance(counts, bytes) else compress(runs, image_size)


def compress(runs: npt.NDArray[np.int64], image_size: tuple[int, int]) -> bytes:
    """Compress run lengths that fill the image."""
    plain = {"size": list(image_size), "counts": runs.tolist()}
    counts: bytes = coco.frPyObjects(plain, *image_size)["counts"]
    return counts


def _checked_outline(outline: Any, size: tuple[int, int], what: str) -> list[float]:
    """Numbers x0, y0, x1, y1, ...; checked, because pycocotools trusts them."""
    try:
        numbers = np.asarray(outline, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.zeros(0)
    if numbers.ndim != 1 or len(numbers) < 6 or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise InputError(f"{what}: an outline is not a polygon: {outline!r:.80}")
    if np.abs(numbers).max() > 100 * max(size):
        raise InputError(f"{what}: a polygon lies far outside of its image: {outline!r:.80}")
    points = numbers.reshape(-1, 2)
    length = np.abs(points - np.roll(points, 1, axis=0)).max(1).sum()
    if length > _MOST_OUTLINE:
        raise InputError(
            f"{what}: expected an outline of at most {_MOST_OUTLINE} pixels, got {length:.0f}"
        )
    corners: list[float] = numbers.tolist()
    return corners


def _plain_run_lengths(counts: object, name: str) -> npt.NDArray[np.int64]:
    try:
        runs = np.asarray(counts) if isinstance(counts, (list, tuple, np.ndarray)) else None
    except (TypeError, ValueError, RuntimeError, OverflowError):  # ragged lists, other tensors
        runs = None
    if runs is None or runs.ndim != 1 or not np.issubdtype(runs.dtype, np.integer):
        got = type(counts).__name__ if runs is None else f"{runs.dtype} of shape {runs.shape}"
        raise InputError(
            f"expected the counts of {name} as a string or a list of integers, got {got}"
        )
    return runs.astype(np.int64)


def _run_lengths(counts: bytes, name: str) -> npt.NDArray[np.int64]:
    """Unpack compressed counts.

    Each number is a little-endian chain of 5-bit groups in characters from 48 on, where bit 32
    means that another group follows and the highest bit of the last group is the sign. From the
    fourth number on, the difference to the number two places before is stored.
    """
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        return codes
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise InputError(f"the counts of {name} are not compressed run lengths, or are cut off")
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:  # 35 bits are more than any image has pixels
        raise InputError(f"the counts of {name} hold a number that is too large")
    places = np.arange(codes.size) - np.repeat(starts, lengths)
    runs = np.add.reduceat((codes & 31) << (5 * places), starts)
    runs -= np.where(codes[ends] & 16, 1 << (5 * lengths), 0)
    for chain in (runs[1::2], runs[2::2]):
        np.cumsum(chain, out=chain)
    return runs


def _coco(counts: bytes, image_size: tuple[int, int]) -> dict[str, Any]:
    return {"size": list(image_size), "counts": counts}
