"""A video that is being annotated."""

import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from samkit.errors import InputError, shown
from samkit.image_predictor import ImagePredictor
from samkit.masks import Masks
from samkit.masks.masklets import SavWriter
from samkit.masks.sequences import (
    CocoVideoWriter,
    CutoutPngWriter,
    IndexedPngWriter,
    PictureVideoWriter,
    PngWriter,
    SequenceWriter,
)
from samkit.masks.stacks import LabelStackWriter, TableWriter
from samkit.media.frames import open_frames
from samkit.prompts import Prompt
from samkit.server.annotate.classes import ClassNames
from samkit.server.annotate.exports import place_of_export
from samkit.server.annotate.folder import SidecarFolder, place_of
from samkit.server.annotate.masks import painted
from samkit.server.annotate.project import CLASSES
from samkit.server.annotate.sidecars import KeptTrack, TrackAbout, VideoPrompt, VideoSidecar
from samkit.server.annotate.tracks import Kind, Look, SeenObject, Tracks
from samkit.video import VideoPredictor

__all__ = ["VIDEO_EXPORTS", "VideoProject"]

_ENDINGS = {
    "mp4": "-overlay.mp4",
    "mov": "-cutout.mov",
    "png": "-png",
    "cutouts": "-cutouts",
    "coco": "-coco.json",
    "sav": "-sav.json",
    "csv": "-masks.csv",
    "tif": "-labels.tif",
}
VIDEO_EXPORTS = tuple(_ENDINGS)
"""What a video can be exported as; see `samkit track`."""

# Folders of what is kept, and endings of the files in the second one.
_VIDEOS, _SESSIONS = "videos", "sessions"
_SESSION, _MASKS = ".safetensors", ".masks.jsonl"
# What was tracked is saved when saving it took less than this part of the time since.
_SAVING = 0.05


