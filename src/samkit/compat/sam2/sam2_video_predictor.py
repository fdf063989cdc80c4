"""Objects prompted in frames of a video, tracked through all of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.arguments import switch, whole_number
from samkit.compat.networks import predictor_of
from samkit.compat.objects import ObjectArrays, full_size
from samkit.compat.sam2.loading import FILLED_HOLES, pretrained
from samkit.compat.sam2.specks import without_specks
from samkit.errors import InputError, PromptError
from samkit.image_predictor import ImagePredictor
from samkit.masks import Masks
from samkit.media.frames import open_frames
from samkit.memory.arguments import check_known, checked_id, network_with_memory
from samkit.nn import Network
from samkit.prompts import Prompt
from samkit.video import VideoPredictor

__all__ = ["InferenceState", "SAM2VideoPredictor"]

FrameMasks = tuple[int, list[int], Tensor]
# Logit of an object in a frame in which it is not known.
_UNKNOWN = -1024.0
# Highest logit where a pixel belongs to another object.
_OTHERS = -10.0
# Logit of filled holes.
_FILLED = 0.1


@dataclass(kw_only=True, eq=False)
class InferenceState:
    """A video with its objects, made by `SAM2VideoPredictor.init_state`.

    Attributes:
        tracker: samkit's own, which does the work.
        num_frames: of the video.
        video_height, video_width: of its frames, in pixels.
        obj_ids: in the order in which the objects were first prompted.
        prompts: (object, frame) -> what counts there.
    """

    tracker: VideoPredictor
    num_frames: int
    video_height: int
    video_width: int
    obj_ids: list[int] = field(default_factory=list)
    prompts: dict[tuple[int, int], Prompt] = field(default_factory=dict)


class SAM2VideoPredictor:
    """SAM 2 (2408.00714) on videos, in constant memory.

        predictor = build_sam2_video_predictor("configs/sam2.1/sam2.1_hiera_t.yaml", path)
        state = predictor.init_state("cars.mp4")
        predictor.add_new_points_or_box(state, 0, 1, points=[[210, 350]], labels=[1])
        for frame_idx, obj_ids, mask_logits in predictor.propagate_in_video(state): ...

    Mask logits are (N, 1, H, W) float32 tensors on the network's device, a row for each of
    `obj_ids`, positive inside. Where nothing is known of an object in a frame they are -1024.
    Objects have any integers of 64 bits as their ids.

    Args:
        sam_model: a network with memory, on any device, which runs in float32; or an
            `ImagePredictor`, which has its own device and dtype.
        fill_hole_area: holes of at most so many cells of the low-resolution masks are filled.
        non_overlap_masks: give each pixel to the object with the highest logit there.

    Attributes:
        core: samkit's predictor of images.

    Raises:
        InputError: no model, or one that cannot track.
    """

    def __init__(
        self,
        sam_model: Network | ImagePredictor,
        fill_hole_area: int = 0,
        non_overlap_masks: bool = False,
    ) -> None:
        self.core = predictor_of(sam_model)
        network_with_memory(self.core, "tracking")
        self.fill_hole_area = whole_number("fill_hole_area", fill_hole_area, 0)
        self.non_overlap_masks = switch("non_overlap_masks", non_overlap_masks)

    @classmethod
    def from_pretrained(
        cls,
        model_id: str,
        *,
        device: str | torch.device = "auto",
        mode: str = "eval",
        apply_postprocessing: bool = True,
    ) -> "SAM2VideoPredictor":
        """A predictor by the id of a repository, or anything else that `samkit.load` takes.

        Args:
            model_id: such as "facebook/sam2.1-hiera-tiny", or "pico".
            device, mode, apply_postprocessing: as for `build_sam2_video_predictor`.

        Raises:
            UnknownModelError, CheckpointError, DownloadError, InputError: as of `samkit.load`.
        """
        network = pretrained(
            model_id, device=device, mode=mode, apply_postprocessing=apply_postprocessing
        )
        return cls(network, fill_hole_area=FILLED_HOLES if apply_postprocessing else 0)

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return self.core.device

    def init_state(
        self,
        video_path: Any,
        offload_video_to_cpu: bool = False,
        offload_state_to_cpu: bool = False,
        async_loading_frames: bool = False,
    ) -> InferenceState:
        """Open a video. Several can be open at the same time.

        Args:
            video_path: a video file, a folder of pictures, a URL of a file, an array (T, H, W, 3)
                or another source of `samkit.VideoPredictor` whose frames can be read again.
            offload_video_to_cpu, offload_state_to_cpu, async_loading_frames: change nothing: frames
                are read when they are needed, and memory is bounded.

        Raises:
            InputError: it is missing, is no video, or is a stream.
        """
        if isinstance(video_path, bytes):
            raise InputError("video_path: expected a file, got its bytes; write them to a file")
        frames = open_frames(video_path)
        count = frames.count
        if not frames.seekable or count is None:
            if frames is not video_path:
                frames.close()
            raise InputError(
                "video_path: expected a video whose frames can be read again, got a stream; use "
                "samkit.VideoPredictor for streams"
            )
        height, width = frames.read(0).shape[:2]
        return InferenceState(
            tracker=VideoPredictor(self.core, frames),
            num_frames=count,
            video_height=height,
            video_width=width,
        )

    # Prompts

    def add_new_points_or_box(
        self,
        inference_state: InferenceState,
        frame_idx: int,
        obj_id: int,
        points: Any = None,
        labels: Any = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
        box: Any = None,
    ) -> FrameMasks:
        """Prompt an object in a frame, or correct its mask there.

        Prompts that contain all earlier ones of the object in this frame, and more points, refine
        the mask that is there; others replace them.

        Args:
            inference_state: of `init_state`.
            frame_idx: number of the frame, from 0.
            obj_id: of a known or a new object.
            points: (P, 2) xy in pixels of the frame.
            labels: (P,) of 1 (foreground), 0 (background) or -1 (the point is left out).
            clear_old_points: all prompts of the object in this frame are given; False: points are
                added to earlier ones.
            normalize_coords: coordinates are pixels; False: fractions of the frame's sides, 0 to 1.
            box: (4,) xyxy.

        Returns:
            The frame's number, the ids of all objects, and their mask logits.

        Raises:
            PromptError: neither points nor box, points without labels, a box with
                ``clear_old_points=False``, or a wrong shape or value.
            InputError: there is no such frame, or a wrong id.
        """
        state = _checked(inference_state)
        frame, object_id = whole_number("frame_idx", frame_idx, 0), checked_id(obj_id)
        replaces = switch("clear_old_points", clear_old_points)
        if box is not None and not replaces:
            raise PromptError(
                "box: expected clear_old_points=True with a box, because a box comes before points"
            )
        in_pixels = switch("normalize_coords", normalize_coords)
        size = (float(state.video_width), float(state.video_height))
        objects = ObjectArrays.read(points, labels, box, scale=(1.0, 1.0) if in_pixels else size)
        if objects.count != 1:
            raise PromptError(f"expected prompts of one object, got those of {objects.count}")
        given = objects.prompt(0)
        before = state.prompts.get((object_id, frame))
        if before is None:
            return self._prompt(state, frame, object_id, send=given, whole=given)
        if not replaces:
            return self._prompt(state, frame, object_id, send=given, whole=before + given)
        new = _new_points(before, given)
        if new is None and given.box_xyxy is None:  # a box replaces earlier prompts by itself
            state.tracker.clear_prompts(frame, object_id)
        return self._prompt(state, frame, object_id, send=new or given, whole=given)

    add_new_points = add_new_points_or_box
    """The former name."""

    def add_new_mask(
        self, inference_state: InferenceState, frame_idx: int, obj_id: int, mask: Any
    ) -> FrameMasks:
        """Give an object's mask in a frame; it replaces earlier prompts there.

        Args:
            inference_state, frame_idx, obj_id: as for `add_new_points_or_box`.
            mask: (H, W) binary, of any size, which covers the whole frame; an empty one means that
                the object is absent.

        Returns:
            The frame's number, the ids of all objects, and their mask logits.

        Raises:
            PromptError: not a mask; InputError: there is no such frame, or a wrong id.
        """
        state = _checked(inference_state)
        frame, object_id = whole_number("frame_idx", frame_idx, 0), checked_id(obj_id)
        prompt = Prompt.mask(mask.cpu() if isinstance(mask, Tensor) else mask)
        return self._prompt(state, frame, object_id, send=prompt, whole=prompt)

    def clear_all_prompts_in_frame(
        self,
        inference_state: InferenceState,
        frame_idx: int,
        obj_id: int,
        need_output: bool = True,
    ) -> FrameMasks | None:
        """Take back all prompts of an object in a frame.

        An object without any other prompt is removed.

        Args:
            inference_state, frame_idx, obj_id: as for `add_new_points_or_box`.
            need_output: return the masks of the frame.

        Returns:
            The frame's number, the ids of all objects, and their mask logits; or None.

        Raises:
            InputError: there is no such object.
        """
        state = _checked(inference_state)
        frame, object_id = whole_number("frame_idx", frame_idx, 0), checked_id(obj_id)
        masks = state.tracker.clear_prompts(frame, object_id)
        state.prompts.pop((object_id, frame), None)
        if object_id not in state.tracker.object_ids:
            state.obj_ids.remove(object_id)
        return self._output(state, frame, masks) if switch("need_output", need_output) else None

    def remove_object(
        self,
        inference_state: InferenceState,
        obj_id: int,
        strict: bool = False,
        need_output: bool = True,
    ) -> tuple[list[int], list[tuple[int, Tensor]]]:
        """Forget an object. Its id may be used again.

        Args:
            inference_state: of `init_state`.
            obj_id: of the object.
            strict: an unknown object is an error.
            need_output: return the masks of the others where the object was prompted.

        Returns:
            The ids of the remaining objects, and (frame number, mask logits) of frames.

        Raises:
            InputError: there is no such object, if `strict`.
        """
        state, object_id = _checked(inference_state), checked_id(obj_id)
        if object_id not in state.obj_ids:
            if switch("strict", strict):
                check_known(object_id, state.obj_ids)
            return list(state.obj_ids), []
        state.obj_ids.remove(object_id)
        frames = sorted(frame for one, frame in state.prompts if one == object_id)
        updated = []
        for frame in frames:
            del state.prompts[object_id, frame]
            # With its last prompt the object is gone.
            masks = state.tracker.clear_prompts(frame, object_id)
            if state.obj_ids and switch("need_output", need_output):
                updated.append((frame, self._output(state, frame, masks)[2]))
        return list(state.obj_ids), updated

    def reset_state(self, inference_state: InferenceState) -> None:
        """Forget all objects; the video stays open."""
        state = _checked(inference_state)
        for object_id in state.tracker.object_ids:
            state.tracker.remove(object_id)
        state.obj_ids.clear()
        state.prompts.clear()

    # Tracking

    def propagate_in_video(
        self,
        inference_state: InferenceState,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[FrameMasks]:
        """Track all objects, frame by frame.

        Prompts and removals take effect from the next frame on.

        Args:
            inference_state: of `init_state`.
            start_frame_idx: the first frame; by default the first one that has a prompt.
            max_frame_num_to_track: so many frames after the first one; by default all.
            reverse: go towards the start of the video; from frame 0 there is then nothing to do.

        Yields:
            The frame's number, the ids of all objects, and their mask logits.

        Raises:
            InputError: nothing was prompted, or a frame that is not there.
        """
        state = _checked(inference_state)
        if not state.prompts:
            raise InputError("nothing to track: expected points, a box or a mask of an object")
        first = min(frame for _, frame in state.prompts)
        if start_frame_idx is not None:
            first = whole_number("start_frame_idx", start_frame_idx, 0)
        most = state.num_frames
        if max_frame_num_to_track is not None:
            most = whole_number("max_frame_num_to_track", max_frame_num_to_track, 0)
        if not switch("reverse", reverse):
            return self._track(state, state.tracker.track(start=first, stop=first + most + 1))
        if first == 0:
            return iter(())
        stop = max(first - most, 0) - 1
        return self._track(state, state.tracker.track("backward", start=first, stop=stop))

    def _track(
        self, state: InferenceState, frames: Iterator[tuple[int, Masks]]
    ) -> Iterator[FrameMasks]:
        for frame, masks in frames:
            yield self._output(state, frame, masks)

    def _prompt(
        self, state: InferenceState, frame: int, object_id: int, *, send: Prompt, whole: Prompt
    ) -> FrameMasks:
        """Pass a prompt on. `whole` is what counts there from then on."""
        masks = state.tracker.prompt(frame, object_id, send)
        state.prompts[object_id, frame] = whole
        if object_id not in state.obj_ids:
            state.obj_ids.append(object_id)
        return self._output(state, frame, masks)

    def _output(self, state: InferenceState, frame: int, masks: Masks) -> FrameMasks:
        size = (state.video_height, state.video_width)
        full = np.full((len(state.obj_ids), 1, *size), _UNKNOWN, np.float32)
        known = dict(zip(masks.object_ids.tolist(), self._logits(masks), strict=True))
        for row, object_id in zip(full, state.obj_ids, strict=True):
            if object_id in known:
                row[0] = full_size(known[object_id], self.core.transform(size), self.device)
        logits = torch.from_numpy(full).to(self.device)
        if self.non_overlap_masks and len(logits) > 1:
            owner = logits.argmax(0, keepdim=True)
            own = owner == torch.arange(len(logits), device=self.device)[:, None, None, None]
            logits = torch.where(own, logits, logits.clamp(max=_OTHERS))
        return frame, list(state.obj_ids), logits

    def _logits(self, masks: Masks) -> NDArray[np.float32]:
        """Low-resolution logits (N, h, w), without small holes."""
        if masks.logits is None:  # of no objects
            return np.zeros((0, 1, 1), np.float32)
        return without_specks(masks.logits, holes=self.fill_hole_area, beyond=_FILLED)


def _checked(state: Any) -> InferenceState:
    """A state of `init_state`."""
    if not isinstance(state, InferenceState):
        raise InputError(
            f"inference_state: expected what init_state returns, got {type(state).__name__}"
        )
    return state


def _new_points(before: Prompt, given: Prompt) -> Prompt | None:
    """The points that a prompt adds to an earlier one; None where it does not contain it."""
    count = len(before.point_coords)
    same = (
        np.array_equal(given.point_coords[:count], before.point_coords)
        and np.array_equal(given.point_labels[:count], before.point_labels)
        and _same_box(before, given)
    )
    if not same or len(given.point_coords) <= count:
        return None
    return Prompt.points(given.point_coords[count:], given.point_labels[count:])


def _same_box(before: Prompt, given: Prompt) -> bool:
    if before.box_xyxy is None or given.box_xyxy is None:
        return before.box_xyxy is given.box_xyxy
    return np.array_equal(before.box_xyxy, given.box_xyxy)
