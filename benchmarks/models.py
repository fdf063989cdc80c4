"""A click, a box, a word and a tracked frame of every kind of model, beside transformers.

    python benchmarks/models.py                           # one model of each kind
    python benchmarks/models.py pico sam2.1-tiny          # some
    python benchmarks/models.py --full --record FILE      # all whose networks differ; hours
    python benchmarks/models.py mobile-sam --threads 1 --clock cpu    # where others compute too

samkit and transformers, where that has the model, run in a process each, with the same seeded
weights, and take turns job by job, so that one is idle while the other computes. Seconds are
medians, of turns after one that warms up:

- photograph: examples/coffee.jpg is looked at;
- click, box, further click: a mask of its size, after that;
- first word, second word: all objects of a word that neither has heard before, on one photograph;
  no masks are made of them, as with random weights it is chance how many there would be;
- tracked frame: one object, whose memory is full: the prompted frame, six more, and 15 pointers.

Memory is what is resident of a process: "imports" before the model is loaded, "loading" at most
until it is loaded, "peak" at most until all is done. "of weights" is the peak without the imports,
over the bytes of all parameters in the dtype that was asked for (samkit computes prompts and masks
in float32 always). Cells have samkit's value, then that of transformers; (2x): it takes twice as
long. What other programs are given for free is said in `model_jobs.py`.
"""

import argparse
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from bench_measure import CLOCKS, machine, shown, versions

from samkit.weights import MODELS

JOBS = ("photograph", "click", "box", "further click", "first word", "second word", "tracked frame")
_COLUMNS = ("", "weights", *JOBS, "imports", "loading", "peak", "of weights")
_CHILD = Path(__file__).with_name("model_jobs.py")


class FailedError(Exception):
    """What went wrong in a process."""


class Process:
    """A process that is told what to do and answers; its first answer is there at once."""

    def __init__(self, **settings: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, _CHILD, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.first = self._answer()
        except FailedError:
            self.close()
            raise

    def do(self, job: str) -> dict[str, Any]:
        """What it says when a job is done.

        Raises:
            FailedError: it failed, or the process ended.
        """
        try:
            print(job, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise FailedError("the process has ended") from None
        return self._answer()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise FailedError(f"the process ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise FailedError(answer["error"])
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of `samkit models`")
    parser.add_argument("--full", action="store_true", help="all models whose networks differ")
    parser.add_argument("--runs", type=int, default=3, help="turns that count")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="whose seconds")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--record", type=Path, metavar="FILE", help="add the table to a file")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in MODELS]:
        parser.error(f"expected names out of {', '.join(MODELS)}; got {', '.join(unknown)}")

    def tell(text: str) -> None:  # at once: what was measured stays when a run is cut off
        print(text, flush=True)
        if options.record is not None:
            with options.record.open("a", encoding="utf-8") as file:
                file.write(text + "\n")

    tell(
        f"\n## {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC\n\n"
        f"{machine()}; {options.threads} thread{'s' * (options.threads > 1)}, {options.dtype}, "
        f"{options.clock} seconds, medians of {options.runs}. {versions()}.\n\n"
        f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"
    )
    notes: list[str] = []
    for name in options.names or networks(every=options.full):
        tell(row(name, options, notes))
    if notes:
        tell("\n" + "\n".join(notes))


def networks(*, every: bool) -> list[str]:
    """Models whose networks differ, or one of each kind: the first of the registry."""
    names: dict[object, str] = {}
    for name, model in MODELS.items():
        config = model.config
        parts = (type(config), type(config.image_encoder), config.mask_decoder.high_quality)
        names.setdefault(config if every else parts, name)
    return list(names.values())


def row(name: str, options: argparse.Namespace, notes: list[str]) -> str:
    """A line of the table; what could not be measured is noted."""
    settings = {
        "model": name,
        "dtype": options.dtype,
        "threads": options.threads,
        "clock": options.clock,
        "frames": 1 + options.runs,
    }
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        try:
            writer = Process(**settings, program="write", folder=folder)
        except FailedError as error:
            notes.append(f"{name}: {error}")
            return table_row(name, 0, {})
        writer.close()
        processes: dict[str, Process] = {}
        for program, source in writer.first["sources"].items():
            try:
                processes[program] = Process(**settings, program=program, source=source)
            except FailedError as error:
                notes.append(f"{name}, {program}: {error}")
            else:
                stack.callback(processes[program].close)
        found = measure(processes, options.runs)
    for program, one in found.items():
        if "error" in one:
            notes.append(f"{name}, {program}, {one['error']}")
    weights = writer.first["values"] * getattr(torch, options.dtype).itemsize
    return table_row(name, weights, found)


def measure(processes: Mapping[str, Process], runs: int) -> dict[str, dict[str, Any]]:
    """What programs say of their memory, and median seconds of their jobs.

    They take turns job by job, and each job comes once in a turn; the first turn warms up. A
    program that fails has its "error", and does no more.
    """
    found = {program: {**process.first, "seconds": {}} for program, process in processes.items()}
    for turn in range(1 + runs):
        for job in JOBS:
            for program, process in processes.items():
                one = found[program]
                if job not in one["jobs"] or "error" in one:
                    continue
                try:
                    answer = process.do(job)
                except FailedError as error:
                    one["error"] = f"{job}: {error}"
                    continue
                one["peak"] = answer["peak"]
                if turn:
                    one["seconds"].setdefault(job, []).append(answer["seconds"])
    for one in found.values():
        one["seconds"] = {job: statistics.median(each) for job, each in one["seconds"].items()}
    return found


def table_row(name: str, weights: int, found: Mapping[str, Mapping[str, Any]]) -> str:
    """A line of the table, from what `measure` found and the bytes of the weights."""
    programs = [found.get("samkit", {}), *(one for key, one in found.items() if key != "samkit")]
    cells = [name, shown(weights / 1e6, "MB") if weights else "failed"]
    for job in JOBS:
        seconds = [one.get("seconds", {}).get(job) for one in programs]
        ratio = f" ({seconds[1] / seconds[0]:.2g}x)" if len(seconds) == 2 and all(seconds) else ""
        cells.append(together(seconds, lambda value: shown(value, "s")) + ratio)
    for what in ("imports", "loading", "peak"):
        values = [one.get(what) for one in programs]
        cells.append(together(values, lambda value: shown(value / 1e6, "MB")))
    held = [one["peak"] - one["imports"] if "peak" in one else None for one in programs]
    cells.append(together(held, lambda value: f"{value / weights:.2f}"))
    return f"| {' | '.join(cells)} |"


def together(values: Sequence[float | None], show: Callable[[float], str]) -> str:
    """Values of programs in one cell, which is empty where none has one."""
    if all(value is None for value in values):
        return ""
    return " / ".join("-" if value is None else show(value) for value in values)


if __name__ == "__main__":
    main()
