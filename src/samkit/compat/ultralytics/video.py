"""Objects prompted in one or more frames of a video, tracked through all of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from samkit.arguments import whole_number
from samkit.compat.ultralytics.arrays import cpu_tensor
from samkit.compat.ultralytics.base import BasePredictor
from samkit.compat.ultralytics.delivery import Callbacks
from samkit.compat.ultralytics.features import Features
from samkit.compat.ultralytics.prompts import PromptArrays
from samkit.compat.ultralytics.results import Results
from samkit.compat.ultralytics.settings import DEFAULT_CFG
from samkit.compat.ultralytics.sources import SourceVideo, open_video
from samkit.errors import InputError, PromptError
from samkit.image_predictor import ImagePredictor
from samkit.masks import Masks
from samkit.memory.arguments import network_with_memory
from samkit.prompts import Prompt
from samkit.sizes import Sam2Config, Sam3Config
from samkit.transforms import ImageTransform
from samkit.video import VideoPredictor

__all__ = ["SAM2VideoPredictor", "SAM3VideoPredictor", "VideoState"]


@dataclass(kw_only=True, eq=False)
class VideoState:
    """An open video with its tracked objects.

    Attributes:
        video: its frames.
        tracker: samkit's own, which tracks the objects.
        corrected: (object, frame) of the prompts since the last preflight.
    """

    video: SourceVideo
    tracker: VideoPredictor
    corrected: list[tuple[int, int]] = field(default_factory=list)


class SAM2VideoPredictor(BasePredictor):
    """SAM 2 (2408.00714) on videos, in constant memory.

        predictor = SAM2VideoPredictor(overrides={"model": "sam2.1_t.pt"})
        for result in predictor("cars.mp4", points=[[920, 470], [909, 138]], stream=True): ...

    Coordinates are pixels of the frames, arrays of frames BGR. The class of a result, and its
    `boxes.id`, is the object's id; its score is the predicted IoU times the probability that the
    object is present, which are also in `core.scores` and `core.presence`.

    Attributes:
        inference_state: the `VideoState`, {} before the first video. Set it to {} to end one.
        non_overlap_masks: give each pixel to the object with the highest logit. It takes effect
            with the next video.
        clear_non_cond_mem_around_input: after a correction, forget what tracking remembered of the
            object in the frames around it.
        clear_non_cond_mem_for_multi_obj: do so also where there are several objects.
    """

    default_model = "sam2.1_b.pt"
    kind = Sam2Config
    needs_memory = True
    _has_object_ids = True

    def __init__(
        self,
        cfg: Any = DEFAULT_CFG,
        overrides: Mapping[str, Any] | None = None,
        _callbacks: Callbacks | None = None,
    ) -> None:
        super().__init__(cfg, overrides, _callbacks)
        self.inference_state: VideoState | dict[str, Any] = {}
        self.non_overlap_masks = True
        self.clear_non_cond_mem_around_input = False
        self.clear_non_cond_mem_for_multi_obj = False

    def _prepare(self, core: ImagePredictor) -> None:
        network_with_memory(core, "tracking")
        if isinstance(self.inference_state, VideoState):  # its memories are another model's
            self._close()

    def setup_source(self, source: Any) -> None:
        """Open a video. The previous one is closed, and its objects are forgotten.

        Args:
            source: a video file, folder or pattern of pictures, URL, camera number, array
                (T, H, W, 3) BGR, tensor (T, 3, H, W) RGB, or a list or iterator of images; None to
                close the previous one only.

        Raises:
            InputError: it is missing, or nothing of these.
        """
        video = None if source is None else open_video(source)
        self._close()
        self._source = video

    @staticmethod
    def init_state(predictor: "SAM2VideoPredictor") -> None:
        """Begin with the video of `setup_source`, if it has not begun yet.

        Raises:
            InputError: there is no video, or the model cannot track.
        """
        if not isinstance(predictor, SAM2VideoPredictor):
            kind = type(predictor).__name__
            raise InputError(f"predictor: expected a SAM2VideoPredictor, got {kind}")
        if isinstance(predictor.inference_state, VideoState):
            return
        video = predictor._source
        if not isinstance(video, SourceVideo):
            raise InputError("source: expected a video, got None; call setup_source first")
        tracker = VideoPredictor(
            predictor.core, video.frames, non_overlapping=predictor.non_overlap_masks
        )
        predictor.inference_state = VideoState(video=video, tracker=tracker)

    def __call__(
        self,
        source: Any = None,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        stream: bool = False,
    ) -> list[Results] | Iterator[Results]:
        """Track objects through a video.

        Prompts refer to the first frame; their objects get the ids 0, 1, 2, ... While results
        are streamed, and afterwards, `add_new_prompts` adds objects and corrects masks. A call
        without a source tracks all of them again, from the first frame with a prompt.

        Args:
            source: as for `setup_source`; by default the open video.
            bboxes, points, labels, masks: as for `Predictor`.
            stream: give results one by one instead of a list, which holds all frames.

        Returns:
            Results for each frame, a list or a generator.

        Raises:
            PromptError, InputError: the message says what was expected.
        """
        defaults = None if source is None else self._stored
        prompts = PromptArrays.from_arguments(bboxes, points, labels, masks, defaults=defaults)
        if source is not None:
            if self._core is None:  # a wrong model is an error before the video is opened
                self.setup_model()
            self.setup_source(source)
        self.init_state(self)
        state = self._state()
        if prompts:
            for obj_id, prompt in enumerate(prompts.to_prompts(self._frame_transform(0))):
                self._prompt(obj_id, prompt, 0)
        self.propagate_in_video_preflight()
        return self._deliver(self._track(state), stream)

    def add_new_prompts(
        self,
        obj_id: int,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        frame_idx: int = 0,
        *,
        bboxes: Any = None,
    ) -> tuple[Tensor, Tensor]:
        """Prompt one object in a frame; where it was tracked, correct its mask.

        Args:
            obj_id: any integer of 64 bits, known or new.
            points: (2,), (P, 2) or (1, P, 2), all of this object.
            labels: of the points.
            masks: (H, W) or (1, H, W); not with points.
            frame_idx: number of the frame. Of a stream, the last one that was read.
            bboxes: (4,) or (1, 4).

        Returns:
            Masks (N, H, W) bool and scores (N,) of all objects that are known in this frame, in the
            order in which they were first prompted.

        Raises:
            PromptError: points and masks, neither, or several objects.
            InputError: there is no such frame, or no video.
        """
        if points is not None and masks is not None:
            raise PromptError("expected either points or masks, got both")
        prompts = PromptArrays.from_arguments(bboxes, points, labels, masks).for_one_object()
        frame = whole_number("frame_idx", frame_idx)
        self.init_state(self)
        (prompt,) = prompts.to_prompts(self._frame_transform(frame))
        found = self._prompt(obj_id, prompt, frame)
        return cpu_tensor(found.masks), cpu_tensor(self._scores(found))

    def propagate_in_video_preflight(self) -> None:
        """Prepare for tracking. `clear_non_cond_mem_around_input` takes effect here.

        Raises:
            InputError: no object was prompted.
        """
        state = self._state()
        ids = state.tracker.object_ids
        if not ids:
            raise InputError("nothing to track: expected bboxes, points or masks of an object")
        allowed = len(ids) == 1 or self.clear_non_cond_mem_for_multi_obj
        if self.clear_non_cond_mem_around_input and allowed:
            for obj_id, frame in state.corrected:
                state.tracker.forget_around(obj_id, frame)
        state.corrected.clear()

    def get_im_features(self, im: Tensor, batch: int = 1) -> Features:
        """Features of a preprocessed frame, for `batch` objects: a dict as of `SAM2Predictor`."""
        count = whole_number("batch", batch)
        if count < 1 or (count > 1 and len(im) != 1):
            raise InputError(f"batch: expected 1 and more, of one frame, got {batch}")
        features = super().get_im_features(im)
        assert isinstance(features, dict)
        levels = [level.expand(count, -1, -1, -1) for level in features["high_res_feats"]]
        embed = features["image_embed"].expand(count, -1, -1, -1)
        return {"image_embed": embed, "high_res_feats": levels}

    def _state(self) -> VideoState:
        if not isinstance(self.inference_state, VideoState):
            raise InputError("no video: call init_state, or the predictor with a source, first")
        return self.inference_state

    def _frame_transform(self, frame: int) -> ImageTransform:
        video = self._state().video
        try:
            return self.core.transform(video.image(frame).size)
        except IndexError:
            raise InputError(
                f"frame_idx: expected a number from 0 to below {video.frames.count}, got {frame}"
            ) from None

    def _prompt(self, obj_id: int, prompt: Prompt, frame: int) -> Masks:
        state = self._state()
        masks = state.tracker.prompt(frame, obj_id, prompt)
        state.corrected.append((int(obj_id), frame))
        return masks

    def _track(self, state: VideoState) -> Iterator[Results]:
        for frame, masks in state.tracker.track():
            yield self._result(state.video.image(frame), masks)
            # Corrections made meanwhile take effect from the next frame on.
            if state is self.inference_state and state.corrected:
                self.propagate_in_video_preflight()

    def _scores(self, masks: Masks) -> NDArray[np.float32]:
        """Predicted IoU times presence."""
        assert masks.presence is not None
        return masks.scores * masks.presence

    def _close(self) -> None:
        if isinstance(self.inference_state, VideoState):
            self.inference_state.tracker.close()
        elif isinstance(self._source, SourceVideo):
            self._source.frames.close()
        self.inference_state, self._source = {}, None


class SAM3VideoPredictor(SAM2VideoPredictor):
    """SAM 3 (2511.16719) on videos: tracks given objects; all as for `SAM2VideoPredictor`."""

    default_model = "sam3.pt"
    kind = Sam3Config
