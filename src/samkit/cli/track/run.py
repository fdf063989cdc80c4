"""The work of `samkit track`: prompt, follow, write."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

from samkit.cli.signals import ENDING, handled

if TYPE_CHECKING:
    from rich.progress import Progress

    from samkit import Masks, VideoPredictor
    from samkit.cli.track.outputs import Outputs
    from samkit.cli.track.prompts import FramePrompt
    from samkit.errors import SamkitError
    from samkit.media.frames import Frames

__all__ = ["Direction", "Plan", "check_plan", "run"]

Direction = Literal["forward", "backward", "both"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to track, and where.

    Attributes:
        prompts: in any order of frames.
        direction, start, stop: as `VideoPredictor.track` takes them.
    """

    prompts: tuple[FramePrompt, ...]
    direction: Direction
    start: int | None
    stop: int | None

    @property
    def first(self) -> int:
        """The frame at which tracking begins."""
        return min(one.frame for one in self.prompts) if self.start is None else self.start

    def length(self, count: int | None) -> int | None:
        """How many frames will be visited in a video of `count` frames, if that is known."""
        if self.direction == "backward":
            return self.first - (-1 if self.stop is None else self.stop)
        ends = [end for end in (self.stop, count) if end is not None]
        if not ends:
            return None
        return min(ends) - self.first + (self.first if self.direction == "both" else 0)


def check_plan(plan: Plan, frames: Frames) -> None:
    """Find out before any work what the video does not have or allow.

    Raises:
        typer.BadParameter: no such frame, nothing between start and stop, or a way that a camera
            or stream cannot go.
    """
    last = None if frames.count is None else frames.count - 1
    for one in plan.prompts:
        if last is not None and one.frame > last:
            raise typer.BadParameter(
                f"{one.origin}: there is no frame {one.frame}; the last one is {last}"
            )
    if last is not None and plan.first > last:
        raise _bad("--start", f"there is no frame {plan.first}; the last one is {last}")
    if plan.stop is not None:
        if plan.direction == "backward" and plan.stop >= plan.first:
            raise _bad("--stop", f"expected a frame before {plan.first}, got {plan.stop}")
        if plan.direction != "backward" and plan.stop <= plan.first:
            raise _bad("--stop", f"expected a frame after {plan.first}, got {plan.stop}")
    if frames.seekable:
        return
    if plan.direction != "forward":
        raise _bad("--direction", f"a camera or URL can only go forward, not {plan.direction}")
    early = min(one.frame for one in plan.prompts)
    if plan.first < early:
        raise _bad("--start", f"a camera or URL is tracked from its first prompt, {early}, on")
    for one in plan.prompts:
        if plan.stop is not None and one.frame >= plan.stop:
            raise typer.BadParameter(f"{one.origin}: it comes after --stop {plan.stop}")


def run(tracker: VideoPredictor, frames: Frames, plan: Plan, outputs: Outputs) -> None:
    """Track, write, and say what came out.

    Going forward, frames are written as they are tracked. Otherwise their masks are held as run
    lengths, and written in the order of the frames at the end.

    Raises:
        SamkitError: nothing could be tracked.
        typer.Exit: 1 where it ended before its time, 130 where Ctrl-C ended it; what was tracked
            up to then is in place.
    """
    from samkit.errors import SamkitError

    failure: SamkitError | None = None
    with _progress() as progress, _until_interrupted() as is_stopped:
        results = _counted(progress, _results(tracker, frames, plan), plan.length(frames.count))
        try:
            if plan.direction == "forward":
                for frame, masks in results:
                    outputs.write(frame, masks)
                    if is_stopped():
                        break
            else:
                _write_in_order(results, outputs, is_stopped, progress)
        except SamkitError as error:
            failure = error
        except KeyboardInterrupt:  # the second one
            outputs.discard()
            raise typer.Exit(130) from None
        finally:
            unfinished = outputs.close()
    _report(outputs, failure, unfinished, is_stopped())


def _write_in_order(
    results: Iterator[tuple[int, Masks]],
    outputs: Outputs,
    is_stopped: Callable[[], bool],
    progress: Progress,
) -> None:
    """Hold all masks, then write them."""
    held: dict[int, Masks] = {}
    failure: Exception | None = None
    try:
        for frame, masks in results:
            held[frame] = masks.compressed().without_logits()
            if is_stopped():
                break
    except Exception as error:  # whatever it is, what was found is written first
        failure = error
    task = progress.add_task("Writing", total=len(held), speed="")
    for frame in sorted(held):
        outputs.write(frame, held.pop(frame))
        progress.advance(task)
    if failure is not None:
        raise failure


def _bad(option: str, message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint=option)


def _results(tracker: VideoPredictor, frames: Frames, plan: Plan) -> Iterator[tuple[int, Masks]]:
    """Prompt and track. In a stream, a prompt is given when its frame comes."""
    from samkit.errors import InputError

    waiting = sorted(plan.prompts, key=lambda one: one.frame)
    while waiting and (frames.seekable or waiting[0].frame <= plan.first):
        one = waiting.pop(0)
        tracker.prompt(one.frame, one.object_id, one.prompt)
    frame = None
    for frame, masks in tracker.track(plan.direction, start=plan.first, stop=plan.stop):
        yield frame, masks
        while waiting and waiting[0].frame == frame + 1:
            one = waiting.pop(0)
            tracker.prompt(one.frame, one.object_id, one.prompt)
    if frame is None:
        raise InputError(f"the video ended before frame {plan.first}")
    if waiting:
        raise InputError(f"{waiting[0].origin}: the video ended before frame {waiting[0].frame}")


def _report(
    outputs: Outputs, failure: SamkitError | None, unfinished: list[str], stopped: bool
) -> None:
    if failure is not None and outputs.frames is None:
        raise failure
    for line in outputs.describe():
        typer.echo(line)
    if failure is not None:
        unfinished = [str(failure), *(reason for reason in unfinished if reason != str(failure))]
    for reason in unfinished:
        typer.echo(f"error: {reason}", err=True)
    if outputs.frames is not None and (failure is not None or stopped):
        first, last = outputs.frames
        end = "stopped" if failure is None else "ended early"
        typer.echo(f"{end}: frames {first} to {last} were tracked and are saved", err=True)
    if unfinished:
        raise typer.Exit(1)
    if stopped:
        raise typer.Exit(130)


@contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """Make Ctrl-C, and what else ends a program, a question that is asked after each frame.

    The second one interrupts.
    """
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    with handled((signal.SIGINT, *ENDING), ask):
        yield lambda: bool(asked)


@contextmanager
def _progress() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        yield progress


def _counted(
    progress: Progress, results: Iterator[tuple[int, Masks]], total: int | None
) -> Iterator[tuple[int, Masks]]:
    """Pass on results, and show how many there were, with frames per second."""
    task = progress.add_task("Tracking", total=total, speed="")
    for result in results:
        yield result
        speed = progress.tasks[task].speed
        progress.update(task, advance=1, speed="" if speed is None else f"{speed:.1f} frames/s")
