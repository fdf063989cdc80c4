"""A folder of photographs that are being annotated."""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samkit.errors import ImageError, InputError, shown
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.mask_generator import AutomaticMaskGenerator
from samkit.masks import Masks
from samkit.masks.datasets import open_dataset_writer
from samkit.media import list_images, read_image
from samkit.server.annotate.classes import ClassNames, write_lines
from samkit.server.annotate.exports import place_of_export
from samkit.server.annotate.folder import SidecarFolder, place_of, short_names
from samkit.server.annotate.masks import masks_of_steps, painted
from samkit.server.annotate.sidecars import KeptObject, ObjectRequest, Sidecar
from samkit.server.annotate.tiles import Pyramid
from samkit.server.uploads import unnamed

__all__ = ["CLASSES", "EXPORTS", "Project"]

# Of pictures and their halves that are kept, the one in view not counted.
_PICTURE_BYTES = 2**29
_KEPT_SEARCHES = 4
# The category of what has none, in exports.
_UNNAMED = "object"

CLASSES = "classes.txt"
"""Names of classes in the order of their numbers, beside what is kept."""

_ONE_FILE = {
    "coco": "coco.json",
    "labelstudio": "labelstudio.json",
    "csv": "masks.csv",
    "jsonl": "masks.jsonl",
}
_FOLDERS = {"yolo": ".txt", "labelme": ".json", "png": ".png", "geojson": ".geojson"}
EXPORTS = (*_ONE_FILE, *_FOLDERS)
"""What a project can be exported as."""


