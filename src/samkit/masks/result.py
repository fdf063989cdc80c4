"""`Masks`: what every prediction returns."""

from __future__ import annotations

import importlib
import io
import os
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from samkit import rle
from samkit.arguments import switch, whole_number
from samkit.errors import InputError, MissingDependencyError
from samkit.masks import checks, contours, drawing, formats
from samkit.masks.stack import MaskStack
from samkit.media import ImageSource, read_image, write_image


class Masks(MaskStack):
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

    __slots__ = ()

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
        ids = {"image_id": image_id, "category_id": category_id, "first_id": first_id}
        whole = [whole_number(name, value) for name, value in ids.items()]
        return formats.to_coco(self._storage, self._fields, *whole)

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
            InputError: the image has another size, ``alpha`` is out of range, or a switch is
                neither True nor False.
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
            outline=switch("outline", outline),
            boxes=switch("boxes", boxes),
            labels=switch("labels", labels),
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

    def _repr_png_(self) -> bytes:
        """A picture for notebooks, on a dark ground."""
        ground = np.full((*self.image_size, 3), 24, np.uint8)
        image = Image.fromarray(self.overlay(ground, alpha=0.8))
        image.thumbnail((800, 800))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()
