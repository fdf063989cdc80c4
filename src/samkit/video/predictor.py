"""Prompts on frames of a video to masks in all of it."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samkit.arguments import switch, whole_number
from samkit.errors import InputError, count_of
from samkit.image_predictor import ImagePredictor
from samkit.masks import Masks
from samkit.media.frames import Frames, VideoSource, open_frames
from samkit.memory.arguments import checked_id, checked_prompt, checked_prompts, network_with_memory
from samkit.prompts import Prompt
from samkit.video.embedded_frames import EmbeddedFrames
from samkit.video.passes import Direction, checked_range, passes
from samkit.video.session import Session
from samkit.video.session_file import read_session, write_session
from samkit.video.smoothing import checked_reach, smoothed

__all__ = ["VideoPredictor"]


class VideoPredictor:
    """Track objects through a video (2408.00714), in constant memory.

    Objects are prompted on any frame, at any time, also while tracking. Each keeps its id, and
    prompts of one do not change the others. Frames are read when they are needed.

        tracker = samkit.VideoPredictor(samkit.load("sam2.1-tiny"), "cars.mp4")
        tracker.prompt(0, 1, samkit.Prompt.box(5, 5, 90, 80))
        for frame, masks in tracker.track(): ...

    Memory grows with the number of prompted frames only, unless `nearest_prompts` limits it.

    Args:
        predictor: of a SAM 2 network with memory.
        video: a video file, folder or pattern of pictures, URL, camera number, array (T, H, W, 3)
            or iterable of frames; None for `step`, to which frames are given one by one.
        nearest_prompts: how many prompted frames are attended to; None for as many as the network
            was trained with: four with SAM 3, all of them with the others. Of a camera, a stream or
            frames given to `step`, prompted frames that are out of reach are then forgotten.
        select_frames: do not attend to frames in which the object was hardly seen, as the authors
            of SAM 3 do; older ones count instead.
        non_overlapping: give each pixel to the object with the highest logit there.

    Raises:
        InputError: the network cannot track, or the video cannot be read.
    """

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

    def __enter__(self) -> "VideoPredictor":
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

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects, in the order in which they were first prompted."""
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

    # Tracking

    def track(
        self,
        direction: Direction = "forward",
        *,
        start: int | None = None,
        stop: int | None = None,
        smooth: int = 0,
    ) -> Iterator[tuple[int, Masks]]:
        """Track all objects, frame by frame.

        Prompts and removals take effect from the next frame on; the loop ends when the last object
        is removed. It can be left at any time and continued with `start`. A corrected frame keeps
        its correction when it is tracked again.

        Args:
            direction: "both" goes forward first, and then backward from the frame before `start`.
            start: the first frame; by default the first one that has a prompt.
            stop: the frame before which (going forward) or after which (going backward) to end; for
                "both" it bounds the way forward.
            smooth: average outlines with those of so many frames (0 to 16; 4 is good) before and
                after, moved along by optical flow, so that they flicker less. Frames then come so
                many frames later. Prompted masks, scores, logits and memory stay as they are.

        Yields:
            Number of the frame, and the masks of all objects in it, in the order of `object_ids`.
            An object that is not there has an empty mask and a `presence` below 0.5.

        Raises:
            InputError: nothing was prompted, a frame cannot be read or has another size, another
                `track` has begun since, or the tracker is closed.
        """
        self._check_open()
        first, end = checked_range(self._session, direction, start, stop)
        results = self._track(direction, first, end)
        reach = checked_reach(smooth)
        return results if reach == 0 else self._smoothed(results, reach)

    def step(self, frame: Any, prompts: Mapping[int, Prompt] | None = None) -> Masks:
        """The next frame of a live video.

        Args:
            frame: an image of any kind that `samkit.read_image` takes, or its `ImageEmbedding`.
            prompts: object id -> its prompt in this frame.

        Returns:
            The masks of all objects in this frame.

        Raises:
            InputError: this tracker has a video of its own, the frame has another size, or the
                tracker is closed.
            PromptError: not a prompt.
        """
        self._check_open()
        if not self._session.is_live:
            raise InputError("this tracker reads its own video; use track()")
        checked = checked_prompts({} if prompts is None else prompts)
        number = self._session.last_step + 1
        embedding = self._frames.embed_given(number, frame)
        self._session.last_step = number
        for object_id, prompt in checked.items():
            self._session.prompt(number, object_id, prompt, embedding)
        self._session.propagate(number, embedding, backward=False)
        return self._session.masks(number)

    def __repr__(self) -> str:
        count = self._session.frame_count
        video = "frames of unknown number" if count is None else count_of(count, "frame")
        video = "live" if self._session.is_live else video
        return f"<VideoPredictor: {count_of(len(self._session.objects), 'object')}, {video}>"

    def forget_around(self, object_id: int, frame: int) -> None:
        """Forget the tracked memories of an object in the frames around one, on both sides.

        Prompted frames stay. For corrections of an object that was lost: memories of the wrong
        thing would mislead tracking.

        Raises:
            InputError: there is no such object, or the tracker is closed.
        """
        self._check_open()
        self._session.forget_around(checked_id(object_id), whole_number("frame", frame))

    # Sessions as files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the session to a safetensors file, and its prompts to a JSON file beside it.

        The safetensors file is complete in itself. The other one (beside `cars.safetensors` it is
        called `cars.safetensors.prompts.json`) is for people, and for `samkit track --prompts`.
        Each is written whole or not at all.

        Raises:
            InputError: the file cannot be written, or the tracker is closed.
        """
        self._check_open()
        write_session(self._session, path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        predictor: ImagePredictor,
        video: VideoSource | None = None,
    ) -> "VideoPredictor":
        """Continue a session that `save` wrote, as if it had not been interrupted.

        Tracking continues with `track(start=...)`, a live session with `step`. The options of
        tracking are those of the session, and prompts can be undone as before.

        Args:
            path: the safetensors file.
            predictor: of the same network; device and precision may be others.
            video: the same video; a stream is read from its start. None for a live session.

        Raises:
            InputError: the file is missing, damaged or holds something else, or the network or the
                video is not that of the session.
        """
        network = network_with_memory(predictor, "tracking")
        frames = None if video is None else open_frames(video)
        try:
            session = read_session(path, network, predictor.device, frames)
        except BaseException:
            if frames is not None and frames is not video:
                frames.close()
            raise
        tracker = cls(predictor, frames)
        tracker._owns_frames = frames is not video
        tracker._session = session
        tracker._frames.size = session.image_size
        return tracker

    # Passes

    def _smoothed(
        self, results: Iterator[tuple[int, Masks]], reach: int
    ) -> Iterator[tuple[int, Masks]]:
        assert self._frames.frames is not None
        return smoothed(
            results,
            self._frames.frames.read,
            self._session.is_prompted,
            reach=reach,
            non_overlapping=self.non_overlapping,
        )

    def _track(
        self, direction: Direction, first: int, stop: int | None
    ) -> Iterator[tuple[int, Masks]]:
        self._passes += 1
        own_pass = self._passes

        def check() -> None:
            self._check_open()
            if own_pass != self._passes:
                raise InputError(
                    "another track() has begun since; a tracker makes one pass at a time"
                )

        yield from passes(self._session, self._frames, direction, first, stop, check)

    def _check_open(self) -> None:
        if self._is_closed:
            raise InputError("this tracker is closed; make a new one")
