"""Sessions as JSON and tensors, and back; what a file says is believed where it can be true."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.media import MAX_PIXELS
from samkit.media.frames import Frames
from samkit.memory.bank import Memory, MemoryBank
from samkit.nn import Sam2
from samkit.nn.memory import ObjectPrediction
from samkit.prompts import Prompt
from samkit.video.object_state import Answer, ObjectState, TrackedFrame
from samkit.video.session import Session, UndoStep

__all__ = ["SessionReader", "SessionWriter"]


class SessionWriter:
    """Puts values into JSON, and collects their tensors.

    Attributes:
        tensors: by name; each is there once, however often it is used.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._numbers: dict[int, int] = {}
        self._made: list[Tensor] = []
        self._answers: list[dict[str, Any]] = []
        self._answer_numbers: dict[int, int] = {}

    def session(self, session: Session) -> dict[str, Any]:
        """A session as JSON values; it has to stay as it is until its tensors are used."""
        return {
            "video": {
                "live": session.is_live,
                "frame_count": session.frame_count,
                "image_size": session.image_size,
            },
            "options": {
                "nearest_prompts": session.nearest_prompts,
                "non_overlapping": session.non_overlapping,
            },
            "last_step": session.last_step,
            "turn": session.turn,
            "objects": [
                {"id": object_id, "state": self._state(state)}
                for object_id, state in session.objects.items()
            ],
            "history": [
                {
                    "frame": step.frame,
                    "id": step.object_id,
                    "state": None if step.before is None else self._state(step.before),
                }
                for step in session.history
            ],
            "answers": self._answers,
        }

    def _state(self, state: ObjectState) -> dict[str, Any]:
        return {
            "answers": [[frame, self._answer(answer)] for frame, answer in state.answers.items()],
            "followed": [
                {"frame": frame, "memory": self._memory(memory)}
                for frame, memory in state.bank.followed.items()
            ],
            "sights": [
                {
                    "frame": sight.frame,
                    "found": self._found(sight.found),
                    "backward": sight.backward,
                }
                for sight in state.sights
            ],
            "tracked": state.tracked,
        }

    def _answer(self, answer: Answer) -> int:
        if id(answer) not in self._answer_numbers:
            self._answer_numbers[id(answer)] = len(self._answers)
            written = {
                "corrects": answer.corrects,
                "prompt": self._prompt(answer.prompt),
                "found": self._found(answer.found),
                "memory": self._memory(answer.memory),
            }
            self._answers.append(written)
        return self._answer_numbers[id(answer)]

    def _prompt(self, prompt: Prompt) -> dict[str, Any]:
        mask = prompt.mask_input
        return {
            "points": prompt.point_coords.tolist(),
            "labels": prompt.point_labels.tolist(),
            "box": None if prompt.box_xyxy is None else prompt.box_xyxy.tolist(),
            "mask": None if mask is None else self._mask(mask),
        }

    def _mask(self, mask: NDArray[Any]) -> int:
        tensor = torch.from_numpy(mask.copy())
        self._made.append(tensor)  # so that no other tensor gets its id
        return self._tensor(tensor)

    def _found(self, found: ObjectPrediction) -> dict[str, Any]:
        return {
            "logits": self._tensor(found.logits),
            "iou": self._tensor(found.iou),
            "pointer": self._tensor(found.pointer),
            "object_score": self._tensor(found.object_score),
        }

    def _memory(self, memory: Memory) -> dict[str, Any]:
        return {
            "map": None if memory.map is None else self._tensor(memory.map),
            "pointer": self._tensor(memory.pointer),
        }

    def _tensor(self, tensor: Tensor) -> int:
        if id(tensor) not in self._numbers:
            number = self._numbers[id(tensor)] = len(self._numbers)
            self.tensors[str(number)] = tensor.detach().cpu().clone().contiguous()
        return self._numbers[id(tensor)]


