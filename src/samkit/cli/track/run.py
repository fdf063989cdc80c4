"""The work of `samkit track`: prompt, track, write."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

from samkit.cli.signals import TERMINATION, signal_handler
from samkit.cli.usage import usage_error
from samkit.errors import InputError, SamkitError

if TYPE_CHECKING:
    from rich.progress import Progress

    from samkit import Masks, VideoPredictor
    from samkit.cli.track.outputs import Outputs
    from samkit.cli.track.prompts import FramePrompt
    from samkit.cli.track.unfinished import UnfinishedRun
    from samkit.media.frames import Frames

__all__ = ["Direction", "TrackJob", "check_job", "run"]

Direction = Literal["forward", "backward", "both"]


@dataclass(frozen=True, kw_only=True)
class TrackJob:
    """The prompts, and the frames to track in.

    Attributes:
        prompts: in any order of frames.
        direction, start, stop, smooth: arguments of `VideoPredictor.track`.
        words: what is looked for in each frame.
    """

    prompts: tuple[FramePrompt, ...]
    direction: Direction
    start: int | None
    stop: int | None
    smooth: int = 0
    words: tuple[str, ...] = ()

    @property
    def first(self) -> int:
        """The frame at which tracking begins."""
        if self.start is not None:
            return self.start
        return 0 if self.words else min(one.frame for one in self.prompts)

    def span(self, count: int) -> range:
        """The frames tracked in a video of `count` frames."""
        before = self.first + 1
        if self.direction == "backward":
            return range(0 if self.stop is None else self.stop + 1, before)
        end = count if self.stop is None else min(self.stop, count)
        return range(self.first if self.direction == "forward" else 0, end)

    def length(self, count: int | None) -> int | None:
        """The number of frames tracked in a video of `count` frames; None if unknown."""
        if self.direction == "backward":
            return self.first - (-1 if self.stop is None else self.stop)
        ends = [end for end in (self.stop, count) if end is not None]
        if not ends:
            return None
        return min(ends) - self.first + (self.first if self.direction == "both" else 0)

    def rest(self, frames: tuple[int, int]) -> list[tuple[Direction, int, int | None]]:
        """What is left once these frames, first and last, are tracked.

        Returns:
            Arguments of `VideoPredictor.track`, one pass after the other.
        """
        first, last = frames
        passes: list[tuple[Direction, int, int | None]] = []
        if self.direction != "backward" and first == self.first:
            passes.append(("forward", last + 1, self.stop))
        if self.direction != "forward":
            stop = -1 if self.stop is None or self.direction == "both" else self.stop
            if first - 1 > stop:
                passes.append(("backward", first - 1, None if stop < 0 else stop))
        return passes


def check_job(job: TrackJob, frames: Frames) -> None:
    """Check a job against its video before any work.

    Raises:
        typer.BadParameter: no such frame, no frame between start and stop, or a camera or stream
            that would have to go back.
    """
    first, stop = job.first, job.stop
    if job.words and job.smooth:
        raise usage_error("what --find finds cannot be smoothed", "--smooth")
    if frames.count is not None:
        missing = f"the last one is {frames.count - 1}"
        for one in job.prompts:
            if one.frame >= frames.count:
                raise usage_error(f"{one.origin}: there is no frame {one.frame}; {missing}")
        if first >= frames.count:
            raise usage_error(f"there is no frame {first}; {missing}", "--start")
    if stop is not None:
        if job.direction == "backward" and stop >= first:
            raise usage_error(f"expected a frame before {first}, got {stop}", "--stop")
        if job.direction != "backward" and stop <= first:
            raise usage_error(f"expected a frame after {first}, got {stop}", "--stop")
    if frames.seekable:
        return
    if job.smooth:
        raise usage_error("a camera or URL cannot be smoothed: save it first", "--smooth")
    if job.direction != "forward":
        raise usage_error(
            f"a camera or URL can only go forward, not {job.direction}", "--direction"
        )
    early = first if job.words else min(one.frame for one in job.prompts)
    if first < early:
        raise usage_error(
            f"a camera or URL is tracked from its first prompt, {early}, on", "--start"
        )
    for one in job.prompts:
        if stop is not None and one.frame >= stop:
            raise usage_error(f"{one.origin}: it comes after --stop {stop}")


def run(
    tracker: VideoPredictor,
    frames: Frames,
    job: TrackJob,
    outputs: Outputs,
    unfinished: UnfinishedRun | None = None,
) -> None:
    """Track, write, and print a line for each output.

    Going forward, or to PNGs alone, frames are written as they are tracked. Otherwise their masks
    are held as run lengths, and written in the order of the frames at the end. So are smoothed
    ones, which come later than their frames: each frame would have to be decoded once more.

    Args:
        tracker: new, or that of the unfinished run.
        frames: of its video.
        job: what to do in all.
        outputs: new.
        unfinished: where the run is kept until it is finished, or None.

    Raises:
        SamkitError: nothing could be tracked.
        typer.Exit: 1 after an error, 130 after Ctrl-C; the frames tracked up to then are saved.
    """
    failure: SamkitError | None = None
    with _progress() as progress, _stop_on_interrupt() as is_stopped:
        results, total = _results(tracker, frames, job, outputs, unfinished)
        results = _counted(progress, results, total, is_stopped)
        try:
            is_ordered = job.direction == "forward" or not outputs.in_order
            if is_ordered and not job.smooth:
                _write_as_they_come(results, tracker, outputs, unfinished)
            else:
                _write_in_order(results, outputs, progress)
        except SamkitError as error:
            failure = error
        except KeyboardInterrupt:  # the second one
            outputs.discard()
            raise typer.Exit(130) from None
        finally:
            errors = outputs.close()
    is_finished = failure is None and not is_stopped()
    errors += _tidied(tracker, outputs, unfinished, is_finished=is_finished and not errors)
    if failure is not None and outputs.frames is None:
        raise failure
    for line in outputs.describe():
        typer.echo(line)
    if failure is not None:
        errors = [str(failure), *(message for message in errors if message != str(failure))]
    for message in errors:
        typer.echo(f"error: {message}", err=True)
    if outputs.frames is not None and not is_finished:
        first, last = outputs.frames
        end = "stopped" if failure is None else "ended early"
        more = "" if unfinished is None else "; the same command goes on from there"
        typer.echo(f"{end}: frames {first} to {last} were tracked and are saved{more}", err=True)
    if errors:
        raise typer.Exit(1)
    if is_stopped():
        raise typer.Exit(130)


def _results(
    tracker: VideoPredictor,
    frames: Frames,
    job: TrackJob,
    outputs: Outputs,
    unfinished: UnfinishedRun | None,
) -> tuple[Iterator[tuple[int, Masks]], int | None]:
    """What is left to track, and how many frames that are."""
    total = job.length(frames.count)
    if unfinished is None or unfinished.frames is None:
        return _tracked(tracker, frames, job), total
    outputs.go_on(unfinished.frames, tracker.object_ids)
    left = _rest(tracker, job, unfinished.frames)
    return left, None if total is None else total - outputs.count


def _tidied(
    tracker: VideoPredictor,
    outputs: Outputs,
    unfinished: UnfinishedRun | None,
    *,
    is_finished: bool,
) -> list[str]:
    """Remove what a finished run leaves over, or keep an unfinished one -> errors."""
    errors = outputs.remove_others() if is_finished else []
    if unfinished is None:
        return errors
    if outputs.frames is None or (is_finished and not errors):
        unfinished.remove()
        return errors
    try:
        unfinished.end(tracker)
    except InputError as error:
        errors.append(str(error))
    return errors


def _write_as_they_come(
    results: Iterator[tuple[int, Masks]],
    tracker: VideoPredictor,
    outputs: Outputs,
    unfinished: UnfinishedRun | None,
) -> None:
    for frame, masks in results:
        if unfinished is not None:
            unfinished.begin()
        outputs.write(frame, masks)
        if unfinished is not None and outputs.frames is not None:
            unfinished.keep(tracker, outputs.frames, outputs.png(frame))


def _write_in_order(
    results: Iterator[tuple[int, Masks]], outputs: Outputs, progress: Progress
) -> None:
    """Hold all masks, then write them."""
    held: dict[int, Masks] = {}
    failure: Exception | None = None
    try:
        for frame, masks in results:
            held[frame] = masks.compressed().without_logits()
    except Exception as error:  # raised after the masks up to it are written
        failure = error
    task = progress.add_task("Writing", total=len(held), speed="")
    for frame in sorted(held):
        outputs.write(frame, held.pop(frame))
        progress.advance(task)
    if failure is not None:
        raise failure


def _tracked(tracker: VideoPredictor, frames: Frames, job: TrackJob) -> Iterator[tuple[int, Masks]]:
    """Prompt and track. In a stream, a prompt is given when its frame comes."""
    waiting = sorted(job.prompts, key=lambda one: one.frame)

    def prompt_up_to(last: int) -> None:
        while waiting and (frames.seekable or waiting[0].frame <= last):
            one = waiting.pop(0)
            tracker.prompt(one.frame, one.object_id, one.prompt)

    prompt_up_to(job.first)
    frame = None
    way = tracker.track(job.direction, start=job.first, stop=job.stop, smooth=job.smooth)
    for frame, masks in way:
        yield frame, masks
        prompt_up_to(frame + 1)
    if frame is None:
        raise InputError(f"the video ended before frame {job.first}")
    if waiting:
        raise InputError(f"{waiting[0].origin}: the video ended before frame {waiting[0].frame}")


def _rest(
    tracker: VideoPredictor, job: TrackJob, frames: tuple[int, int]
) -> Iterator[tuple[int, Masks]]:
    """Track what is left of a job."""
    for direction, start, stop in job.rest(frames):
        yield from tracker.track(direction, start=start, stop=stop)


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C, or a signal that ends a program, has come.

    The second signal raises KeyboardInterrupt.
    """
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    with signal_handler((signal.SIGINT, *TERMINATION), receive):
        yield lambda: bool(received)


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    bar, count, left = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    columns = ("{task.description}", bar, count, "{task.fields[speed]}", left)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _counted(
    progress: Progress,
    results: Iterator[tuple[int, Masks]],
    total: int | None,
    is_stopped: Callable[[], bool],
) -> Iterator[tuple[int, Masks]]:
    """Pass on results until stopped, and show how many there were, with frames per second."""
    task = progress.add_task("Tracking", total=total, speed="")
    for result in results:
        yield result
        if is_stopped():
            return
        speed = progress.tasks[task].speed
        progress.update(task, advance=1, speed="" if speed is None else f"{speed:.1f} frames/s")
