"""Prompts on frames of a video to masks in all of it."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from samkit.errors import InputError, count_of
from samkit.image_predictor import ImagePredictor
from samkit.masks import Masks
from samkit.media.frames import VideoSource, open_frames
from samkit.memory.arguments import checked_prompts, network_with_memory
from samkit.prompts import Prompt
from samkit.video.passes import Direction, checked_range, passes, track_into
from samkit.video.prompting import PromptedVideo
from samkit.video.session_file import read_session, write_session
from samkit.video.smoothing import checked_reach, smoothed

__all__ = ["VideoPredictor"]


class VideoPredictor(PromptedVideo):
    """Track objects through a video (2408.00714), in constant memory.

    Objects are prompted on any frame, at any time, also while tracking. Each keeps its id, and
    prompts of one do not change the others. Frames are read when they are needed.

        tracker = samkit.VideoPredictor(samkit.load("sam2.1-tiny"), "cars.mp4")
        tracker.prompt(0, 1, samkit.Prompt.box(5, 5, 90, 80))
        for frame, masks in tracker.track(): ...

    With SAM 3, `find` looks for all objects of some words in each frame and tracks them.

    Memory grows with the number of objects and of prompted frames only, unless `nearest_prompts`
    limits these.

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
            start: the first frame; by default the first one that has a prompt, and 0 where words
                are looked for.
            stop: the frame before which (going forward) or after which (going backward) to end; for
                "both" it bounds the way forward.
            smooth: average outlines with those of so many frames (0 to 16; 4 is good) before and
                after, moved along by optical flow, so that they flicker less. Frames then come so
                many frames later. Prompted masks, scores, logits and memory stay as they are.

        Yields:
            Number of the frame, and the masks of all objects in it, in the order of `object_ids`.
            An object that is not there has an empty mask and a `presence` below 0.5; one that
            words found is left out.

        Raises:
            InputError: nothing was prompted, what words find is to be smoothed, a frame cannot be
                read or has another size, another `track` has begun since, or the tracker is closed.
        """
        self._check_open()
        first, end = checked_range(self._session, direction, start, stop)
        results = self._track(direction, first, end)
        reach = checked_reach(smooth)
        if reach and self._session.concepts is not None:
            raise InputError(f"smooth: expected 0 where words are looked for, got {reach}")
        self._frames.keep(reach)
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
        found = track_into(self._session, number, embedding, backward=False)
        return self._session.shown(found)

    def __repr__(self) -> str:
        count = self._session.frame_count
        video = "frames of unknown number" if count is None else count_of(count, "frame")
        video = "live" if self._session.is_live else video
        return f"<VideoPredictor: {count_of(len(self._session.objects), 'object')}, {video}>"

    # Sessions as files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the session to a safetensors file, and its prompts to a JSON file beside it.

        The safetensors file is complete in itself. The other one (beside `cars.safetensors` it is
        called `cars.safetensors.prompts.json`) is for people, and for `samkit track --prompts`.
        Each is written whole or not at all.

        Raises:
            InputError: the file cannot be written, words are looked for, or the tracker is closed.
        """
        self._check_open()
        if self._session.concepts is not None:
            raise InputError(
                "save: expected a session of prompts, got one that finds objects by words, which "
                "files do not hold; save its `prompts`, which have the masks that were found"
            )
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