class SessionReader:
    """Makes values from JSON and tensors. Where they cannot be true it raises a usual error.

    Args:
        tensors: by name, as `SessionWriter` named them.
        network: the one that the session was made with.
        device: where its memories are wanted.
        frames: of its video; None for a live session.
    """

    def __init__(
        self,
        tensors: dict[str, Tensor],
        network: Sam2,
        device: torch.device,
        frames: Frames | None,
    ) -> None:
        self._tensors, self._network, self._device = tensors, network, device
        self._config, self._frames = network.config, frames
        self._nearest: int | None = None
        self._answers: list[Answer] = []
        self._placed: dict[int, Tensor] = {}

    def session(self, about: dict[str, Any]) -> Session:
        video, options = about["video"], about["options"]
        self._nearest = _optional(options["nearest_prompts"], _whole(1))
        session = Session(
            network=self._network,
            is_live=_flag(video["live"]),
            one_way=self._frames is None or not self._frames.seekable,
            frame_count=_optional(video["frame_count"], _whole(1)),
            nearest_prompts=self._nearest,
            non_overlapping=_flag(options["non_overlapping"]),
            image_size=_optional(video["image_size"], _size),
            last_step=_whole(-1)(about["last_step"]),
            turn=_optional(about["turn"], _whole(0)),
        )
        self._answers = [self._answer(one) for one in about["answers"]]
        for one in about["objects"]:
            session.objects[_object_id(one["id"])] = self._state(one["state"])
        if len(session.objects) != len(about["objects"]):
            raise ValueError("an object is there twice")
        if session.objects and session.image_size is None:
            raise ValueError("the size of the frames is missing")
        for step in about["history"]:
            undo = UndoStep(
                frame=_whole(0)(step["frame"]),
                object_id=_object_id(step["id"]),
                before=_optional(step["state"], self._state),
            )
            session.history.append(undo)
        _check_history(session)
        return session

    def _state(self, value: dict[str, Any]) -> ObjectState:
        memory = self._config.memory
        state = ObjectState(
            bank=MemoryBank(slots=memory.slots, pointers=memory.pointers, nearest=self._nearest),
            sights=tuple(self._sight(one) for one in value["sights"]),
            tracked=tuple((_whole(0)(first), _whole(0)(last)) for first, last in value["tracked"]),
        )
        for frame, number in value["answers"]:
            state.answer(_whole(0)(frame), self._answers[_whole(0)(number)])
        if not state.bank.prompted:
            raise ValueError("an object was never prompted")
        # What corrections left in the bank is among the rest, as far as it is still remembered.
        state.bank.followed.clear()
        for one in value["followed"]:
            frame = _whole(0)(one["frame"])
            if frame in state.bank.prompted:
                raise ValueError(f"frame {frame} is remembered twice")
            state.bank.add(frame, self._memory(one["memory"]), prompted=False)
        return state

    def _answer(self, value: dict[str, Any]) -> Answer:
        return Answer(
            prompt=self._prompt(value["prompt"]),
            found=self._found(value["found"]),
            memory=self._memory(value["memory"]),
            corrects=_flag(value["corrects"]),
        )

    def _sight(self, value: dict[str, Any]) -> TrackedFrame:
        return TrackedFrame(
            frame=_whole(0)(value["frame"]),
            found=self._found(value["found"]),
            backward=_flag(value["backward"]),
        )

    def _prompt(self, value: dict[str, Any]) -> Prompt:
        mask = None if value["mask"] is None else self._tensors[str(value["mask"])].numpy()
        return Prompt(
            point_coords=np.array(value["points"], np.float32).reshape(-1, 2),
            point_labels=np.array(value["labels"], np.int32),
            box_xyxy=None if value["box"] is None else np.array(value["box"], np.float32),
            mask_input=mask,
        )

    def _found(self, value: dict[str, Any]) -> ObjectPrediction:
        height, width = self._config.image_size
        return ObjectPrediction(
            logits=self._tensor(value["logits"], torch.float32, 1, height // 4, width // 4),
            iou=self._tensor(value["iou"], torch.float32, 1),
            pointer=self._tensor(value["pointer"], torch.float32, 1, self._config.dim),
            object_score=self._tensor(value["object_score"], torch.float32, 1, 1),
        )

    def _memory(self, value: dict[str, Any]) -> Memory:
        height, width = self._config.image_size
        shape = (self._config.memory.dim, height // 16, width // 16)
        has_map = value["map"] is not None
        return Memory(
            map=self._tensor(value["map"], torch.bfloat16, *shape) if has_map else None,
            pointer=self._tensor(value["pointer"], torch.float32, self._config.dim),
        )

    def _tensor(self, number: int, dtype: torch.dtype, *shape: int) -> Tensor:
        tensor = self._tensors[str(number)]
        if tensor.dtype != dtype or tuple(tensor.shape) != shape:
            raise ValueError(f"tensor {number} has a wrong type or shape")
        if number not in self._placed:
            if not torch.isfinite(tensor).all():
                raise ValueError(f"tensor {number} has values that are not finite")
            # A copy, because a tensor may be mapped from a file that is overwritten later.
            self._placed[number] = tensor.to(self._device, copy=True)
        return self._placed[number]


def _check_history(session: Session) -> None:
    """Each step has to lead back to one that is still there to be taken back."""
    known = set(session.objects)
    for step in reversed(session.history):
        if step.object_id not in known:
            raise ValueError(f"a prompt of object {step.object_id}, which is not there")
        if step.before is None:
            known.remove(step.object_id)


def _optional(value: Any, read: Callable[[Any], Any]) -> Any:
    return None if value is None else read(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def _whole(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"expected a whole number from {least} on, got {value!r}")
        return value

    return read


def _object_id(value: Any) -> int:
    number = _whole(-(2**63))(value)
    if number >= 2**63:
        raise ValueError(f"expected an id of 64 bits, got {number}")
    return number


def _size(value: Any) -> tuple[int, int]:
    height, width = (_whole(1)(side) for side in value)
    if height * width > MAX_PIXELS:
        raise ValueError(f"frames of an impossible size, {height} x {width}")
    return height, width
