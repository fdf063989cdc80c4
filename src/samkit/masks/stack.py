"""N masks of one image and the arrays that go with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samkit import rle
from samkit.arguments import whole_number
from samkit.errors import InputError, shown
from samkit.geometry import checked_size, checked_window
from samkit.masks import checks
from samkit.masks.fields import Fields
from samkit.masks.storage import Pixels, RunLengths, Storage, hold, joined, placed

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MaskStack"]


class MaskStack:
    """What `Masks` holds: how it is made, its arrays, and how masks are chosen and joined."""

    __slots__ = ("_fields", "_storage")
    _fields: Fields
    _storage: Storage

    def __init__(
        self,
        masks: npt.ArrayLike,
        scores: npt.ArrayLike,
        *,
        object_ids: npt.ArrayLike | None = None,
        prompt_index: npt.ArrayLike | None = None,
        candidates: npt.ArrayLike | None = None,
        presence: npt.ArrayLike | None = None,
        stability: npt.ArrayLike | None = None,
        points: npt.ArrayLike | None = None,
        crop_boxes: npt.ArrayLike | None = None,
        boxes: npt.ArrayLike | None = None,
        names: npt.ArrayLike | None = None,
        logits: npt.ArrayLike | None = None,
    ) -> None:
        given = {
            "object_ids": object_ids,
            "prompt_index": prompt_index,
            "candidates": candidates,
            "presence": presence,
            "stability": stability,
            "points": points,
            "crop_boxes": crop_boxes,
            "boxes": boxes,
            "names": names,
            "logits": logits,
        }
        self._storage = Pixels(checks.mask_stack(masks))
        self._fields = Fields.checked(len(self._storage), scores, given)

    @classmethod
    def from_rle(
        cls,
        rles: Iterable[rle.RLE | Mapping[str, Any]],
        image_size: tuple[int, int],
        scores: npt.ArrayLike,
        **fields: npt.ArrayLike | None,
    ) -> Self:
        """Masks from COCO RLE, with ``counts`` as str, bytes or a list of run lengths.

        ``image_size`` is (height, width); scores and fields are as for ``Masks(...)``.

        Raises:
            InputError: an RLE is damaged or of another size, or a field does not fit.
        """
        return cls._of(RunLengths.checked(rles, image_size), scores, fields)

    @classmethod
    def _from_counts(
        cls,
        counts: Iterable[bytes],
        image_size: tuple[int, int],
        scores: npt.ArrayLike,
        **fields: npt.ArrayLike | None,
    ) -> Self:
        """Masks from run lengths made by `samkit.rle`: as `from_rle`, but without checks."""
        return cls._of(RunLengths(tuple(counts), image_size), scores, fields)

    @classmethod
    def from_pixels(
        cls,
        masks: Iterable[npt.NDArray[np.bool_]],
        image_size: tuple[int, int],
        scores: Sequence[float] | npt.NDArray[Any],
        *,
        total: int | None = None,
        **fields: npt.ArrayLike | None,
    ) -> Self:
        """Masks from arrays (H, W) bool that come one after the other: only one is held twice.

        Where they would take more than 256 MB as pixels, they are held as run lengths.

        Args:
            masks: as many as there are scores.
            image_size: (height, width).
            scores, fields: as for ``Masks(...)``.
            total: the number of masks together with those that they will be concatenated with,
                all of which count for the 256 MB.

        Raises:
            InputError: a mask has another shape or type, or a field does not fit.
        """
        scores = checks.numbers("scores", scores)
        count = scores.size
        most = count if total is None else whole_number("total", total, 0)
        held = hold(checks.each("masks", masks), count, image_size, most)
        return cls._of(held, scores, fields)

    @classmethod
    def empty(cls, image_size: tuple[int, int]) -> Self:
        """No masks of an image of size (height, width)."""
        return cls(np.zeros((0, *checked_size(image_size, "image size")), np.bool_), ())

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """Join the masks of one image in the given order.

        The result is compressed when any part is. Ids and prompt indices are not changed. Optional
        fields are kept when every part with masks has them (and all logits are of one size), and
        are None otherwise.

        Raises:
            InputError: no part, something that is not `Masks`, or images of different sizes.
        """
        parts = list(checks.each("parts", parts))
        for part in parts:
            if not isinstance(part, MaskStack):
                raise InputError(f"expected Masks to concatenate, got {type(part).__name__}")
        sizes = sorted({part.image_size for part in parts})
        if len(sizes) != 1:
            raise InputError(f"expected Masks of one image size to concatenate, got {sizes}")
        filled = [part for part in parts if len(part)] or parts[:1]
        whole = filled[0]
        if len(filled) > 1:
            fields = [part._fields for part in filled]
            if any(one.boxes is not None for one in fields):  # the boxes of some may be given ones
                fields = [dataclasses.replace(part._fields, boxes=part.boxes) for part in filled]
            whole = cls._with(joined([part._storage for part in filled]), Fields.joined(fields))
        return whole.compressed() if any(part.is_compressed for part in parts) else whole

    @property
    def masks(self) -> npt.NDArray[np.bool_]:
        """(N, H, W) bool. When compressed, decoded at each access."""
        return self._storage.dense()

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """(N,) float32, the IoU that the model predicts for each mask; of what `find` found, how
        probable it is, or was when it was found, that it is an object of its concept."""
        return self._fields.scores

    @property
    def boxes(self) -> npt.NDArray[np.float32]:
        """(N, 4) float32 xyxy in pixels, far edges exclusive; zeros for an empty mask."""
        boxes = self._fields.boxes_of(self._storage)
        if self._fields.boxes is None:  # kept for the next time
            self._fields = dataclasses.replace(self._fields, boxes=boxes)
        return boxes

    @property
    def areas(self) -> npt.NDArray[np.int64]:
        """(N,) int64, pixels of each mask; counted at each access."""
        return self._storage.areas()

    @property
    def object_ids(self) -> npt.NDArray[np.int64]:
        """(N,) int64, the object of each mask."""
        return self._fields.object_ids

    @property
    def prompt_index(self) -> npt.NDArray[np.int64]:
        """(N,) int64, the prompt that each mask answers."""
        return self._fields.prompt_index

    @property
    def candidates(self) -> npt.NDArray[np.int64] | None:
        """(N,) int64 from 0, which of its prompt's proposals each mask is, or None."""
        return self._fields.candidates

    @property
    def presence(self) -> npt.NDArray[np.float32] | None:
        """(N,) float32 0..1 in video, and of `ImagePredictor.find`, else None: how probable it is
        that the object, or any object of the concept, is there."""
        return self._fields.presence

    @property
    def stability(self) -> npt.NDArray[np.float32] | None:
        """(N,) float32 0..1 in everything mode, else None: how little a mask depends on where its
        logits are cut."""
        return self._fields.stability

    @property
    def points(self) -> npt.NDArray[np.float32] | None:
        """(N, 2) float32 xy in pixels in everything mode, else None: the point of each mask."""
        return self._fields.points

    @property
    def crop_boxes(self) -> npt.NDArray[np.float32] | None:
        """(N, 4) float32 xyxy in pixels in everything mode, else None: the part of the image in
        which each mask was found."""
        return self._fields.crop_boxes

    @property
    def names(self) -> npt.NDArray[np.str_] | None:
        """(N,) texts of what `find` found, in images or video, else None: the concept of each
        mask."""
        return self._fields.names

    @property
    def logits(self) -> npt.NDArray[np.float32] | None:
        """(N, h, w) float32 low-resolution logits in the model's frame, or None."""
        return self._fields.logits

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self._storage.image_size

    @property
    def is_compressed(self) -> bool:
        """Whether the masks are held as run lengths."""
        return isinstance(self._storage, RunLengths)

    def compressed(self) -> Self:
        """The same masks held as run lengths."""
        if self.is_compressed:
            return self
        counts = RunLengths(self._storage.counts(), self.image_size)
        return self._with(counts, self._fields)

    def without_logits(self) -> Self:
        """The same masks without their low-resolution logits, to save memory."""
        return self._with(self._storage, dataclasses.replace(self._fields, logits=None))

    def with_object_ids(self, object_ids: npt.ArrayLike) -> Self:
        """The same masks of other objects.

        Raises:
            InputError: these are not as many whole numbers as masks.
        """
        ids = checks.identifiers("object_ids", object_ids, len(self))
        return self._with(self._storage, dataclasses.replace(self._fields, object_ids=ids))

    def with_pixels(self, masks: Iterable[npt.NDArray[np.bool_]]) -> Self:
        """The same objects with other masks (H, W), one for each; boxes are those of the new ones.

        Raises:
            InputError: these are not as many masks, or of another size.
        """
        changed = hold(masks, len(self), self.image_size, len(self))
        new = self._with(changed, dataclasses.replace(self._fields, boxes=None))
        return new.compressed() if self.is_compressed else new

    def placed(self, corner: tuple[int, int], image_size: tuple[int, int]) -> Self:
        """The masks of a window, as masks of the image of which it is a part.

        Args:
            corner: (x, y) in the image of the window's top left corner.
            image_size: (height, width) of the image, of fewer than 2^32 pixels.

        Returns:
            The same masks as run lengths, which take no more memory for a larger image, with boxes
            and points in its pixels; without logits, which are of the window.

        Raises:
            InputError: the masks do not lie inside the image, or it is too large.
        """
        size = checked_size(image_size, "image size")
        if size[0] * size[1] > np.iinfo(np.uint32).max:
            raise InputError(
                f"image size: expected fewer than 2^32 pixels, got {size[0]} x {size[1]}"
            )
        (height, width), at = self.image_size, checks.numbers("corner", corner)
        if at.shape != (2,) or not np.array_equal(at, at.round()):
            raise InputError(f"corner: expected (x, y) in whole pixels, got {shown(corner)}")
        x, y = int(at[0]), int(at[1])
        checked_window((x, y, x + width, y + height), size)
        return self._with(placed(self._storage, (x, y), size), self._fields.moved(x, y))

    def __len__(self) -> int:
        return len(self._fields.scores)

    def __getitem__(self, index: Any) -> Self:
        """Select by int (one mask), slice, bool array (N,), or int array or list (M,).

        Raises:
            IndexError: out of range, or not one of these.
        """
        at = checks.positions(index, len(self))
        return self._with(self._storage.take(at), self._fields.take(at))

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def best(self) -> Self:
        """The mask with the highest score of each prompt, in the order the prompts first appear."""
        best: dict[int, int] = {}
        for i, prompt in enumerate(self.prompt_index.tolist()):
            if self.scores[i] > self.scores[best.setdefault(prompt, i)]:
                best[prompt] = i
        return self[list(best.values())]

    def __repr__(self) -> str:
        height, width = self.image_size
        scores = ""
        if len(self) == 1:
            scores = f", score {self.scores[0]:.2f}"
        elif len(self):
            scores = f", scores {self.scores.min():.2f} to {self.scores.max():.2f}"
        noun = "mask" if len(self) == 1 else "masks"
        how = ", compressed" if self.is_compressed else ""
        return f"<{len(self)} {noun} of {height} x {width} (height x width){scores}{how}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by default: unpickled and copied arrays would be writable.
        return _restored, (type(self), self._storage, self._fields)

    @classmethod
    def _of(
        cls, held: Storage, scores: npt.ArrayLike, fields: Mapping[str, npt.ArrayLike | None]
    ) -> Self:
        return cls._with(held, Fields.checked(len(held), scores, fields))

    @classmethod
    def _with(cls, held: Storage, fields: Fields) -> Self:
        masks = cls.__new__(cls)
        masks._storage, masks._fields = held, fields
        return masks


def _restored(cls: type[MaskStack], held: Storage, fields: Fields) -> MaskStack:
    if isinstance(held, Pixels):
        checks.frozen(held.masks)
    for array in fields.arrays().values():
        checks.frozen(array)
    return cls._with(held, fields)
