"""Sessions as files.

A session is one safetensors file. Its tensors are numbered ("0", "1", ...), each written once; its
header has, under `samkit.session`, a JSON text that says what they are:

    version, network         of this layout, and a fingerprint of the weights
    video                    live, frame_count, image_size
    options                  nearest_prompts, non_overlapping
    last_step, turn          where tracking is
    objects                  [{id, state}] in the order in which they were first prompted
    history                  [{frame, id, state or null}] before each prompt that can be undone

    answers                  [{corrects, prompt, found, memory}] of prompted frames

    state                    {answers, followed, sights, tracked}, as in `ObjectState`
    its answers              [[frame, which of the answers]] in the order of the prompts
    followed                 [{frame, memory}]
    prompt                   {points: [[x, y], ...], labels, box, mask}
    found, memory            fields of `ObjectPrediction` and `Memory`; a number stands for the tensor

Beside it lies `<name>.safetensors.prompts.json` with the prompts alone, a line for each, in the
form that `samkit track --prompts` takes; it is never read here. Reading runs no code, and believes
nothing unchecked.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from samkit.errors import InputError
from samkit.media import write_atomically
from samkit.media.frames import Frames
from samkit.memory.codec import SessionReader, SessionWriter
from samkit.nn import Sam2
from samkit.video.session import Session
from samkit.weights.state_file import DAMAGE, read_state, write_state

__all__ = ["read_session", "write_session"]

_VERSION = 1


def write_session(session: Session, path: str | os.PathLike[str]) -> None:
    """Write a session and, beside it, its prompts.

    Raises:
        InputError: the place cannot be written to.
    """
    writer = SessionWriter()
    about = writer.session(session)
    path = Path(path)
    with (
        write_atomically(path) as temporary,
        write_atomically(path.with_name(path.name + ".prompts.json")) as temporary_log,
    ):
        write_state(temporary, writer.tensors, about, "session", _VERSION, session.network)
        temporary_log.write_text(_prompt_log(session), encoding="utf-8")


def read_session(
    path: str | os.PathLike[str], network: Sam2, device: torch.device, frames: Frames | None
) -> Session:
    """Read what `write_session` wrote.

    Args:
        path: the safetensors file.
        network: the one that the session was made with.
        device: where its memories are wanted.
        frames: of its video; None for a live session.

    Raises:
        InputError: the file is missing, damaged, of a newer samkit or holds something else, or
            network or video are not those of the session.
    """
    tensors, about = read_state(path, "session", _VERSION, network)
    try:
        session = SessionReader(tensors, network, device, frames).session(about)
    except DAMAGE as error:
        raise InputError(f"cannot read a session from {path}: it is damaged ({error})") from error
    _check_video(frames, session)
    return session


def _check_video(frames: Frames | None, session: Session) -> None:
    """Refuse another video than that of a session, as far as can be told."""
    if session.is_live != (frames is None):
        wanted = "no video: it goes on with step()" if session.is_live else "its video"
        raise InputError(f"the session needs {wanted}")
    if frames is None or not frames.seekable:
        return  # the first frame that comes will tell its size
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
    return "[" + ",".join(f"\n  {json.dumps(line)}" for line in _log_lines(session)) + "\n]\n"


def _log_lines(session: Session) -> Iterator[dict[str, Any]]:
    for object_id, state in session.objects.items():
        for frame, answer in state.answers.items():
            yield {"frame": frame, "object_id": object_id, **answer.prompt.to_dict()}
