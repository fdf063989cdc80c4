"""How far a run over many images is: a line that changes on a terminal, else one a minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["describe_progress", "progress_line"]

_SECONDS_BETWEEN = 60


@contextmanager
def progress_line(total: int) -> Iterator[Callable[..., None]]:
    """Give what is called after each of so many images; of a single one nothing is shown.

    It takes how many images are done since, by default 1.
    """
    console = Console(stderr=True)
    if total < 2:
        yield lambda count=1: None
        return
    if not console.is_terminal:
        yield _Lines(total).advance
        return
    columns = (
        TextColumn("Segmenting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    began, done = time.monotonic(), 0
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total, rate="")

        def advance(count: int = 1) -> None:
            nonlocal done
            done += count
            rate = done / max(time.monotonic() - began, 1e-9)
            progress.update(task, advance=count, rate=f"{rate:.2g}/s")

        yield advance


class _Lines:
    """A line on standard error from time to time."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._began = self._told = time.monotonic()

    def advance(self, count: int = 1) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._told >= _SECONDS_BETWEEN:
            self._told = now
            typer.echo(describe_progress(self._done, self._total, now - self._began), err=True)


def describe_progress(done: int, total: int, seconds: float) -> str:
    """How many images of all are done, the rate until now, and the time left at that rate.

    >>> describe_progress(120, 1000, 60.0)
    '120 of 1000 images, 2 a second, 7:20 left'
    """
    left = round(seconds / done * (total - done))
    hours, minutes = divmod(left // 60, 60)
    clock = f"{hours}:{minutes:02}:{left % 60:02}" if hours else f"{minutes}:{left % 60:02}"
    return f"{done} of {total} images, {done / seconds:.2g} a second, {clock} left"
