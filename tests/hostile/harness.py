"""Hostile inputs, each tried in a child process, and what became of them.

A case makes an input and gives the call that takes it. The call has to end with a result or an
error of ours, within 20 seconds and 500 MB, and may leave nothing behind in the input's folder. An
input is known by its kind and number, from which its random numbers come.
"""

import faulthandler
import gc
import multiprocessing
import os
import re
import shutil
import signal
import sys
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from samkit import SamkitError, set_limits

__all__ = ["ENDS", "Case", "Finding", "Tally", "attack", "leftovers", "outcome", "pick"]

SECONDS = 20
BYTES = 500 * 2**20
ENDS = ("result", "error of ours", "uncaught", "hang", "crash", "memory", "left behind")
GOOD = ENDS[:2]

Case = Callable[[np.random.Generator, Path], Callable[[], object]]
"""(random numbers, an empty folder) -> a call that reads what was put there."""

# What samkit says on purpose about input that it takes; any other warning is a fault.
_WARNINGS = (
    ".* was saved by a training tool",
    ".* holds the image part of SAM 2 only",
    ".* nearly one shade to a network",
)
_FRAMES = 12  # of a stack in a message
_TOLD = 12  # findings in a message, of those that differ


@dataclass(frozen=True)
class Finding:
    """An input that ended otherwise than it may."""

    number: int
    end: str
    reason: str


@dataclass
class Tally:
    """What became of the inputs of a kind.

    Attributes:
        ends: how many ended so, by the names in `ENDS`.
        partial: files under their final names that were not whole.
        findings: what went wrong.
    """

    ends: Counter[str] = field(default_factory=Counter)
    partial: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, number: int, end: str, reason: str = "") -> None:
        self.ends[end] += 1
        if end not in GOOD:
            self.findings.append(Finding(number, end, reason))

    def describe(self, how: str) -> str:
        """The findings, one for each reason. ``how`` and the number of an input reproduce it."""
        alike: dict[tuple[str, str], list[int]] = {}
        for one in self.findings:
            alike.setdefault((one.end, one.reason), []).append(one.number)
        lines = [
            f"{end}: {reason}\n    {len(numbers)} times; {how} {numbers[0]}"
            for (end, reason), numbers in list(alike.items())[:_TOLD]
        ]
        total = sum(self.ends.values())
        return "\n".join([f"{len(self.findings)} of {total} inputs went wrong", *lines])


def outcome(call: Callable[[], object]) -> str:
    """How a call ends; what it may not raise goes on."""
    try:
        call()
    except SamkitError:
        return "error of ours"
    return "result"


def pick(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    """One of them, as it is (`Generator.choice` would make an array of them)."""
    return options[int(rng.integers(len(options)))]


def leftovers(folder: Path) -> list[str]:
    """Hidden and temporary files and folders, at any depth."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.startswith(".") or path.suffix in (".tmp", ".part")
    )


def attack(kind: str, case: Case, numbers: Sequence[int], folder: Path) -> Tally:
    """Try inputs one after the other. A child that hangs or crashes is followed by another."""
    tally = Tally()
    waiting = list(numbers)
    context = multiprocessing.get_context("fork")
    while waiting:
        ours, theirs = context.Pipe(duplex=False)
        stacks = folder / "stacks.txt"
        child = context.Process(target=_try_all, args=(kind, case, waiting, folder, theirs, stacks))
        with warnings.catch_warnings():
            # Python warns of threads, of which torch and others keep idle ones.
            warnings.simplefilter("ignore", DeprecationWarning)
            child.start()
        theirs.close()
        try:
            while waiting and ours.poll(3 * SECONDS):
                number, end, reason = ours.recv()
                tally.add(number, end, reason)
                waiting.remove(number)
        except EOFError:
            pass
        if waiting:
            child.kill()
        child.join()
        if waiting:
            # The watchdog ends a child with 1, and a child that does not even end so is killed.
            end = "hang" if child.exitcode in (1, -signal.SIGKILL) else "crash"
            told = "\n".join(stacks.read_text().splitlines()[:_FRAMES])
            tally.add(waiting.pop(0), end, f"the process ended with {child.exitcode}\n{told}")
    return tally


def _try_all(
    kind: str, case: Case, numbers: list[int], folder: Path, report: Connection, stacks: Path
) -> None:
    """What a child does: a report (number, end, reason) for each input."""
    gc.freeze()  # what is garbage of the parent, such as open decoders, would crash here
    _limit_memory()
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message, UserWarning)
    with stacks.open("w") as file:
        faulthandler.enable(file)
        for number in numbers:
            place = folder / str(number)
            place.mkdir()
            rng = np.random.default_rng([zlib.crc32(kind.encode()), number])
            try:
                call = case(rng, place)
            except Exception as error:
                end, reason = "uncaught", f"the case itself: {_where(error)}"
            else:
                end, reason = _try(call, place, file.fileno())
            report.send((number, end, reason))
            if end in GOOD:
                shutil.rmtree(place)
    report.close()


def _try(call: Callable[[], object], place: Path, stacks: int) -> tuple[str, str]:
    there = _names(place)
    before = _reset_peak()
    faulthandler.dump_traceback_later(SECONDS, exit=True, file=stacks)
    try:
        end, reason = outcome(call), ""
    except BaseException as error:
        end, reason = "uncaught", _where(error)
    finally:
        faulthandler.cancel_dump_traceback_later()
    peak = _memory("VmHWM")
    if end in GOOD and peak - before > BYTES:
        end, reason = "memory", f"it took {(peak - before) >> 20} MB"
    if end in GOOD and _names(place) != there:
        end, reason = "left behind", str(sorted(_names(place) ^ there))
    return end, reason


def _names(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*")}


def _where(error: BaseException) -> str:
    """The error, and the last line of ours that it passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/samkit/" in f.filename]
    last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    where = last.filename.rpartition("/samkit/")[2]
    text = re.sub(r"\d+", "N", f"{error!s:.120}")  # so that alike findings are told once
    return f"{type(error).__name__} at {where}:{last.lineno} in {last.name}: {text}"


def _limit_memory() -> None:
    """Let a child ask for 2 GiB more than it has, and samkit take smaller files than by default."""
    set_limits(image_pixels=2**24, mask_pixels=2**26, header_bytes=2**24)
    if sys.platform == "linux":
        import resource

        most = _memory("VmSize") + 2**31
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _memory(name: str) -> int:
    """A size of this process in bytes; 0 where there is no /proc."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


def _reset_peak() -> int:
    """Let the peak begin anew; the memory that is taken now, in bytes."""
    if os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")
