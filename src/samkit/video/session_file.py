"""Sessions as files.

A session is one safetensors file. Its header has, under `samkit.session`, a JSON text:

    version, network         of this layout, and a fingerprint of the weights
    video                    live, frame_count, image_size
    options                  nearest_prompts, select_frames, non_overlapping
    last_step, turn          as in `Session`
    prompted                 prompted frames, which states share
    objects                  [{id, state}] in the order in which they were first prompted
    history                  [{frame, id, state or null}] before each prompt that can be undone

    state                    {prompted, remembered, recent, tracked}, as in `ObjectState`
    its prompted             [[frame, index into the list above]] in the order of the prompts
    remembered               [{frame, memory}] of tracked frames
    recent                   [{frame, prediction, backward}] of the frames tracked last

`samkit.memory.codec` describes predictions, memories and prompted objects. Beside the file is
`<name>.safetensors.prompts.json` with the prompts alone, a line for each, in the form that
`samkit track --prompts` takes; it is never read here.
"""

import json
import os
from typing import Any

import torch

from samkit.arguments import whole_number
from samkit.errors import InputError
from samkit.files import checked_path
from samkit.media import write_atomically
from samkit.media.frames import Frames
from samkit.memory.arguments import checked_id
from samkit.memory.codec import MemoryReader, MemoryWriter
from samkit.memory.prediction import PromptedObject
from samkit.nn import MemoryNetwork
from samkit.video.object_state import ObjectState, TrackedFrame
from samkit.video.session import Session, UndoStep
from samkit.weights.tensor_file import (
    fingerprint,
    read_bool,
    read_image_size,
    read_tensor_file,
    write_tensor_file,
)

__all__ = ["read_session", "write_session"]

_KIND, _VERSION = "session", 3


def write_session(session: Session, path: str | os.PathLike[str]) -> None:
    """Write a session and, beside it, its prompts.

    Raises:
        InputError: the file cannot be written.
    """
    writer = MemoryWriter()
    about = _to_json(session, writer)
    path = checked_path(path, "a file of session")
    with write_atomically(f"{path}.prompts.json") as log:
        log.write_text(_prompt_log(session), encoding="utf-8")
        write_tensor_file(
            path,
            writer.tensors,
            about,
            kind=_KIND,
            version=_VERSION,
            network_id=fingerprint(session.network),
        )


def read_session(
    path: str | os.PathLike[str],
    network: MemoryNetwork,
    device: torch.device,
    frames: Frames | None,
) -> Session:
    """Read what `write_session` wrote.

    Args:
        path: the safetensors file.
        network: the one that the session was made with.
        device: of the network.
        frames: of the session's video; None for a live session.

    Raises:
        InputError: the file is missing, damaged, of another version or kind, or the network or the
            video is not that of the session.
    """
    session = read_tensor_file(
        path,
        lambda tensors, about: _session(
            about, MemoryReader(tensors, network, device), network, frames
        ),
        kind=_KIND,
        version=_VERSION,
        network_id=fingerprint(network),
    )
    _check_video(frames, session)
    return session


def _to_json(session: Session, writer: MemoryWriter) -> dict[str, Any]:
    steps = [step.before for step in session.history if step.before is not None]
    states = [*session.objects.values(), *steps]
    prompted = {id(one): one for state in states for one in state.prompted.values()}
    index = {key: i for i, key in enumerate(prompted)}

    def state_to_json(state: ObjectState) -> dict[str, Any]:
        return {
            "prompted": [[frame, index[id(one)]] for frame, one in state.prompted.items()],
            "remembered": [
                {"frame": frame, "memory": writer.memory(memory)}
                for frame, memory in state.bank.tracked.items()
            ],
            "recent": [
                {
                    "frame": one.frame,
                    "prediction": writer.prediction(one.prediction),
                    "backward": one.backward,
                }
                for one in state.recent
            ],
            "tracked": state.tracked,
        }

    return {
        "video": {
            "live": session.is_live,
            "frame_count": session.frame_count,
            "image_size": session.image_size,
        },
        "options": {
            "nearest_prompts": session.nearest_prompts,
            "select_frames": session.select_frames,
            "non_overlapping": session.non_overlapping,
        },
        "last_step": session.last_step,
        "turn": session.turn,
        "prompted": [writer.prompted(one) for one in prompted.values()],
        "objects": [
            {"id": object_id, "state": state_to_json(state)}
            for object_id, state in session.objects.items()
        ],
        "history": [
            {
                "frame": step.frame,
                "id": step.object_id,
                "state": None if step.before is None else state_to_json(step.before),
            }
            for step in session.history
        ],
    }