class VideoProject:
    """A video, and a folder in which everything that is said about it is kept.

    Used in one thread only.

    Args:
        video: a file, or a folder of pictures that are its frames.
        folder: for what is made. It is created with the first object.
        classes: names of categories, to which others can be added.

    Attributes:
        name: of the video, without folders.
        count: of its frames; image_size: (height, width) of them in pixels; rate: frames per
            second, None if it does not say.
        classes: names of categories.
        objects: by id, in the order in which they were first prompted.
        tracks: what they look like.
        failure: why they could not be saved when tracking ended; "" if they are.

    Raises:
        InputError: the video cannot be read, a class has no name, or the folder cannot be written,
            or what is in it cannot be read.
    """

    def __init__(
        self,
        video: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        *,
        classes: Sequence[str] = (),
    ) -> None:
        self._video, self.folder = place_of(Path(video)), Path(folder)
        self.name = self._video.name
        self.classes = ClassNames(self.folder / CLASSES, classes)
        self._sidecars = SidecarFolder(VideoSidecar, self.folder / _VIDEOS, [self._video])
        self._frames = open_frames(self._video)
        if not self._frames.seekable or self._frames.count is None:
            raise InputError(f"{self._video}: expected frames that can be read in any order")
        self.count = self._frames.count
        height, width = self._frames.read(0).shape[:2]
        self.image_size = (height, width)
        self.rate = None if self._frames.format is None else float(self._frames.format.rate)
        self.objects: dict[int, KeptTrack] = {}
        self.tracks = Tracks()
        self._tracker: VideoPredictor | None = None
        self._model = ""
        self._saved, self._saving_took = 0.0, 0.0
        self.failure = ""
        # What objects looked like before each prompt that can be undone; not kept in files.
        self._before: deque[tuple[tuple[int, int], dict[int, SeenObject]]] = deque(maxlen=16)

    def begin(self, predictor: ImagePredictor, model: str) -> None:
        """Begin, or go on from what is kept.

        Args:
            predictor: of a network with memory.
            model: its name.

        Raises:
            InputError: the network cannot track, or is another than before; or what is kept cannot
                be read, or is of another video.
        """
        self._model, kept = model, self._sidecars.get(0)
        if kept is None:
            session = self.folder / _SESSIONS / f"{self.name}{_SESSION}"
            if session.exists() and not (self.folder / _VIDEOS / f"{self.name}.json").exists():
                raise InputError(f"{session} is there without its file in {_VIDEOS}")
            self._tracker = VideoPredictor(predictor, self._video)
            return
        now = self._sidecars.about(0)["bytes"], self.count, self.image_size
        if (kept.bytes, kept.count, kept.image_size) != now:
            raise InputError(
                f"{self.name} has changed: what is kept is for {kept.bytes} bytes, {kept.count} "
                f"frames of {kept.image_size} (height, width), and it has {now[0]} bytes, "
                f"{now[1]} frames of {now[2]}"
            )
        if kept.objects and kept.model != model:
            raise InputError(
                f"{self.name} was begun with {kept.model}: take it again, or another folder"
            )
        session, tracks = self._file(_SESSION), self._file(_MASKS)
        if not session.is_file():
            if kept.objects or tracks.is_file():
                raise InputError(f"{session} is missing")
            self._tracker = VideoPredictor(predictor, self._video)
            return
        self._tracker = VideoPredictor.load(session, predictor, self._video)
        # The session is saved first, and masks least often.
        known = {one.id: one for one in kept.objects}
        self.objects = {
            number: known.get(number, KeptTrack(id=number)) for number in self._tracker.object_ids
        }
        if tracks.is_file():
            self.tracks = Tracks.read(tracks, self.count, self.image_size)
            if gone := self.tracks.object_ids - set(self.objects):
                for number in gone:
                    self.tracks.forget(number)
                self.tracks.write(tracks)
        for number, prompts in self._tracker.prompts.items():
            self.tracks.forget(number, self.objects[number].prompts)
            for frame in prompts:
                self._see(frame, number)

    @property
    def tracker(self) -> VideoPredictor:
        """What tracks, once it has begun."""
        assert self._tracker is not None
        return self._tracker

    def picture(self, frame: int) -> npt.NDArray[np.uint8]:
        """A frame (H, W, 3) uint8 RGB.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        return self._frames.read(self._checked(frame))

    def masks(self, frame: int) -> Masks:
        """The masks of objects that are known in a frame.

        Raises:
            InputError: there is no such frame.
        """
        return self.tracks.masks(self._checked(frame), self.image_size, list(self.objects))

    def prompt(self, wanted: VideoPrompt) -> int:
        """Prompt or correct an object; it is saved when this returns -> its id.

        Raises:
            InputError: there is no such frame or object, or it cannot be saved.
            PromptError: not a prompt.
        """
        frame, number = self._checked(wanted.frame), wanted.object_id
        if number is None:
            number = max(self.objects, default=0) + 1
            about = KeptTrack(id=number, category=wanted.category)
        else:
            about = self._object(number)
        if about.category:
            self.classes.add(about.category)
        before = self.tracks.of_object(number)
        self.tracker.prompt(frame, number, self._prompt_of(wanted))
        self._before.append(((frame, number), before))
        self.objects[number] = about.model_copy(update={"prompts": about.prompts + 1})
        self._see(frame, number)
        try:
            self._save()
        except InputError:
            self._take_back()
            raise
        return number

    def _prompt_of(self, wanted: VideoPrompt) -> Prompt:
        if wanted.prompt is not None:
            return Prompt.from_dict(wanted.prompt)
        mask = np.zeros(self.image_size, np.bool_)
        if wanted.strokes:
            number = wanted.object_id
            seen = self.tracks.masks(wanted.frame, self.image_size, [number] if number else [])
            mask = painted(seen.masks[0] if len(seen) else mask, wanted.strokes)
        return Prompt(mask_input=mask)

    def undo(self) -> tuple[int, int]:
        """Take back the last prompt, with what was tracked of its object since.

        What was there before comes back, unless it was before the server began.

        Returns:
            Frame and id of the object.

        Raises:
            InputError: there is nothing to undo, or it cannot be saved.
        """
        last = self._take_back()
        self._save(also_masks=True)  # its id may be another object's next
        return last

    def _take_back(self) -> tuple[int, int]:
        last = self.tracker.last_prompt
        self.tracker.undo()
        assert last is not None  # or undo would have raised
        number = last[1]
        before = self._before.pop()[1] if self._before and self._before[-1][0] == last else None
        if number not in self.tracker.object_ids:
            self._forget(number)
            return last
        about = self.objects[number]
        left = max(about.prompts - 1, 0)
        self.objects[number] = about.model_copy(update={"prompts": left})
        if before is None:  # from before a restart
            self.tracks.forget(number, left)
            for prompted in self.tracker.prompts[number]:
                self._see(prompted, number)
        else:
            self.tracks.put_back(number, before)
        return last

    def remove(self, number: int) -> None:
        """Forget an object.

        Raises:
            InputError: there is none, or it cannot be saved.
        """
        self._object(number)
        self.tracker.remove(number)
        self._forget(number)
        self._save(also_masks=True)  # its id may be another object's next

    def change(self, number: int, about: TrackAbout) -> None:
        """Say what an object is.

        Raises:
            InputError: there is none, or it cannot be saved.
        """
        before = self._object(number)
        if about.category:
            self.classes.add(about.category)
        self.objects[number] = before.model_copy(update=about.model_dump())
        try:
            self._save_about()
        except InputError:
            self.objects[number] = before
            raise

    def track(self, start: int, *, backward: bool = False) -> Generator[int, None, None]:
        """Track all objects from a frame on, that frame too.

        Yields:
            Numbers of frames, whose masks are known then. They are saved now and then, and when
            this ends in any way.

        Raises:
            InputError: nothing was prompted, there is no such frame, one cannot be read, or masks
                cannot be saved; or another pass has begun since.
        """
        direction: Literal["forward", "backward"] = "backward" if backward else "forward"
        results = self.tracker.track(direction, start=self._checked(start))
        return self._track(results)

    def _track(self, results: Iterator[tuple[int, Masks]]) -> Generator[int, None, None]:
        try:
            for frame, masks in results:
                self._add(frame, masks)
                if self._saving_took < _SAVING * (time.monotonic() - self._saved):
                    self._save(also_masks=True)
                yield frame
        finally:
            self.failure = "what was tracked could not be saved"
            self._save(also_masks=True)

    def worth_a_look(self) -> list[Look]:
        """Frames that are worth a look: changes before low scores."""
        looks = [look for number in self.objects for look in self.tracks.worth_a_look(number)]
        return sorted(looks, key=lambda look: (look.score, look.frame))

    def export(self, form: str) -> Path:
        """Write the masks of the frames that have some -> the file or folder.

        Raises:
            InputError: an unknown form, there is nothing, it cannot be written, or something else
                is there.
        """
        if form not in VIDEO_EXPORTS:
            raise InputError(f"expected one of {', '.join(VIDEO_EXPORTS)}, got {shown(form)}")
        if not self.tracks.frames:
            raise InputError("there is nothing to export: no object has been prompted yet")
        path, writer = self._writer(form)
        numbers = range(min(self.tracks.frames), max(self.tracks.frames) + 1)
        try:
            for frame in numbers:
                writer.write(frame, self.masks(frame))
            if isinstance(writer, PngWriter):
                writer.remove_others(numbers)
            writer.close()
        finally:
            writer.discard()
        return path

    def _writer(self, form: str) -> tuple[Path, SequenceWriter]:
        frames, stem = self._frames, Path(self.name).stem
        about = self._sidecars.file(0)
        assert about is not None  # as there are masks
        path = place_of_export(self.folder, f"{about.stem}{_ENDINGS[form]}")
        if form in ("mp4", "mov"):
            return path, PictureVideoWriter(path, frames)
        if form == "png":
            return path, IndexedPngWriter(path, frames)
        if form == "cutouts":
            return path, CutoutPngWriter(path, frames)
        if form == "sav":
            return path, SavWriter(path, frames, name=stem)
        if form == "csv":
            return path, TableWriter(path, frames)
        if form == "tif":
            return path, LabelStackWriter(path)
        category = {number: one.category for number, one in self.objects.items() if one.category}
        return path, CocoVideoWriter(
            path, frames, name=self.name, category=category, categories=self.classes
        )

    # What is kept

    def _add(self, frame: int, masks: Masks) -> None:
        known = {number: one.prompts for number, one in self.objects.items()}
        given = {
            number: prompts[frame]
            for number, prompts in self.tracker.prompts.items()
            if frame in prompts
        }
        kinds = {number: self._kind(frame, number) for number in given}
        self.tracks.add(frame, _with_painted(masks, given), known, kinds)

    def _see(self, frame: int, number: int) -> None:
        """Take over an object in a frame in which it is prompted."""
        masks = self.tracker.masks(frame)
        self._add(frame, masks[masks.object_ids == number])

    def _kind(self, frame: int, number: int) -> Kind:
        """Where the mask of a prompted object comes from: one that was seen there is corrected."""
        seen = self.tracks.frames.get(frame, {}).get(number)
        return "prompted" if seen is None or seen.kind == "prompted" else "corrected"

    def _forget(self, number: int) -> None:
        self.objects.pop(number, None)
        self.tracks.forget(number)
        others = [one for one in self._before if one[0][1] != number]
        self._before = deque(others, self._before.maxlen)

    def _save(self, *, also_masks: bool = False) -> None:
        start = time.monotonic()
        if not self.tracker.object_ids:
            self._save_about()
            self._file(_MASKS).unlink(missing_ok=True)
            self._file(_SESSION).unlink(missing_ok=True)
        else:
            if self._sidecars.file(0) is None:
                self._save_about(objects=[])
            self.tracker.save(self._file(_SESSION))
            self._save_about()
        if also_masks and self.tracker.object_ids:
            self.tracks.write(self._file(_MASKS))
            self._saved = time.monotonic()
            self._saving_took = self._saved - start
            self.failure = ""

    def _save_about(self, objects: Sequence[KeptTrack] | None = None) -> None:
        self._sidecars.put(
            0,
            VideoSidecar(
                **self._sidecars.about(0),
                image_size=self.image_size,
                model=self._model,
                count=self.count,
                objects=list(self.objects.values() if objects is None else objects),
            ),
        )

    def _file(self, suffix: str) -> Path:
        """A file of what is kept besides the sidecar, which is there."""
        about = self._sidecars.file(0)
        assert about is not None
        return self.folder / _SESSIONS / f"{about.stem}{suffix}"

    def _object(self, number: int) -> KeptTrack:
        if number not in self.objects:
            raise InputError(f"there is no object {number}")
        return self.objects[number]

    def _checked(self, frame: int) -> int:
        if not 0 <= frame < self.count:
            raise InputError(f"expected a frame from 0 to {self.count - 1}, got {frame}")
        return frame


def _with_painted(masks: Masks, given: dict[int, Prompt]) -> Masks:
    """Masks of a frame in which some were given by their pixels, which the network has coarser."""

    def exact(number: int) -> npt.NDArray[np.bool_] | None:
        prompt = given.get(number)
        mask = None if prompt is None or len(prompt.point_coords) else prompt.mask_input
        return None if mask is None else mask > 0

    return masks.with_pixels(
        one.masks[0] if (mask := exact(number)) is None else mask
        for one, number in zip(masks, masks.object_ids.tolist(), strict=True)
    )
