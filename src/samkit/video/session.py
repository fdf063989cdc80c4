"""The state of tracking: objects, their prompts, and how to undo them."""

from collections import deque
from dataclasses import dataclass, field

from samkit.errors import InputError
from samkit.image_predictor import ImageEmbedding
from samkit.masks import Masks
from samkit.memory.arguments import check_known
from samkit.memory.bank import MemoryBank
from samkit.memory.masks import masks_of
from samkit.nn import MemoryNetwork
from samkit.nn.memory import ObjectPrediction
from samkit.prompts import Prompt
from samkit.transforms import ImageTransform
from samkit.video.concepts.masks import named_masks
from samkit.video.concepts.state import ConceptState
from samkit.video.object_state import ObjectState
from samkit.video.propagation import prompt_frame, propagate

__all__ = ["UNDO_STEPS", "FrameObjects", "Session", "UndoStep"]

UNDO_STEPS = 16
"""How many prompts can be undone. A step holds earlier memory of an object, up to some 10 MB with
the released networks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class UndoStep:
    """How to undo one prompt.

    Attributes:
        frame, object_id: of the prompt.
        before: the object before the prompt; None if it was its first.
    """

    frame: int
    object_id: int
    before: ObjectState | None


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameObjects:
    """What tracking gave in a frame.

    Attributes:
        frame: its number.
        predictions: object id -> the object, each a batch of one.
        hidden: objects that are not shown there.
    """

    frame: int
    predictions: dict[int, ObjectPrediction]
    hidden: frozenset[int] = frozenset()


@dataclass(kw_only=True, eq=False)
class Session:
    """The state of tracking. It reads no frames: embeddings are passed to its methods.

    Attributes:
        network: with memory.
        is_live: frames are given one by one, and there is no video.
        one_way: frames come one after the other, and cannot be read again.
        frame_count: how many frames the video has, if that is known.
        nearest_prompts, select_frames, non_overlapping: as given to `VideoPredictor`.
        image_size: (H, W) of the frames in pixels; None before the first one.
        last_step: number of the last frame of a live session, from 0; -1 before the first one.
        turn: the frame in which the last pass in both directions turns, or None.
        objects: by id, in the order in which they were first prompted.
        history: prompts that can be undone, the last one last.
        concepts: what is looked for in each frame, or None.
    """

    network: MemoryNetwork
    is_live: bool
    one_way: bool
    frame_count: int | None
    nearest_prompts: int | None
    select_frames: bool
    non_overlapping: bool
    image_size: tuple[int, int] | None = None
    last_step: int = -1
    turn: int | None = None
    objects: dict[int, ObjectState] = field(default_factory=dict)
    history: deque[UndoStep] = field(default_factory=lambda: deque(maxlen=UNDO_STEPS))
    concepts: ConceptState | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to track, and nothing to look for."""
        return not self.objects and self.concepts is None

    @property
    def delay(self) -> int:
        """How many frames results wait for those after them, which may show that they are wrong."""
        return 0 if self.is_live or self.concepts is None else self.concepts.settings.hotstart_delay

    @property
    def first_prompt(self) -> int:
        """The first frame that has a prompt, 0 where words are looked for."""
        if self.concepts is not None:
            return 0
        return min(frame for state in self.objects.values() for frame in state.prompted)

    @property
    def prompts(self) -> dict[int, dict[int, Prompt]]:
        """Object id -> frame -> all its prompts there, joined; in the order of the last ones."""
        return {
            object_id: {frame: one.prompt for frame, one in state.prompted.items()}
            for object_id, state in self.objects.items()
        }

    def is_prompted(self, frame: int, object_id: int) -> bool:
        """Whether an object has a prompt in a frame."""
        return object_id in self.objects and frame in self.objects[object_id].prompted

    def prompt(self, frame: int, object_id: int, prompt: Prompt, embedding: ImageEmbedding) -> None:
        """Predict an object in a frame from a prompt, and remember it."""
        self.image_size = embedding.image_size
        before = self.objects.get(object_id)
        state = self.new_object() if before is None else before
        prompted = prompt_frame(
            self.network, state, frame, prompt, embedding, frames=self.frame_count
        )
        kept = None if before is None else before.copy()
        self.history.append(UndoStep(frame=frame, object_id=object_id, before=kept))
        state.add_prompted(frame, prompted)
        self.objects[object_id] = state

    def clear_prompts(self, frame: int, object_id: int) -> None:
        """Take back the prompts of an object in a frame, and forget how to undo its prompts.

        Without any other prompt the object is removed.

        Raises:
            InputError: there is no such object.
        """
        check_known(object_id, self.objects)
        state = self.objects[object_id]
        if frame not in state.prompted:
            return
        state.clear_prompted(frame)
        if state.prompted:
            self._forget_undo(object_id)
        else:
            self.remove(object_id)

    def undo(self) -> int:
        """Undo the last prompt.

        Returns:
            The number of its frame.

        Raises:
            InputError: there is none.
        """
        if not self.history:
            raise InputError(
                f"nothing to undo: the last {UNDO_STEPS} prompts of objects that are still there "
                "can be undone"
            )
        step = self.history.pop()
        if step.before is None:
            del self.objects[step.object_id]
        else:
            self.objects[step.object_id] = step.before
        return step.frame

    def remove(self, object_id: int) -> None:
        """Forget an object, and how to undo its prompts.

        Raises:
            InputError: there is no such object.
        """
        check_known(object_id, self.objects)
        del self.objects[object_id]
        if self.concepts is not None:
            self.concepts.tracks.pop(object_id, None)
        self._forget_undo(object_id)

    def forget_around(self, object_id: int, frame: int) -> None:
        """Forget the tracked frames of an object around one, except prompted ones.

        Raises:
            InputError: there is no such object.
        """
        check_known(object_id, self.objects)
        state = self.objects[object_id]
        state.bank.tracked = {
            t: memory
            for t, memory in state.bank.tracked.items()
            if t in state.prompted or not 0 < abs(t - frame) <= state.bank.slots
        }

    def prune(self, frame: int, *, backward: bool) -> None:
        """Forget what is out of reach from a frame on."""
        anchors = () if self.one_way else self.anchors
        for state in self.objects.values():
            state.prune(frame, backward=backward, anchors=anchors, one_way=self.one_way)

    def propagate(self, frame: int, embedding: ImageEmbedding, *, backward: bool) -> FrameObjects:
        """Track all objects into a frame, and forget what is out of reach from there on."""
        self.image_size = embedding.image_size
        self.prune(frame, backward=backward)
        propagate(
            self.network,
            embedding.features,
            tuple(self.objects.values()),
            frame,
            backward=backward,
            frames=self.frame_count,
        )
        return FrameObjects(frame=frame, predictions=self._predictions(frame))

    def masks(self, frame: int) -> Masks:
        """Masks of all objects that are known in a frame, in the order of the objects."""
        return self._masks(self._predictions(frame))

    def shown(self, objects: FrameObjects) -> Masks:
        """Masks of what tracking gave in a frame, of those objects that are still there.

        What words found is left out where it is hidden or has no mask.
        """
        tracks = {} if self.concepts is None else self.concepts.tracks
        return self._masks(
            {
                object_id: one
                for object_id, one in objects.predictions.items()
                if object_id in self.objects
                and object_id not in objects.hidden
                and (object_id not in tracks or bool((one.logits > 0).any()))
            }
        )

    def new_object(self) -> ObjectState:
        """The state of an object without prompts."""
        memory = self.network.config.memory
        return ObjectState(
            bank=MemoryBank(
                slots=memory.slots,
                pointers=memory.pointers,
                nearest=self.nearest_prompts,
                select=self.select_frames,
            )
        )

    @property
    def anchors(self) -> tuple[int, ...]:
        """Frames from which a pass in the other direction is likely to start."""
        anchors = [] if self.is_idle else [self.first_prompt]
        return tuple(anchors if self.turn is None else [*anchors, self.turn])

    def _forget_undo(self, object_id: int) -> None:
        others = [step for step in self.history if step.object_id != object_id]
        self.history = deque(others, maxlen=UNDO_STEPS)

    def _predictions(self, frame: int) -> dict[int, ObjectPrediction]:
        return {
            object_id: one
            for object_id, state in self.objects.items()
            if (one := state.prediction_in(frame)) is not None
        }

    def _masks(self, predictions: dict[int, ObjectPrediction]) -> Masks:
        assert self.image_size is not None
        transform = ImageTransform.for_network(self.network.config, self.image_size)
        if self.concepts is None:
            return masks_of(predictions, transform, non_overlapping=self.non_overlapping)
        tracks = self.concepts.tracks
        return named_masks(predictions, tracks, transform, non_overlapping=self.non_overlapping)
