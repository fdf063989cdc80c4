"""`Masks`: what every prediction returns."""

from __future__ import annotations

import dataclasses
import importlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from samkit import rle
from samkit.errors import InputError, MissingDependencyError
from samkit.geometry import checked_size
from samkit.masks import checks, contours, drawing, formats
from samkit.masks.fields import Fields
from samkit.masks.storage import Pixels, RunLengths, Storage, hold, joined
from samkit.media import ImageSource, read_image, write_image


class Masks:
    """Masks of one image with their scores and ids. Immutable: its arrays are read-only.

    They are held as pixels or as run lengths (`compressed`), with the same results either way;
    run lengths take far less memory.

    >>> masks = Masks(np.ones((2, 4, 6), bool), [0.5, 0.9])
    >>> masks[masks.scores > 0.8].boxes.tolist()
    [[0.0, 0.0, 6.0, 4.0]]

    Args:
        masks: (N, H, W) bool, or integers 0 and 1. Copied, unless it is a read-only bool array
            (``array.flags.writeable = False``).
        scores: (N,) predicted IoU, finite.
        object_ids: (N,) integers; 0, 1, 2, ... by default.
        prompt_index: (N,) integers, the prompt of each mask; 0, 1, 2, ... by default.
        presence: (N,) finite; in video, how certain it is that the object is in the frame.
        stability, points, crop_boxes: (N,), (N, 2) and (N, 4) finite, of everything mode; see the
            properties of these names.
        boxes: (N, 4) xyxy in pixels; by default the tight boxes of the masks.
        logits: (N, h, w) low-resolution logits in the model's frame, which ``prior=`` takes.

    Raises:
        InputError: a shape, type or value does not fit.
    """

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
        presence: npt.ArrayLike | None = None,
        stability: npt.ArrayLike | None = None,
        points: npt.ArrayLike | None = None,
        crop_boxes: npt.ArrayLike | None = None,
        boxes: npt.ArrayLike | None = None,
        logits: npt.ArrayLike | None = None,
    ) -> None:
        given = {
            "object_ids": object_ids,
            "prompt_index": prompt_index,
            "presence": presence,
            "stability": stability,
            "points": points,
            "crop_boxes": crop_boxes,
            "boxes": boxes,
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
    ) -> Masks:
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
    ) -> Masks:
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
    ) -> Masks:
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
        count = len(scores)
        held = hold(masks, count, image_size, count if total is None else total)
        return cls._of(held, scores, fields)

    @classmethod
    def empty(cls, image_size: tuple[int, int]) -> Masks:
        """No masks of an image of size (height, width)."""
        return cls(np.zeros((0, *checked_size(image_size, "image size")), np.bool_), ())

    @classmethod
    def concatenate(cls, parts: Iterable[Masks]) -> Masks:
        """Join the masks of one image in the given order.

        The result is compressed when any part is. Ids and prompt indices are not changed. Optional
        fields are kept when every part with masks has them (and all logits are of one size), and
        are None otherwise.

        Raises:
            InputError: no part, something that is not `Masks`, or images of different sizes.
        """
        parts = list(parts)
        for part in parts:
            if not isinstance(part, Masks):
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
        """(N,) float32, the IoU that the model predicts for each mask."""
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
    def presence(self) -> npt.NDArray[np.float32] | None:
        """(N,) float32 in video, else None."""
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

    def compressed(self) -> Masks:
        """The same masks held as run lengths."""
        if self.is_compressed:
            return self
        counts = RunLengths(self._storage.counts(), self.image_size)
        return self._with(counts, self._fields)

    def without_logits(self) -> Masks:
        """The same masks without their low-resolution logits, to save memory."""
        return self._with(self._storage, dataclasses.replace(self._fields, logits=None))

    def __len__(self) -> int:
        return len(self._fields.scores)

    def __getitem__(self, index: Any) -> Masks:
        """Select by int (one mask), slice, bool array (N,), or int array or list (M,).

        Raises:
            IndexError: out of range, or not one of these.
        """
        at = checks.positions(index, len(self))
        return self._with(self._storage.take(at), self._fields.take(at))

    def __iter__(self) -> Iterator[Masks]:
        return (self[i] for i in range(len(self)))

    def best(self) -> Masks:
        """The mask with the highest score of each prompt, in the order the prompts first appear."""
        best: dict[int, int] = {}
        for i, prompt in enumerate(self.prompt_index.tolist()):
            if self.scores[i] > self.scores[best.setdefault(prompt, i)]:
                best[prompt] = i
        return self[list(best.values())]

    def to_rle(self) -> list[rle.RLE]:
        """Each mask as COCO RLE: ``{"size": [height, width], "counts": str}``."""
        return [rle.as_rle(counts, self.image_size) for counts in self._storage.counts()]

    def polygons(self, epsilon: float = 0.0) -> list[list[contours.Ring]]:
        """The outer contours of each mask: a list of rings (K, 2) float32 xy per mask.

        Vertices lie on pixel corners; holes are lost (see `contours.outer_contours`).

        Args:
            epsilon: how far, in pixels, a ring may be simplified; 0 is exact.

        Raises:
            InputError: ``epsilon`` is negative or not finite.
        """
        pixels = checks.number("epsilon", epsilon, most=None)
        return [contours.outer_contours(mask, pixels) for mask in self._storage]

    def to_coco(
        self, image_id: int = 1, category_id: int = 1, *, first_id: int = 1
    ) -> list[dict[str, Any]]:
        """Each mask as a COCO annotation with RLE, xywh box, area, score and our ids.

        ``first_id`` is the id of the first annotation; the others count up from it.

        Raises:
            InputError: an id is no whole number.
        """
        given = {"image_id": image_id, "category_id": category_id, "first_id": first_id}
        ids = {name: checks.whole(name, value) for name, value in given.items()}
        return formats.to_coco(self._storage, self._fields, **ids)

    def to_supervision(self) -> Any:
        """The masks as ``supervision.Detections``, with object ids as tracker ids.

        Raises:
            MissingDependencyError: supervision is not installed.
        """
        try:
            supervision = importlib.import_module("supervision")
        except ImportError as error:
            raise MissingDependencyError(
                "to_supervision needs the package supervision: pip install supervision"
            ) from error
        return supervision.Detections(
            xyxy=self.boxes.copy(),
            mask=self.masks.copy(),
            confidence=self.scores.copy(),
            tracker_id=self.object_ids.copy(),
            data={"prompt_index": self.prompt_index.copy()},
        )

    def overlay(
        self,
        image: ImageSource,
        *,
        alpha: float = 0.5,
        outline: bool = True,
        boxes: bool = False,
        labels: bool = False,
    ) -> npt.NDArray[np.uint8]:
        """Draw the masks on their image, in one colour per object id, the best score on top.

        Args:
            image: what `read_image` takes, of the size of the masks; not changed.
            alpha: 0 (the image alone) to 1 (the colours alone).
            outline: draw the rim of each mask in full colour.
            boxes: draw the box of each mask that is not empty.
            labels: write the object id and the score at the box.

        Returns:
            (H, W, 3) uint8 RGB.

        Raises:
            InputError: the image has another size, or ``alpha`` is out of range.
        """
        alpha = checks.number("alpha", alpha, most=1)
        picture = read_image(image)
        if picture.shape[:2] != self.image_size:
            raise InputError(
                f"expected an image of the size of the masks {self.image_size} (height, width), "
                f"got {picture.shape[:2]}"
            )
        drawing.draw(
            picture,
            self._storage,
            self._fields,
            alpha=alpha,
            outline=outline,
            boxes=boxes,
            labels=labels,
        )
        return picture

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        image: ImageSource | None = None,
    ) -> None:
        """Write the masks to a file, whole or not at all.

        - ``png`` (.png): one mask as black and white (0, 255), none or several as an indexed
          picture where mask i has the value i + 1 and the best score is on top; 16-bit grey from
          256 masks on. Covered pixels are lost (for masks that overlap use npz or coco); scores
          and ids are kept in a text chunk.
        - ``overlay`` (.png, .jpg, .jpeg, .webp, .bmp, .tif, .tiff): the picture of `overlay`.
        - ``coco`` (.json): a COCO data set of one image with RLE annotations. Where ``image`` is a
          path its name becomes the file name. Logits are lost.
        - ``jsonl`` (.jsonl): the annotations of ``coco``, one a line with the file name. Cannot be
          loaded.
        - ``npz`` (.npz): everything, exactly.
        - ``polygons`` (.json): the exact rings of `polygons`, ids and scores. Cannot be loaded.

        Without ``format`` the suffix decides: .json is ``coco``, .npz is ``npz``, and a picture is
        ``overlay`` when an image is given, else ``png``.

        Raises:
            InputError: unknown format, a suffix that does not fit it, an overlay without its
                image, or a place that cannot be written.
        """
        name = formats.format_of(path, format, has_image=image is not None)
        if name == "overlay":
            write_image(path, self.overlay(image))
        else:
            formats.save(self._storage, self._fields, path, name, image)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Masks:
        """Read masks that `save` wrote as ``npz``, ``coco`` or ``png``.

        A COCO file of another program is read when it has one image and RLE annotations, a PNG
        when it is black and white (one mask) or indexed; missing scores become 1.

        Raises:
            InputError: missing, damaged, or not such a file.
        """
        return cls._with(*formats.load(path))

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

    def _repr_png_(self) -> bytes:
        """A picture for notebooks, on a dark ground."""
        ground = np.full((*self.image_size, 3), 24, np.uint8)
        image = Image.fromarray(self.overlay(ground, alpha=0.8))
        image.thumbnail((800, 800))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by default: unpickled and copied arrays would be writable.
        return _restored, (self._storage, self._fields)

    @classmethod
    def _of(
        cls, held: Storage, scores: npt.ArrayLike, fields: Mapping[str, npt.ArrayLike | None]
    ) -> Masks:
        return cls._with(held, Fields.checked(len(held), scores, fields))

    @classmethod
    def _with(cls, held: Storage, fields: Fields) -> Masks:
        masks = cls.__new__(cls)
        masks._storage, masks._fields = held, fields
        return masks


def _restored(held: Storage, fields: Fields) -> Masks:
    if isinstance(held, Pixels):
        checks.frozen(held.masks)
    for array in fields.arrays().values():
        checks.frozen(array)
    return Masks._with(held, fields)
