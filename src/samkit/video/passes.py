"""Ways through the frames of a video: which frames they take, and objects tracked along them."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from samkit.arguments import whole_number
from samkit.errors import InputError, shown
from samkit.image_predictor import ImageEmbedding
from samkit.masks import Masks
from samkit.video.concepts.tracking import track_concepts
from samkit.video.embedded_frames import EmbeddedFrames
from samkit.video.session import FrameObjects, Session

__all__ = ["Direction", "checked_range", "passes", "track_into"]

Direction = Literal["forward", "backward", "both"]


def checked_range(
    session: Session, direction: Direction, start: int | None, stop: int | None
) -> tuple[int, int | None]:
    """The first frame, and the one at which to end, as `VideoPredictor.track` takes them.

    Raises:
        InputError: the session has no objects or is live, or there are no such frames.
    """
    if not isinstance(direction, str) or direction not in ("forward", "backward", "both"):
        raise InputError(f"direction: expected forward, backward or both, got {shown(direction)}")
    if session.is_live:
        raise InputError("there is no video to track in; give frames one by one to step()")
    if session.is_idle:
        raise InputError("nothing to track: prompt an object first")
    first = session.first_prompt if start is None else whole_number("start", start)
    count = session.frame_count
    # A forward pass may start after the last frame: it is empty.
    beyond = count is not None and first > count - (direction == "backward")
    if first < 0 or beyond:
        frames = "a frame from 0 on" if count is None else f"a frame from 0 to {count - 1}"
        raise InputError(f"start: expected {frames}, got {first}")
    end = None if stop is None else whole_number("stop", stop)
    if end is not None and (end > first if direction == "backward" else end < first):
        side = "before" if direction == "backward" else "after"
        raise InputError(f"stop: expected a frame {side} {first}, got {end}")
    return first, end


def track_into(
    session: Session, frame: int, embedding: ImageEmbedding, *, backward: bool
) -> FrameObjects:
    """Track all objects into a frame, and find others there if words are looked for."""
    if session.concepts is None:
        return session.propagate(frame, embedding, backward=backward)
    return track_concepts(session, session.concepts, frame, embedding, backward=backward)


def passes(
    session: Session,
    frames: EmbeddedFrames,
    direction: Direction,
    first: int,
    stop: int | None,
    check: Callable[[], None],
) -> Iterator[tuple[int, Masks]]:
    """Track all objects of a session, forward, backward, or first forward and then backward.

    Args:
        session: is changed.
        frames: of the video.
        direction, first, stop: as `checked_range` gives them.
        check: is called before each frame, and raises where tracking must not go on.

    Yields:
        Number of the frame, and the masks of all objects in it.
    """
    if direction == "both":
        session.turn = first
    if direction != "backward":
        numbers = itertools.count(first) if stop is None else range(first, stop)
        yield from _pass(session, frames, numbers, check, backward=False)
    if direction != "forward":
        both = direction == "both"
        end = -1 if stop is None or both else stop
        numbers = range(first - both, end, -1)
        yield from _pass(session, frames, numbers, check, backward=True)


def _pass(
    session: Session,
    frames: EmbeddedFrames,
    numbers: Iterable[int],
    check: Callable[[], None],
    *,
    backward: bool,
) -> Iterator[tuple[int, Masks]]:
    """Go through frames until the video ends, or all objects are gone.

    Results wait until it is known which objects were found wrongly (`Session.delay`).
    """
    frames.keep(session.delay)
    waiting: deque[FrameObjects] = deque()
    failure: Exception | None = None
    for number in numbers:
        check()
        if session.is_idle:
            break
        try:
            embedding = frames.embed(number)
        except Exception as error:  # raised after the results up to there
            failure = error
            break
        if embedding is None:
            break
        frames.read_ahead(number - 1 if backward else number + 1)
        waiting.append(track_into(session, number, embedding, backward=backward))
        while len(waiting) >= max(session.delay, 1):
            ready = waiting.popleft()
            yield ready.frame, session.shown(ready)
    while waiting:
        check()
        ready = waiting.popleft()
        yield ready.frame, session.shown(ready)
    if failure is not None:
        raise failure
