"""Masks of overlapping tiles to masks of their image: what a seam cuts is joined again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from samkit import rle
from samkit.geometry import Window
from samkit.masks import Masks

__all__ = ["SeamJoiner"]

# Parts of the masks of two tiles match where their IoU, in what both tiles see, is no less.
_SAME_PART = 0.5
# Two masks are of one object where matching parts are no less of one of them, in what both see.
_SAME_OBJECT = 0.5


class SeamJoiner:
    """Takes the masks of tiles one after the other, and gives what no later tile can change.

    Two tiles see the same pixels where they overlap. There the connected parts of their masks are
    compared; each matches one of the other tile at most, the most similar. Masks with matching
    parts are one object: its mask is their union, its score their mean, weighted by their areas.

    Args:
        tiles: of the image, in the order in which their masks come.
        image_size: (H, W).
    """

    def __init__(self, tiles: Sequence[Window], image_size: tuple[int, int]) -> None:
        self._tiles = np.array(tiles, np.int64).reshape(-1, 4)
        self._size = image_size
        self._open: list[_Object] = []
        self._given = 0

    def add(self, tile: int, masks: Masks) -> Masks:
        """Take the masks of a tile, in its pixels; a tile that is left out has none.

        Returns:
            The objects that are complete now, as masks of the image.
        """
        x, y = self._tiles[tile, :2].tolist()
        found = self._pieces(tile, masks.placed((x, y), self._size))
        self._open += [piece.owner for piece in found]
        for earlier in np.flatnonzero(_meet(self._tiles[:tile], self._tiles[tile])).tolist():
            before = [one for known in self._open for one in known.pieces if one.tile == earlier]
            for one, other in _same(before, found, _shared(*self._tiles[[earlier, tile]])):
                one.owner.take(other.owner)
        self._open = [one for one in self._open if one.pieces]
        complete = [one for one in self._open if one.last <= tile]
        self._open = [one for one in self._open if one.last > tile]
        return self._masks(complete)

    def _pieces(self, tile: int, masks: Masks) -> list[_Piece]:
        boxes, areas = masks.boxes.astype(np.int64), masks.areas.tolist()
        pieces = []
        for mask, box, area in zip(masks, boxes, areas, strict=True):
            if area:
                later = np.flatnonzero(_meet(self._tiles[tile + 1 :], box))
                last = tile + 1 + int(later[-1]) if len(later) else tile
                counts = mask.to_rle()[0]["counts"].encode()
                pieces.append(_Piece(tile, mask, counts, box, area, last))
        return pieces

    def _masks(self, objects: Sequence[_Object]) -> Masks:
        if not objects:
            return Masks.empty((1, 1)).placed((0, 0), self._size)
        largest = Masks.concatenate(
            max(one.pieces, key=lambda piece: piece.area).mask for one in objects
        )
        ids = np.arange(self._given, self._given + len(objects))
        self._given += len(objects)
        return Masks._from_counts(
            [one.counts(self._size) for one in objects],
            self._size,
            [one.score for one in objects],
            object_ids=ids,
            prompt_index=ids,
            stability=largest.stability,
            points=largest.points,
            crop_boxes=largest.crop_boxes,
        )


@dataclass(eq=False)
class _Piece:
    """A mask of one tile, in pixels of the image; `last` is the last tile that may see it."""

    tile: int
    mask: Masks
    counts: bytes
    box: npt.NDArray[np.int64]
    area: int
    last: int
    owner: _Object = field(init=False)

    def __post_init__(self) -> None:
        self.owner = _Object([self])


@dataclass(eq=False)
class _Object:
    """Pieces that are one object; none after it was taken by another."""

    pieces: list[_Piece]

    @property
    def last(self) -> int:
        return max(piece.last for piece in self.pieces)

    @property
    def score(self) -> float:
        scores = [float(piece.mask.scores[0]) for piece in self.pieces]
        return float(np.average(scores, weights=[piece.area for piece in self.pieces]))

    def counts(self, image_size: tuple[int, int]) -> bytes:
        if len(self.pieces) == 1:
            return self.pieces[0].counts
        return rle.union([piece.counts for piece in self.pieces], image_size)

    def take(self, other: _Object) -> None:
        if other is self:
            return
        for piece in other.pieces:
            piece.owner = self
        self.pieces += other.pieces
        other.pieces = []


@dataclass(frozen=True, eq=False)
class _Part:
    """A connected part of a piece in what two tiles see, of which the piece has `seen` pixels."""

    piece: _Piece
    box: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.bool_]
    area: int
    seen: int


def _same(
    before: Sequence[_Piece], found: Sequence[_Piece], shared: npt.NDArray[np.int64]
) -> Iterator[tuple[_Piece, _Piece]]:
    """Pairs of pieces of two tiles that are one object, by what they have in a box xyxy."""
    old, new = list(_parts(before, shared)), list(_parts(found, shared))
    boxes = np.array([part.box for part in new], np.int64).reshape(-1, 4)
    similar = []
    for i, part in enumerate(old):
        for j in np.flatnonzero(_meet(boxes, part.box)).tolist():
            iou = _iou(part, new[j])
            if iou >= _SAME_PART:
                similar.append((-iou, i, j))
    taken: set[tuple[bool, int]] = set()
    matching: dict[tuple[_Piece, _Piece], int] = {}
    limit: dict[tuple[_Piece, _Piece], int] = {}
    for _, i, j in sorted(similar):
        if (False, i) in taken or (True, j) in taken:
            continue
        taken |= {(False, i), (True, j)}
        pair = old[i].piece, new[j].piece
        matching[pair] = matching.get(pair, 0) + min(old[i].area, new[j].area)
        limit[pair] = min(old[i].seen, new[j].seen)
    return (pair for pair, area in matching.items() if area >= _SAME_OBJECT * limit[pair])


def _parts(pieces: Sequence[_Piece], shared: npt.NDArray[np.int64]) -> Iterator[_Part]:
    """The connected parts that pieces have in a box xyxy."""
    for piece in pieces:
        if not _meet(shared[None], piece.box)[0]:
            continue
        x0, y0, *_ = inside = _shared(shared, piece.box)
        mask = rle.decode_box(piece.counts, piece.mask.image_size, tuple(inside.tolist()))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8))
        seen = int(np.count_nonzero(mask))
        for number in range(1, count):
            left, top, width, height, area = stats[number].tolist()
            x, y = x0 + left, y0 + top
            pixels = labels[top : top + height, left : left + width] == number
            yield _Part(piece, np.array([x, y, x + width, y + height]), pixels, area, seen)


def _iou(one: _Part, other: _Part) -> float:
    x0, y0, x1, y1 = _shared(one.box, other.box)
    both = _cut(one, x0, y0, x1, y1) & _cut(other, x0, y0, x1, y1)
    common = int(np.count_nonzero(both))
    return common / (one.area + other.area - common)


def _cut(part: _Part, x0: int, y0: int, x1: int, y1: int) -> npt.NDArray[np.bool_]:
    left, top = part.box[:2]
    return part.pixels[y0 - top : y1 - top, x0 - left : x1 - left]


def _shared(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """What two boxes xyxy have in common."""
    return np.concatenate([np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])])


def _meet(boxes: npt.NDArray[np.int64], box: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(N,): which of the boxes (N, 4) xyxy have pixels in common with one."""
    return np.asarray(((boxes[:, :2] < box[2:]) & (box[:2] < boxes[:, 2:])).all(1))
