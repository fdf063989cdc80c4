"""Prompts on frames of a video to masks in all of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import index as as_index
from types import TracebackType
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from samkit.errors import InputError, PromptError
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.image_predictor.prompting import prompt_tensors
from samkit.masks import Masks
from samkit.media.frames import Frames, VideoSource, open_frames
from samkit.nn import ImageFeatures, PromptTensors, Sam2
from samkit.nn.memory import Tracked
from samkit.prompts import Prompt
from samkit.video.memory_bank import Memory, MemoryBank

__all__ = ["VideoPredictor"]

Direction = Literal["forward", "backward", "both"]

# Logits of an earlier answer are clamped to this when they are refined, as in the reference.
_LOGIT_LIMIT = 32.0


class VideoPredictor:
    """Follow objects through a video (2408.00714), in constant memory.

    Objects are prompted on any frame, at any time, also while tracking; each keeps its own id, and
    what is said of one does not touch the others. Frames are read when they are needed.

        tracker = samkit.VideoPredictor(samkit.load("sam2.1-tiny"), "cars.mp4")
        tracker.prompt(0, 1, samkit.Prompt.box(5, 5, 90, 80))
        for frame, masks in tracker.track(): ...

    Args:
        predictor: of a SAM 2 network with memory.
        video: a video file, folder or pattern of pictures, URL, camera number, array (T, H, W, 3)
            or iterable of frames; None for `step`, to which frames are given one by one.
        nearest_prompts: how many prompted frames are attended to at once; None for all of them.
        non_overlapping: give each pixel to the object that is surest of it.

    Raises:
        InputError: the network cannot track, or the video cannot be read.
    """

    def __init__(
        self,
        predictor: ImagePredictor,
        video: VideoSource | None = None,
        *,
        nearest_prompts: int | None = None,
        non_overlapping: bool = False,
    ) -> None:
        if not isinstance(predictor, ImagePredictor):
            raise InputError(
                "expected an ImagePredictor (samkit.load gives one), "
                f"got {type(predictor).__name__}"
            )
        network = predictor.network
        if not isinstance(network, Sam2) or not network.has_memory:
            raise InputError(
                "tracking needs a SAM 2 network with its memory; load sam2.1-tiny, -small, "
                "-base-plus or -large"
            )
        if nearest_prompts is not None and nearest_prompts < 1:
            raise InputError(f"nearest_prompts: expected None or 1 and more, got {nearest_prompts}")
        self.predictor = predictor
        self.non_overlapping = non_overlapping
        self._network = network
        self._nearest = nearest_prompts
        self._frames: Frames | None = None if video is None else open_frames(video)
        self._objects: dict[int, _Object] = {}
        self._seen: tuple[int, ImageEmbedding] | None = None
        self._size: tuple[int, int] | None = None
        self._live = -1  # the last frame of `step`
        self._backward = False

    def __enter__(self) -> "VideoPredictor":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the video and of all that is remembered."""
        if self._frames is not None:
            self._frames.close()
        self._objects.clear()
        self._seen = None

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects, in the order in which they were first prompted."""
        return tuple(self._objects)

    def prompt(self, frame: int, object_id: int, prompt: Prompt) -> Masks:
        """Say what an object is in a frame, or correct what was found there.

        On a frame that was not tracked yet the prompt speaks for itself. On the frame where
        tracking is, it corrects the mask found there, and what follows is found with it. Several
        prompts of one object on one frame add up; a mask or a box starts anew.

        Args:
            frame: number of the frame, from 0.
            object_id: any integer.
            prompt: points, a box or a mask, in pixels of the frame.

        Returns:
            The masks of all objects that are known in this frame, this one among them.

        Raises:
            InputError: there is no such frame, or it cannot be read again.
            PromptError: not a prompt.
        """
        number = _whole("frame", frame)
        if number < 0:
            raise InputError(f"frame: expected a number from 0 on, got {frame}")
        embedding = self._look(number)
        self._prompt(number, _whole("object_id", object_id), prompt, embedding)
        return self._masks(number, embedding)

    def remove(self, object_id: int) -> None:
        """Forget an object. Its id may be used again, for the same thing or another.

        Raises:
            InputError: there is no such object.
        """
        if self._objects.pop(_whole("object_id", object_id), None) is None:
            known = ", ".join(map(str, self._objects)) or "none"
            raise InputError(f"object_id: expected a known object ({known}), got {object_id}")

    def track(
        self,
        direction: Direction = "forward",
        *,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[tuple[int, Masks]]:
        """Follow all objects, frame by frame.

        Prompts and removals take effect from the next frame on.

        Args:
            direction: "both" goes forward first, and then backward from the frame before `start`.
            start: the first frame; by default the first one that has a prompt.
            stop: the frame before which (going forward) or after which (going backward) to end; for
                "both" it bounds the way forward.

        Yields:
            Number of the frame, and the masks of all objects in it, in the order of `object_ids`.
            An object that is not there has an empty mask and a `presence` below 0.5.

        Raises:
            InputError: nothing was prompted, or a frame cannot be read or has another size.
        """
        if direction not in ("forward", "backward", "both"):
            raise InputError(f"direction: expected forward, backward or both, got {direction!r}")
        if self._frames is None:
            raise InputError("there is no video to track in; give frames one by one to step()")
        first = self._first_prompt() if start is None else _whole("start", start)
        if first < 0:
            raise InputError(f"start: expected a frame from 0 on, got {start}")
        if direction != "backward":
            end = None if stop is None else _whole("stop", stop)
            anchors = (first,) if direction == "both" else ()
            yield from self._pass(first, end, backward=False, anchors=anchors)
        if direction != "forward":
            end = -1 if stop is None or direction == "both" else _whole("stop", stop)
            yield from self._pass(first - (direction == "both"), end, backward=True, anchors=())

    def step(self, frame: Any, prompts: Mapping[int, Prompt] | None = None) -> Masks:
        """The next frame of a live video.

        Args:
            frame: an image of any kind that `samkit.read_image` takes.
            prompts: object id -> what is said of it in this frame.

        Returns:
            The masks of all objects in this frame.

        Raises:
            InputError: this tracker has a video of its own, or the frame has another size.
        """
        if self._frames is not None:
            raise InputError("this tracker reads its own video; use track()")
        for object_id, prompt in (prompts or {}).items():
            _whole("object_id", object_id)
            _checked(prompt)
        number = self._live + 1
        embedding = self._embed(number, frame)
        self._live = number
        for object_id, prompt in (prompts or {}).items():
            self._prompt(number, _whole("object_id", object_id), prompt, embedding)
        self._follow(number, embedding, backward=False, anchors=())
        return self._masks(number, embedding)

    # Frames

    def _look(self, number: int) -> ImageEmbedding:
        """Embed a frame of the video; the last one is kept."""
        if self._seen is not None and self._seen[0] == number:
            return self._seen[1]
        if self._frames is None:
            raise InputError(
                f"frame {number} is not at hand; only the last frame given to step() is"
            )
        try:
            pixels = self._frames.read(number)
        except IndexError:
            count = self._frames.count
            raise InputError(
                f"frame: expected a number below {count}, the length of the video, got {number}"
            ) from None
        return self._embed(number, pixels)

    def _embed(self, number: int, frame: Any) -> ImageEmbedding:
        embedding = self.predictor.embed(frame)
        if self._size is not None and embedding.image_size != self._size:
            raise InputError(
                f"frame {number}: expected the size of the frames before {self._size} "
                f"(height, width), got {embedding.image_size}"
            )
        self._size = embedding.image_size
        self._seen = (number, embedding)
        return embedding

    def _first_prompt(self) -> int:
        frames = [t for thing in self._objects.values() for t in thing.answers]
        if not frames:
            raise InputError("nothing to track: prompt an object first")
        return min(frames)

    # Tracking

    def _pass(
        self, first: int, end: int | None, *, backward: bool, anchors: tuple[int, ...]
    ) -> Iterator[tuple[int, Masks]]:
        number = first
        while end is None or (number > end if backward else number < end):
            if not self._objects:
                raise InputError("nothing to track: prompt an object first")
            assert self._frames is not None
            if not (self._seen is not None and self._seen[0] == number):
                try:
                    pixels = self._frames.read(number)
                except IndexError:
                    return
                self._embed(number, pixels)
            assert self._seen is not None
            embedding = self._seen[1]
            self._backward = backward
            self._follow(number, embedding, backward=backward, anchors=anchors)
            yield number, self._masks(number, embedding)
            number += -1 if backward else 1

    def _follow(
        self, number: int, embedding: ImageEmbedding, *, backward: bool, anchors: tuple[int, ...]
    ) -> None:
        """Find the objects that were not prompted on this frame, and remember all."""
        features = embedding.to(self.predictor.device).features
        for thing in self._objects.values():
            thing.bank.keep(number, backward=backward, anchors=anchors)
        unknown = [thing for thing in self._objects.values() if number not in thing.answers]
        if unknown:
            count = None if self._frames is None else self._frames.count
            recollections = [
                thing.bank.recollect(number, backward=backward, frames=count) for thing in unknown
            ]
            with torch.inference_mode():
                conditioned = self._network.condition(features, recollections)
                prompts = PromptTensors.nothing(len(unknown), self.predictor.device)
                found = self._network.segment(conditioned, prompts, ambiguous=True)
                maps = self._network.remember(features, found, prompted=False)
            for i, thing in enumerate(unknown):
                thing.last = (number, _part(found, i))
                memory = Memory(map=_stored(maps[i]), pointer=found.pointer[i])
                thing.bank.add(number, memory, prompted=False)
        for thing in self._objects.values():
            if number in thing.answers:
                thing.last = (number, thing.answers[number])

    def _prompt(
        self, number: int, object_id: int, prompt: Prompt, embedding: ImageEmbedding
    ) -> None:
        prompt = _checked(prompt)
        thing = self._objects.get(object_id)
        if thing is None:
            memory = self._network.config.memory
            thing = _Object(
                bank=MemoryBank(slots=memory.slots, pointers=memory.pointers, nearest=self._nearest)
            )
        before = thing.prompts.get(number)
        starts_anew = prompt.box_xyxy is not None or prompt.mask_input is not None
        whole = prompt if before is None or starts_anew else before + prompt
        # Where tracking is, a prompt corrects what was found with memory.
        tracked = thing.last is not None and thing.last[0] == number
        corrects = tracked and number not in thing.answers
        features = embedding.to(self.predictor.device).features
        with torch.inference_mode():
            if prompt.mask_input is not None and not len(prompt.point_coords):
                found = self._network.adopt(features, self._mask_input(prompt, embedding))
            else:
                earlier = thing.last[1] if tracked and thing.last is not None else None
                if starts_anew:
                    earlier = None
                found = self._answer(thing, number, whole, earlier, embedding, corrects)
            maps = self._network.remember(features, found, prompted=True)
        memory_of_frame = Memory(map=_stored(maps[0]), pointer=found.pointer[0])
        thing.bank.add(number, memory_of_frame, prompted=not corrects)
        thing.prompts[number] = whole
        thing.last = (number, found)
        if not corrects:
            thing.answers[number] = found
        self._objects[object_id] = thing

    def _answer(
        self,
        thing: "_Object",
        number: int,
        prompt: Prompt,
        earlier: Tracked | None,
        embedding: ImageEmbedding,
        corrects: bool,
    ) -> Tracked:
        """What the network says to a prompt, with memory where it corrects."""
        features = embedding.to(self.predictor.device).features
        prior = None
        if earlier is not None:
            prior = earlier.logits.clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT)
        tensors = prompt_tensors([prompt], prior, embedding.transform, True, self.predictor.device)
        if corrects and (recalled := self._recalled(thing, number, features)) is not None:
            features = recalled
        else:
            features = self._network.without_memory(features)
        points = len(prompt.point_coords) + 2 * (prompt.box_xyxy is not None)
        return self._network.segment(features, tensors, ambiguous=points <= 1)

    def _recalled(
        self, thing: "_Object", number: int, features: ImageFeatures
    ) -> ImageFeatures | None:
        count = None if self._frames is None else self._frames.count
        recollection = thing.bank.recollect(number, backward=self._backward, frames=count)
        if not recollection.memories:
            return None
        return self._network.condition(features, [recollection])

    def _mask_input(self, prompt: Prompt, embedding: ImageEmbedding) -> Tensor:
        """A given mask as (1, 1, H, W) 0 or 1 of the input's size."""
        mask = prompt.mask_input
        assert mask is not None
        binary = mask if mask.dtype == np.bool_ else mask > 0
        pixels = torch.from_numpy(binary.astype(np.float32))[None, None]
        size = embedding.transform.input_size
        scaled = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        return (scaled >= 0.5).float().to(self.predictor.device)

    # Results

    def _masks(self, number: int, embedding: ImageEmbedding) -> Masks:
        """Masks of all objects that are known in a frame, in the order of the objects."""
        known = {
            object_id: found
            for object_id, thing in self._objects.items()
            if (found := thing.in_frame(number)) is not None
        }
        if not known:
            return Masks.empty(embedding.image_size)
        logits = torch.cat([found.logits for found in known.values()])
        full = embedding.transform.masks_to_image(logits)
        if self.non_overlapping:
            best = full.argmax(0)
            rows = torch.arange(len(full), device=full.device)[:, None, None]
            full = torch.where(best == rows, full, full.clamp(max=-1))
        presence = torch.cat([found.object_score for found in known.values()]).sigmoid()
        scores = torch.cat([found.iou for found in known.values()])
        pixels = (full > 0).cpu().numpy()
        pixels.flags.writeable = False
        return Masks(
            pixels,
            scores.float().cpu().numpy(),
            object_ids=list(known),
            prompt_index=np.arange(len(known)),
            presence=presence[:, 0].float().cpu().numpy(),
            logits=logits.float().cpu().numpy(),
        )