class Project:
    """Photographs, and a folder in which a file beside the others tells all of each.

    Used in one thread only.

    Args:
        images: files, folders and patterns, as `samkit.media.list_images` takes them.
        folder: for what is made. It is created with the first object.
        classes: names of categories, to which others can be added.

    Raises:
        InputError: there are no images, a class has no name, or the folder cannot be written, or
            what is in it cannot be read.
    """

    def __init__(
        self,
        images: Sequence[str | os.PathLike[str]],
        folder: str | os.PathLike[str],
        *,
        classes: Sequence[str] = (),
    ) -> None:
        self.images = list(dict.fromkeys(place_of(image) for image in list_images(images)))
        self.folder = Path(folder)
        self.names = short_names(self.images)
        self._sidecars = SidecarFolder(Sidecar, self.folder / "objects", self.images)
        self.classes = ClassNames(self.folder / CLASSES, classes)
        self._pyramids: OrderedDict[int, Pyramid] = OrderedDict()
        self._found: OrderedDict[int, Masks] = OrderedDict()

    def __len__(self) -> int:
        return len(self.images)

    def check(self, index: int) -> int:
        """A number of an image.

        Raises:
            InputError: there is none.
        """
        if not 0 <= index < len(self.images):
            raise InputError(f"expected an image from 0 to {len(self.images) - 1}, got {index}")
        return index

    def state(self, index: int) -> str:
        """open, begun or done."""
        sidecar = self._sidecars.get(index)
        if sidecar is None:
            return "open"
        return "done" if sidecar.done else "begun" if sidecar.objects else "open"

    def pixels(self, index: int) -> npt.NDArray[np.uint8]:
        """The picture (H, W, 3) RGB."""
        return self.pyramid(index).full

    def pyramid(self, index: int) -> Pyramid:
        """The picture in tiles. Those used last are kept."""
        if self.check(index) not in self._pyramids:
            with unnamed(self.images[index], self.names[index]):
                pyramid = Pyramid(read_image(self.images[index]))
            sidecar, size = self._sidecars.get(index), pyramid.full.shape[:2]
            if sidecar is not None and sidecar.objects and sidecar.image_size != size:
                raise InputError(
                    f"{self.names[index]} has changed: its objects are for a size of "
                    f"{sidecar.image_size} (height, width), and it has {size} now"
                )
            self._pyramids[index] = pyramid
        self._pyramids.move_to_end(index)
        while (
            len(self._pyramids) > 1
            and sum(one.nbytes for one in self._pyramids.values()) > _PICTURE_BYTES
        ):
            self._pyramids.popitem(last=False)
        return self._pyramids[index]

    def sidecar(self, index: int, model: str = "") -> Sidecar:
        """What is kept of an image; of a new one an empty one.

        Raises:
            InputError: there is no such image, or it cannot be read.
        """
        sidecar = self._sidecars.get(self.check(index))
        if sidecar is not None and sidecar.objects:
            return sidecar
        height, width = self.pixels(index).shape[:2]
        if sidecar is None:
            return self._new(index, (height, width), model)
        return sidecar.model_copy(update={"image_size": (height, width)})

    def search(self, index: int, predictor: ImagePredictor, embedding: ImageEmbedding) -> Masks:
        """All masks that everything mode finds; kept for `put`."""
        if index not in self._found:
            generator = AutomaticMaskGenerator(predictor)
            self._found[index] = generator(self.pixels(index), embedding=embedding)
        self._found.move_to_end(index)
        while len(self._found) > _KEPT_SEARCHES:
            self._found.popitem(last=False)
        return self._found[index]

    def mask(
        self,
        index: int,
        wanted: ObjectRequest,
        predictor: ImagePredictor,
        embedding: Callable[[], ImageEmbedding],
        base: dict[str, Any] | None = None,
    ) -> Masks:
        """The mask of what was clicked and painted; its score is that before painting.

        Args:
            index: of the image.
            wanted: what was clicked and painted.
            predictor: computes masks of steps.
            embedding: gives that of the image, if it is needed.
            base: the mask that `found` stands for, once its search is forgotten.

        Raises:
            InputError: there is nothing to make a mask of.
        """
        size = self.sidecar(index).image_size
        if wanted.steps:
            count = 1 if wanted.candidate is None else 3
            masks = masks_of_steps(predictor, embedding(), wanted.prompts, candidates=count)
            masks = masks[[wanted.candidate or 0]]
        elif base is not None:
            masks = Masks.from_rle([base], size, [1.0])
        elif wanted.found is not None:
            found = self._found.get(index)
            if found is None or wanted.found >= len(found):
                raise InputError("found: there is no such mask; find everything again")
            masks = found[[wanted.found]]
        elif wanted.strokes:
            masks = Masks.from_pixels([np.zeros(size, np.bool_)], size, [1.0])
        else:
            raise InputError("expected a click, a box, a mask that was found, or a stroke")
        if wanted.strokes:
            masks = masks.with_pixels(painted(mask, wanted.strokes) for mask in masks.masks)
        return masks

    def put(
        self, index: int, object_id: int | None, wanted: ObjectRequest, masks: Masks, model: str
    ) -> KeptObject:
        """Keep an object, new or in place of one; it is in the file when this returns.

        Args:
            index: of the image.
            object_id: of the object; None for a new one.
            wanted: what `masks` was made of.
            masks: its mask, of `mask`.
            model: by which it was made.

        Raises:
            InputError: there is no such object, the mask is empty, or the file cannot be written.
        """
        sidecar = self.sidecar(index, model)
        ids = [one.id for one in sidecar.objects]
        if object_id is not None and object_id not in ids:
            raise InputError(f"there is no object {object_id} in this image")
        if not masks.areas[0]:
            raise InputError("expected a mask with at least one pixel, got an empty one")
        before = next((one for one in sidecar.objects if one.id == object_id), None)
        base = None if before is None else before.base
        if wanted.found is not None and base is None:
            base = _run_lengths(self._found[index][[wanted.found]])
        kept = KeptObject(
            **wanted.model_dump(),
            id=max(ids, default=0) + 1 if object_id is None else object_id,
            score=float(masks.scores[0]),
            rle=_run_lengths(masks),
            base=base if wanted.found is not None else None,
        )
        if kept.category:
            self.classes.add(kept.category)
        objects = [kept if one.id == object_id else one for one in sidecar.objects]
        self._keep(index, sidecar, objects=objects if before else [*objects, kept])
        return kept

    def remove(self, index: int, object_id: int) -> None:
        """Forget an object.

        Raises:
            InputError: there is no such object, or the file cannot be written.
        """
        sidecar = self.sidecar(index)
        left = [one for one in sidecar.objects if one.id != object_id]
        if len(left) == len(sidecar.objects):
            raise InputError(f"there is no object {object_id} in this image")
        self._keep(index, sidecar, objects=left)

    def set_done(self, index: int, done: bool) -> None:
        """Say that an image is done, or is not. It may be one that cannot be read.

        Raises:
            InputError: the file cannot be written.
        """
        try:
            sidecar = self.sidecar(index)
        except ImageError:
            sidecar = self._sidecars.get(index) or self._new(index, (0, 0), "")
        self._keep(index, sidecar, done=done)

    def export(self, form: str) -> Path:
        """Write the objects of all images that have some, or are done -> the file or folder.

        Raises:
            InputError: an unknown form, it cannot be written, or something else is there.
        """
        if form not in EXPORTS:
            raise InputError(f"expected one of {', '.join(EXPORTS)}, got {shown(form)}")
        used = [(i, s) for i in range(len(self)) if (s := self._to_export(i))]
        if not used:
            raise InputError("there is nothing to export: no image has an object yet")
        names = [*self.classes, *(name for _, sidecar in used for name in _categories(sidecar))]
        classes = list(dict.fromkeys(names))
        if form in _ONE_FILE:
            path = place_of_export(self.folder, _ONE_FILE[form])
            writer = open_dataset_writer(path, classes, format=form)
            try:
                for i, sidecar in used:
                    writer.write(self.names[i], sidecar.masks, _categories(sidecar))
                writer.close()
            finally:
                writer.discard()
            return path
        folder = place_of_export(self.folder, form)
        files = [folder / f"{name}{_FOLDERS[form]}" for name in _without_suffixes(self.names)]
        for i in {*range(len(self))} - {i for i, _ in used}:  # whose last object was deleted
            files[i].unlink(missing_ok=True)
        for i, sidecar in used:
            sidecar.masks.save(
                files[i],
                format=form,
                image=self.images[i],
                category=_categories(sidecar),
                categories=classes,
            )
        if form == "yolo":
            write_lines(folder / "classes.txt", classes)
        return folder

    def _to_export(self, index: int) -> Sidecar | None:
        """What is kept of an image that has objects or is done, and can be read."""
        sidecar = self._sidecars.get(index)
        if sidecar is None or not all(sidecar.image_size) or self.state(index) == "open":
            return None
        return sidecar

    def _new(self, index: int, image_size: tuple[int, int], model: str) -> Sidecar:
        return Sidecar(**self._sidecars.about(index), image_size=image_size, model=model)

    def _keep(self, index: int, sidecar: Sidecar, **changes: Any) -> None:
        self._sidecars.put(index, sidecar.model_copy(update=changes))


def _categories(sidecar: Sidecar) -> list[str]:
    return [one.category or _UNNAMED for one in sidecar.objects]


def _run_lengths(masks: Masks) -> dict[str, Any]:
    segmentation: dict[str, Any] = masks.to_coco()[0]["segmentation"]
    return segmentation


def _without_suffixes(names: Sequence[str]) -> list[str]:
    """Names without their suffixes, but for those of which others differ in nothing else."""
    stems = [str(Path(name).with_suffix("")) for name in names]
    return [
        stem if stems.count(stem) == 1 else name for name, stem in zip(names, stems, strict=True)
    ]
