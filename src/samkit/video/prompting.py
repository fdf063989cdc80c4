"""What a tracker is told: objects that are prompted in frames, and words to look for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samkit.arguments import switch, whole_number
from samkit.errors import InputError, shown
from samkit.image_predictor import ImagePredictor
from samkit.masks import Masks
from samkit.media.frames import Frames, VideoSource, open_frames
from samkit.memory.arguments import checked_id, checked_prompt, network_with_memory
from samkit.prompts import Concept, Prompt
from samkit.video.concepts import ConceptTracking
from samkit.video.concepts.state import ConceptState, checked_concepts
from samkit.video.embedded_frames import EmbeddedFrames
from samkit.video.session import Session

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PromptedVideo"]


class PromptedVideo:
    """The frames and objects of a `VideoPredictor`; see there for the arguments."""

    def __init__(
        self,
        predictor: ImagePredictor,
        video: VideoSource | None = None,
        *,
        nearest_prompts: int | None = None,
        select_frames: bool = False,
        non_overlapping: bool = False,
    ) -> None:
        network = network_with_memory(predictor, "tracking")
        if nearest_prompts is None:
            nearest_prompts = network.config.memory.nearest_prompts or None
        else:
            nearest_prompts = whole_number("nearest_prompts", nearest_prompts, 1)
        self.predictor = predictor
        self._owns_frames = not isinstance(video, Frames)
        frames = None if video is None else open_frames(video)
        self._frames = EmbeddedFrames(predictor, frames)
        self._session = Session(
            network=network,
            is_live=frames is None,
            one_way=frames is None or not frames.seekable,
            frame_count=None if frames is None else frames.count,
            nearest_prompts=nearest_prompts,
            select_frames=switch("select_frames", select_frames),
            non_overlapping=switch("non_overlapping", non_overlapping),
        )
        self._passes = 0
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the video and forget everything. The tracker cannot be used afterwards.

        Frames that were opened by the caller stay open.
        """
        if not self._is_closed:
            self._is_closed = True
            self._frames.close(also_video=self._owns_frames)
            self._session.objects.clear()
            self._session.history.clear()
            self._session.concepts = None

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects, in the order in which they were first prompted, or found."""
        return tuple(self._session.objects)

    @property
    def non_overlapping(self) -> bool:
        """Whether each pixel belongs to at most one object."""
        return self._session.non_overlapping

    def read(self, frame: int) -> NDArray[np.uint8]:
        """A frame (H, W, 3) uint8 RGB of the video.

        Raises:
            InputError: there is no such frame, it cannot be read (again), or the tracker is closed.
        """
        self._check_open()
        number = whole_number("frame", frame, 0)
        if self._frames.frames is None:
            raise InputError("there is no video to read from; frames are given to step()")
        try:
            return self._frames.frames.read(number)
        except IndexError:
            raise self._no_frame(number) from None

    def _no_frame(self, number: int) -> InputError:
        return InputError(
            f"frame: expected a number below {self._frames.count}, the length of the video, "
            f"got {number}"
        )

    # Prompts

    def prompt(self, frame: int, object_id: int, prompt: Prompt) -> Masks:
        """Prompt an object in a frame, or correct its mask there.

        Where the object was not tracked yet, the mask depends on the prompt alone. On a tracked
        frame the prompt corrects the mask that is there, and tracking from there on follows the
        correction. Points of one object on one frame add up; a mask or a box replaces the prompts
        before it. A mask alone is kept unchanged; an empty one means that the object is absent.

        Args:
            frame: number of the frame, from 0.
            object_id: any integer of 64 bits.
            prompt: points, a box or a mask, in pixels of the frame.

        Returns:
            The masks of all objects that are known in this frame, this one among them.

        Raises:
            InputError: there is no such frame, it cannot be read again, or the tracker is closed.
            PromptError: not a prompt.
        """
        self._check_open()
        number, object_id = whole_number("frame", frame, 0), checked_id(object_id)
        checked_prompt(prompt)
        embedding = self._frames.embed(number)
        if embedding is None:
            raise self._no_frame(number)
        self._session.prompt(number, object_id, prompt, embedding)
        return self._session.masks(number)

    def clear_prompts(self, frame: int, object_id: int) -> Masks:
        """Take back all prompts of an object in a frame, whenever they were given.

        What it looked like there is forgotten; frames tracked from there on keep their masks until
        they are tracked again. An object without any other prompt is removed. Where there are
        none, nothing changes. Prompts of this object cannot be undone any more.

        Args:
            frame: number of the frame.
            object_id: of a known object.

        Returns:
            The masks of all objects that are known in this frame.

        Raises:
            InputError: there is no such object, or the tracker is closed.
        """
        self._check_open()
        number = whole_number("frame", frame)
        self._session.clear_prompts(number, checked_id(object_id))
        return self._session.masks(number)

    def find(
        self,
        concepts: str | Concept | Sequence[str | Concept],
        *,
        frame: int = 0,
        settings: ConceptTracking | None = None,
    ) -> Self:
        """Look for all objects of concepts from the next frame on, and track them. SAM 3 alone can.

            tracker = samkit.VideoPredictor(samkit.load("sam3"), "street.mp4")
            for number, masks in tracker.find(["person", "red car"]).track():
                print(number, masks.object_ids, masks.names, masks.scores, masks.boxes)

        Objects get the ids 1, 2, ... in the order in which they are found; `names` are their words,
        `scores` how probable each was when it was found, and masks of one concept do not overlap.
        What has no mask in a frame is left out. `prompt` corrects an object like any other: it is
        then neither removed nor hidden by the rules any more. Objects that are prompted besides
        are tracked as ever, with the name "object"; what they cover is not found once more. An
        object that is removed may be found again, under another id.

        Results of `track` come 14 frames late: see `hotstart_delay` of `ConceptTracking`. Those of
        `step` come at once.

        Args:
            concepts: words, or `Concept` with words or boxes around examples or both; one or many.
                They replace those of an earlier call; what was found of those is tracked on.
            frame: in which the boxes are.
            settings: the rules; by default those of SAM 3's authors.

        Returns:
            This tracker.

        Raises:
            InputError: the network has no detector, there is no such frame, the settings are none,
                or the tracker is closed.
            PromptError: these are no concepts, or two of the same words.
            CheckpointError, DownloadError: the detector cannot be loaded.
        """
        self._check_open()
        asked, number = checked_concepts(concepts), whole_number("frame", frame, 0)
        rules = ConceptTracking() if settings is None else settings
        if not isinstance(rules, ConceptTracking):
            raise InputError(f"settings: expected a ConceptTracking, got {shown(settings)}")
        _ = self.predictor.finder  # an error before anything is looked at
        state = ConceptState(predictor=self.predictor, asked=asked, settings=rules, frame=number)
        if any(len(one.boxes) for one in asked):
            embedding = self._frames.embed(number)
            if embedding is None:
                raise self._no_frame(number)
            state.look_at_examples(embedding)
        before = self._session.concepts
        if before is not None:
            state.tracks, state.last_id = before.tracks, before.last_id
        self._session.concepts = state
        return self

    def undo(self) -> Masks:
        """Undo the last prompt that was not undone yet.

        Its object gets back the state and the memory from before that prompt: what was tracked of
        it since is forgotten, other objects do not change, and an object whose first prompt this
        was is removed. Up to 16 prompts can be undone, except those of objects that were removed,
        or of which prompts were cleared.

        Returns:
            The masks of all objects that are known in the frame of that prompt.

        Raises:
            InputError: there is nothing to undo, or the tracker is closed.
        """
        self._check_open()
        return self._session.masks(self._session.undo())

    def masks(self, frame: int) -> Masks:
        """The masks of all objects that are known in a frame, in the order of `object_ids`.

        Those that were prompted there, or tracked into it not long ago: masks of other frames are
        not kept.

        Raises:
            InputError: nothing was prompted yet, or the tracker is closed.
        """
        self._check_open()
        if self._session.image_size is None:
            raise InputError("there are no masks: prompt an object first")
        return self._session.masks(whole_number("frame", frame, 0))

    @property
    def prompts(self) -> dict[int, dict[int, Prompt]]:
        """Object id -> frame -> all its prompts there, joined; in the order of the last ones."""
        return self._session.prompts

    @property
    def last_prompt(self) -> tuple[int, int] | None:
        """Frame and object id of the prompt that `undo` takes back; None if there is none."""
        history = self._session.history
        return (history[-1].frame, history[-1].object_id) if history else None

    def remove(self, object_id: int) -> None:
        """Forget an object. Its id may be used again, for the same thing or another.

        Raises:
            InputError: there is no such object, or the tracker is closed.
        """
        self._check_open()
        self._session.remove(checked_id(object_id))

    def forget_around(self, object_id: int, frame: int) -> None:
        """Forget the tracked memories of an object in the frames around one, on both sides.

        Prompted frames stay. For corrections of an object that was lost: memories of the wrong
        thing would mislead tracking.

        Raises:
            InputError: there is no such object, or the tracker is closed.
        """
        self._check_open()
        self._session.forget_around(checked_id(object_id), whole_number("frame", frame))

    def _check_open(self) -> None:
        if self._is_closed:
            raise InputError("this tracker is closed; make a new one")