def _session(
    about: dict[str, Any], reader: MemoryReader, network: MemoryNetwork, frames: Frames | None
) -> Session:
    video, options = about["video"], about["options"]
    count, size, turn = video["frame_count"], video["image_size"], about["turn"]
    nearest = options["nearest_prompts"]
    session = Session(
        network=network,
        is_live=read_bool(video["live"]),
        one_way=frames is None or not frames.seekable,
        frame_count=None if count is None else whole_number("frame_count", count, 1),
        nearest_prompts=None if nearest is None else whole_number("nearest_prompts", nearest, 1),
        select_frames=read_bool(options["select_frames"]),
        non_overlapping=read_bool(options["non_overlapping"]),
        image_size=None if size is None else read_image_size(size),
        last_step=whole_number("last_step", about["last_step"], -1),
        turn=None if turn is None else _frame(turn),
    )
    prompted = [reader.prompted(one) for one in about["prompted"]]
    for one in about["objects"]:
        state = _state(one["state"], session.new_object(), prompted, reader)
        session.objects[checked_id(one["id"])] = state
    if len(session.objects) != len(about["objects"]):
        raise ValueError("an object is there twice")
    if session.objects and session.image_size is None:
        raise ValueError("the size of the frames is missing")
    for step in about["history"]:
        before = None
        if step["state"] is not None:
            before = _state(step["state"], session.new_object(), prompted, reader)
        object_id = checked_id(step["id"])
        session.history.append(
            UndoStep(frame=_frame(step["frame"]), object_id=object_id, before=before)
        )
    _check_history(session)
    return session


def _state(
    about: dict[str, Any], state: ObjectState, prompted: list[PromptedObject], reader: MemoryReader
) -> ObjectState:
    """Fill in a new state."""
    state.recent = tuple(
        TrackedFrame(
            frame=_frame(one["frame"]),
            prediction=reader.prediction(one["prediction"]),
            backward=read_bool(one["backward"]),
        )
        for one in about["recent"]
    )
    state.tracked = tuple((_frame(first), _frame(last)) for first, last in about["tracked"])
    for frame, number in about["prompted"]:
        state.add_prompted(_frame(frame), prompted[whole_number("prompted", number, 0)])
    if not state.bank.prompted:
        raise ValueError("an object was never prompted")
    # Corrected frames that are still remembered are among the rest.
    state.bank.tracked.clear()
    for one in about["remembered"]:
        frame = _frame(one["frame"])
        if frame in state.bank.prompted:
            raise ValueError(f"frame {frame} is remembered twice")
        state.bank.add(frame, reader.memory(one["memory"]), prompted=False)
    return state


def _frame(value: Any) -> int:
    return whole_number("frame", value, 0)


def _check_history(session: Session) -> None:
    """Check that each step undoes a prompt of an object that exists at that point."""
    known = set(session.objects)
    for step in reversed(session.history):
        if step.object_id not in known:
            raise ValueError(f"a prompt of object {step.object_id}, which is not there")
        if step.before is None:
            known.remove(step.object_id)


def _check_video(frames: Frames | None, session: Session) -> None:
    """Refuse a video that differs from the session's in length or size."""
    if session.is_live != (frames is None):
        wanted = "no video: it continues with step()" if session.is_live else "its video"
        raise InputError(f"the session needs {wanted}")
    if frames is None or not frames.seekable:
        return  # the size is checked at the first frame
    if session.frame_count is not None and frames.count != session.frame_count:
        raise InputError(
            f"video: expected that of the session, of {session.frame_count} frames, "
            f"got {frames.count}"
        )
    height, width = frames.read(0).shape[:2]
    if session.image_size is not None and (height, width) != session.image_size:
        raise InputError(
            f"video: expected that of the session, with frames of size {session.image_size} "
            f"(height, width), got {(height, width)}"
        )


def _prompt_log(session: Session) -> str:
    """The prompts as a JSON list, a line for each."""
    lines = [
        json.dumps({"frame": frame, "object_id": object_id, **prompt.to_dict()})
        for object_id, prompts in session.prompts.items()
        for frame, prompt in prompts.items()
    ]
    return "[" + ",".join(f"\n  {line}" for line in lines) + "\n]\n"
