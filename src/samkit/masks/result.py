"""`Masks`: what every prediction returns."""

from __future__ import annotations

import dataclasses
import importlib
import io
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from samkit import rle
from samkit.arguments import switch, whole_number
from samkit.errors import InputError, MissingDependencyError
from samkit.masks import checks, contours, documents, drawing, formats, matting, regions
from samkit.masks.categories import Categories
from samkit.masks.stack import MaskStack
from samkit.masks.storage import RunLengths, from_crops, without_overlaps
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
        candidates: (N,) integers, which of its prompt's proposals each mask is.
        presence: (N,) finite; how certain it is that the object is in the frame or image.
        stability, points, crop_boxes: (N,), (N, 2) and (N, 4) finite, of everything mode; see the
            properties of these names.
        boxes: (N, 4) xyxy in pixels; by default the tight boxes of the masks.
        names: (N,) texts, what each mask is of.
        logits: (N, h, w) low-resolution logits in the model's frame, which ``prior=`` takes.

    Raises:
        InputError: a shape, type or value does not fit.
    """

    __slots__ = ()

    def to_rle(self) -> list[rle.RLE]:
        """Each mask as COCO RLE: ``{"size": [height, width], "counts": str}``."""
        return [rle.as_rle(counts, self.image_size) for counts in self._storage.counts()]

    @overload
    def polygons(
        self, epsilon: float = 0.0, *, holes: Literal[False] = False
    ) -> list[list[contours.Ring]]: ...

    @overload
    def polygons(
        self, epsilon: float = 0.0, *, holes: Literal[True]
    ) -> list[list[contours.Part]]: ...

    def polygons(
        self, epsilon: float = 0.0, *, holes: bool = False
    ) -> list[list[contours.Ring]] | list[list[contours.Part]]:
        """The contours of each mask: a list of rings (K, 2) float32 xy per mask.

        Vertices lie on pixel corners (see `contours.outer_contours`).

        Args:
            epsilon: how far, in pixels, a ring may be simplified; 0 is exact.
            holes: give a list of parts per mask, each of them a list of rings: its outer one and
                those of its holes. Otherwise holes are lost.

        Raises:
            InputError: ``epsilon`` is negative or not finite, or ``holes`` is no switch.
        """
        pixels = checks.number("epsilon", epsilon, most=None)
        if switch("holes", holes):
            return [
                contours.parts_with_holes(mask, pixels, corner)
                for corner, mask in self._storage.crops()
            ]
        return [
            contours.outer_contours(mask, pixels, corner) for corner, mask in self._storage.crops()
        ]

    def to_coco(
        self, image_id: int = 1, category_id: int | Sequence[int] = 1, *, first_id: int = 1
    ) -> list[dict[str, Any]]:
        """Each mask as a COCO annotation with RLE, xywh box, area, score and our ids.

        Args:
            image_id: of all.
            category_id: of all, or a list with one for each mask.
            first_id: the id of the first annotation; the others count up from it.

        Raises:
            InputError: an id is no whole number, or there are not as many as masks.
        """
        if isinstance(category_id, (list, tuple)):
            each = [whole_number("category_id", one) for one in category_id]
        else:
            each = [whole_number("category_id", category_id)] * len(self)
        if len(each) != len(self):
            raise InputError(f"category_id: expected {len(self)} of them, got {len(each)}")
        return documents.to_coco(
            self._storage,
            self._fields,
            whole_number("image_id", image_id),
            each,
            whole_number("first_id", first_id),
        )

    def table(self) -> list[dict[str, Any]]:
        """A row for each mask, for spreadsheets: ``pandas.DataFrame(masks.table())``.

        The columns are object_id, prompt_index, area (pixels), the box x0, y0, x1, y1, centroid_x,
        centroid_y (None for an empty mask), score, and candidate, presence, stability and name
        where there are any.
        Coordinates are pixels, from the corner of the image.
        """
        return documents.table(self._storage, self._fields)

    def cleaned(
        self, *, fill_holes: int | bool = False, min_area: int = 0, largest: bool = False
    ) -> Masks:
        """The masks without holes, specks or all but one part. Boxes are those of what is left.

        Args:
            fill_holes: fill holes of fewer pixels than this; True: all of them. Then
            min_area: remove separate parts of fewer pixels than this, but never the largest one.
            largest: keep the largest part alone. Pixels that touch at a corner are of one part.

        Raises:
            InputError: a number is negative or not whole, or ``largest`` is no switch.
        """
        if not isinstance(fill_holes, bool):
            fill_holes = whole_number("fill_holes", fill_holes, 0)
        smallest = whole_number("min_area", min_area, 0)
        one = switch("largest", largest)
        if not (fill_holes or smallest or one):
            return self
        clean = partial(regions.cleaned, fill_holes=fill_holes, min_area=smallest, largest=one)
        if not self.is_compressed:
            return self.with_pixels(map(clean, self._storage))
        # In their boxes, which a mask's background surrounds as it would in the whole image.
        crops = ((corner, clean(mask)) for corner, mask in self._storage.crops())
        held = from_crops(crops, self.image_size)
        return self._with(held, dataclasses.replace(self._fields, boxes=None))

    def disjoint(self) -> Masks:
        """The masks without overlaps: each pixel only in the best-scored mask that has it.

        What has no pixel left is left out; the others stay in order, held as run lengths.
        """
        at, strings = without_overlaps(self._storage.counts(), self.scores, self.image_size)
        fields = dataclasses.replace(self._fields, boxes=None).take(at)
        return self._with(RunLengths(strings, self.image_size), fields)

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
            labels: write the name, or else the object id, and the score at the box.

        Returns:
            (H, W, 3) uint8 RGB.

        Raises:
            InputError: the image has another size, ``alpha`` is out of range, or a switch is
                neither True nor False.
        """
        alpha = checks.number("alpha", alpha, most=1)
        picture = self._image(image)
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

    def cutout(
        self, image: ImageSource, *, feather: float = 0.0, refine: int = 0
    ) -> npt.NDArray[np.uint8]:
        """What the masks cover, cut out of their image, with nothing around it.

        Args:
            image: what `read_image` takes, of the size of the masks; not changed.
            feather: width in pixels of a soft edge; 0: each pixel is in or out.
            refine: how many pixels the edge may move to follow that of the picture, such as hair; 0
                for none, 4 to 16 is usual. See `samkit.masks.matting`.

        Returns:
            (H, W, 4) uint8 RGB and opacity.

        Raises:
            InputError: the image has another size, or a number is negative or not finite.
        """
        width = checks.number("feather", feather, most=None)
        radius = whole_number("refine", refine, 0)
        picture = self._image(image)
        alpha = np.zeros(self.image_size, np.float32)
        for mask in self._storage:
            np.maximum(
                alpha,
                matting.soft_alpha(mask, picture, feather=width, refine=radius),
                out=alpha,
            )
        return np.dstack([picture, np.round(alpha * 255).astype(np.uint8)])

    def show(self, image: ImageSource | None = None) -> None:
        """Show the masks, on their image if it is given: in a notebook, or in a window.

        Raises:
            InputError: the image has another size.
        """
        picture = self._picture() if image is None else Image.fromarray(self.overlay(image))
        ipython = sys.modules.get("IPython")
        if ipython is not None and ipython.get_ipython() is not None:
            ipython.display.display(picture)
        else:
            picture.show()

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        image: ImageSource | None = None,
        category: str | Sequence[str] | None = None,
        categories: Sequence[str] | None = None,
        feather: float = 0.0,
        refine: int = 0,
    ) -> None:
        """Write the masks to a file, whole or not at all.

        - ``png`` (.png): one mask as black and white (0, 255), none or several as an indexed
          picture where mask i has the value i + 1 and the best score is on top; 16-bit grey from
          256 masks on. Covered pixels are lost (for masks that overlap use npz or coco); scores
          and ids are kept in a text chunk.
        - ``tiff`` (.tif, .tiff): the same numbers as a TIFF of one band, also of one mask; 16 bits
          from 256 masks on.
        - ``overlay`` (.png, .jpg, .jpeg, .webp, .bmp, .tif, .tiff): the picture of `overlay`.
        - ``cutout`` (.png, .webp, .tif, .tiff): the picture of `cutout`.
        - ``coco`` (.json): a COCO data set of one image with RLE annotations. Logits are lost.
        - ``jsonl`` (.jsonl): the annotations of ``coco``, one a line with the file name.
        - ``polygons`` (.json): the exact rings of `polygons`, ids and scores.
        - ``geojson`` (.geojson): the exact parts with their holes in pixels, and the columns of
          `table`, as QuPath reads it. Where ``image`` is the path of a GeoTIFF: in longitude and
          latitude (RFC 7946), with id, category, score and area in square metres.
        - ``gpkg`` (.gpkg): the same, as a GeoPackage in the coordinate reference system of the
          image, which has to be the path of a georeferenced file. Maps need ``samkit[geo]``.
        - ``csv`` (.csv): `table`.
        - ``yolo`` (.txt): a line for each mask that is not empty: the number of its category
          and its outer contour, as fractions of the image. Parts are joined by lines of no width;
          holes are lost.
        - ``labelstudio`` (.json): a task of Label Studio with a prediction: a brush region with its
          label and score for each mask that is not empty.
        - ``labelme`` (.json): polygons within a pixel of the mask, one for each part, with the
          object id as their group; a mask with holes, which polygons cannot have, as a picture.
        - ``voc-class``, ``voc-object`` (.png): Pascal VOC's pictures of categories (from 1) and of
          objects (mask i has the value i + 1), in its palette. Pixels within 2 of another object
          or the background are 255.
        - ``npz`` (.npz): everything, exactly.

        Without ``format`` the suffix decides: .json is ``coco``, and a picture is ``overlay`` when
        an image is given, else ``png`` or ``tiff``.

        Args:
            path: of the file.
            format: a name of these.
            image: what `read_image` takes. Pictures of it need it; where it is a path, the others
                say its name. ``labelme`` needs a path, and says where it is from its own folder;
                ``labelstudio`` says it as it is given, which may be an address that it knows.
            category: what the masks are of, or a list with a name for each mask; by default their
                `names`, or "object" where they have none. ``coco``,
                ``jsonl``, ``geojson``, ``csv``, ``yolo``, ``labelstudio``, ``labelme`` and
                ``voc-class`` say it.
            categories: all names that there are, in the order of their numbers, from 1 in ``coco``
                and ``voc-class`` and 0 in ``yolo``; by default those given, in the order of the
                alphabet.
            feather, refine: of ``cutout``.

        Raises:
            InputError: unknown format, a suffix that does not fit it, a picture without its image,
                or a place that cannot be written.
        """
        name = formats.format_of(path, format, has_image=image is not None)
        if category is None:
            category = "object" if self.names is None else self.names.tolist()
        named = Categories.checked(category, len(self), categories)
        if name == "overlay":
            write_image(path, self.overlay(image))
        elif name == "cutout":
            write_image(path, self.cutout(image, feather=feather, refine=refine))
        else:
            formats.save(self._storage, self._fields, path, name, image, named)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Masks:
        """Read masks that `save` wrote as ``npz``, ``coco``, ``labelstudio``, ``labelme``, ``png``,
        ``tiff``, ``voc-class`` or ``voc-object``.

        A COCO file of another program is read when it has one image and RLE annotations; a picture
        when it is black and white (one mask) or holds numbers, in a palette without 255, which
        is a border; of Label Studio one task with its newest annotation (brushes, polygons,
        rectangles); of LabelMe polygons, rectangles, circles and masks. Missing scores become 1.

        Raises:
            InputError: missing, damaged, or not such a file.
        """
        return cls._with(*formats.load(path))

    def _repr_png_(self) -> bytes:
        """A picture for notebooks."""
        image = self._picture()
        image.thumbnail((800, 800))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    def _picture(self) -> Image.Image:
        """The masks on a dark ground."""
        ground = np.full((*self.image_size, 3), 24, np.uint8)
        return Image.fromarray(self.overlay(ground, alpha=0.8))

    def _image(self, image: ImageSource) -> npt.NDArray[np.uint8]:
        """(H, W, 3) of the size of the masks."""
        picture = read_image(image)
        if picture.shape[:2] != self.image_size:
            raise InputError(
                f"expected an image of the size of the masks {self.image_size} (height, width), "
                f"got {picture.shape[:2]}"
            )
        return picture