@dataclass(kw_only=True)
class _Object:
    """One object.

    Attributes:
        bank: what is remembered of it.
        prompts: frame -> all that was said of it there.
        answers: frame -> what it looks like on prompted frames.
        last: the last frame that was looked at, and what it looks like there.
    """

    bank: MemoryBank
    prompts: dict[int, Prompt] = field(default_factory=dict)
    answers: dict[int, Tracked] = field(default_factory=dict)
    last: tuple[int, Tracked] | None = None

    def in_frame(self, number: int) -> Tracked | None:
        if self.last is not None and self.last[0] == number:
            return self.last[1]
        return self.answers.get(number)


def _part(tracked: Tracked, i: int) -> Tracked:
    return Tracked(
        logits=tracked.logits[i : i + 1],
        iou=tracked.iou[i : i + 1],
        pointer=tracked.pointer[i : i + 1],
        object_score=tracked.object_score[i : i + 1],
    )


def _stored(memory: Tensor) -> Tensor:
    """Memories are kept in bfloat16, as in the reference, which takes half of the room."""
    return memory.to(torch.bfloat16)


def _checked(prompt: object) -> Prompt:
    if not isinstance(prompt, Prompt):
        raise PromptError(f"expected a Prompt, got {type(prompt).__name__}")
    return prompt


def _whole(name: str, value: object) -> int:
    try:
        number = as_index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise InputError(f"{name}: expected a whole number, got {value!r}")
    return number
