"""One kind of work, shared by several processes of this machine.

Processes and not threads, because Python's own part of the work, which is a third of the time of a
small network, would wait for itself.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from samkit.errors import SamkitError, count_of

__all__ = ["WORKING_BYTES", "Ended", "cpus", "in_processes", "threads_of", "use_threads"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_TRIES = 2
# Tasks that may be done before an earlier one, for each process: what waits to be given in order.
_AHEAD = 16
_SECONDS_TO_END = 10

WORKING_BYTES = 3 * 2**28
"""What a process takes at work above what it has taken to begin: measured with pico in everything
mode on photographs of 12 megapixels, and rounded up."""


@dataclass(frozen=True)
class Ended:
    """What stands for a result where each process that had the task ended in the middle of it.

    Attributes:
        reason: how the last one ended.
    """

    reason: str


def cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_of(processes: int) -> int:
    """Threads of each of so many processes: together as many as there are CPUs."""
    return max(1, cpus() // processes)


def use_threads(count: int) -> None:
    """Let torch and OpenCV, if they are imported, use so many threads in this process."""
    for name, setter in (("torch", "set_num_threads"), ("cv2", "setNumThreads")):
        if name in sys.modules:
            getattr(sys.modules[name], setter)(count)


def in_processes(
    begin: Callable[[], Callable[[Task], Result]],
    tasks: Iterable[Task],
    processes: int,
    tell: Callable[[str], object],
    *,
    threads: int | None = None,
) -> Generator[Result | Ended, None, None]:
    """Do tasks in several processes; the results come in the order of the tasks.

    A process that ends in the middle of a task is replaced, and the task is done by another; one
    that ends two of them is given up. The first process begins before the others, so that what is
    wrong shows once, and its memory says how many there is room for. Close the iterator to end all
    processes; they end too when this one is killed.

    Args:
        begin: called once in each process, where it loads the model; it, the tasks and the results
            can be pickled.
        tasks: taken as they are needed.
        processes: how many at most.
        tell: called before the first task with a line about processes, threads and memory.
        threads: of each process; by default as many as there are CPUs for it.

    Raises:
        Exception: what `begin` raised.
        SamkitError: all processes ended before their first task.
    """
    crew = _Crew(begin, tasks, processes, threads or threads_of(processes), tell)
    try:
        yield from crew.results()
        crew.dismiss()
    finally:
        crew.end()


class _Worker:
    """A process, and what it is doing.

    Attributes:
        connection: to it.
        number: of the task that it has.
        is_ready: whether it has begun.
    """

    def __init__(self, begin: Callable[[], Any], threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # torch does not survive a fork
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(begin, threads, theirs), daemon=True)
        with _no_interrupts():
            self.process.start()
        theirs.close()
        self.number: int | None = None
        self.is_ready = False

    def how_it_ended(self) -> str:
        self.process.join()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"exit code {code}"
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"


class _Crew(Generic[Task, Result]):
    """All processes, and the tasks between them."""

    def __init__(
        self,
        begin: Callable[[], Callable[[Task], Result]],
        tasks: Iterable[Task],
        most: int,
        threads: int,
        tell: Callable[[str], object],
    ) -> None:
        self._begin, self._most, self._tell = begin, most, tell
        self._threads = threads
        self._new = iter(tasks)
        self._again: deque[int] = deque()
        self._open: dict[int, Task] = {}
        self._tries: dict[int, int] = {}
        self._done: dict[int, Result | Ended] = {}
        self._taken = 0  # tasks so far
        self._next = 0  # the first whose result was not given
        self._is_drained = False
        self._is_planned = False
        self._workers: list[_Worker] = []

    def results(self) -> Iterator[Result | Ended]:
        self._start()
        while True:
            while self._next in self._done:
                result = self._done.pop(self._next)
                self._next += 1
                yield result
            for worker in [one for one in self._workers if one.is_ready and one.number is None]:
                self._give(worker)
            if self._is_drained and not self._open and not self._done:
                return
            self._listen()

    def dismiss(self) -> None:
        """Let all processes end by themselves."""
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            worker.process.join(_SECONDS_TO_END)

    def end(self) -> None:
        """End what still runs; it tidies up what it was writing."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_SECONDS_TO_END)
            worker.process.kill()
            worker.process.join()
            worker.connection.close()

    def _start(self) -> None:
        self._workers.append(_Worker(self._begin, self._threads))

    def _give(self, worker: _Worker) -> None:
        """Give a process the next task, if there is one."""
        if self._again:
            number = self._again.popleft()
        elif self._is_drained or self._taken >= self._next + _AHEAD * self._most:
            return
        else:
            number = self._taken
            try:
                self._open[number] = next(self._new)
            except StopIteration:
                self._is_drained = True
                return
            self._taken += 1
        worker.number = number
        with suppress(OSError):  # it has ended, as is seen next
            worker.connection.send(self._open[number])

    def _listen(self) -> None:
        """Wait for a process that has something to say, or has ended."""
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection)):
            assert isinstance(connection, Connection)
            worker = by_connection[connection]
            try:
                message = connection.recv()
            except (EOFError, OSError, pickle.UnpicklingError):
                self._lost(worker)
                continue
            if isinstance(message, BaseException):
                raise message
            if not worker.is_ready:
                self._ready(worker, message)
                continue
            result, told = message
            for text, kind in told:
                warnings.warn(text, kind, stacklevel=2)
            assert worker.number is not None
            self._finish(worker.number, result)
            worker.number = None

    def _ready(self, worker: _Worker, memory: int) -> None:
        worker.is_ready = True
        if self._is_planned:
            return
        self._is_planned = True
        count, line = _plan(self._most, self._threads, memory + WORKING_BYTES)
        self._tell(line)
        for _ in range(count - len(self._workers)):
            self._start()

    def _finish(self, number: int, result: "Result | Ended") -> None:
        del self._open[number]
        self._tries.pop(number, None)
        self._done[number] = result

    def _lost(self, worker: _Worker) -> None:
        """A process has ended: another one has its task."""
        self._workers.remove(worker)
        worker.connection.close()
        how = worker.how_it_ended()
        number = worker.number
        if number is not None:
            self._tries[number] = self._tries.get(number, 0) + 1
            if self._tries[number] < _TRIES:
                self._again.append(number)
            else:
                self._finish(number, Ended(how))
        if worker.is_ready and (self._again or not self._is_drained):
            self._start()
        elif not worker.is_ready and not self._workers:
            raise SamkitError(
                f"a process for the work ended before its first image ({how}); a script that uses "
                "several begins its own work below: if __name__ == '__main__':"
            )


def _serve(begin: Callable[[], Callable[[Any], Any]], threads: int, connection: Connection) -> None:
    """What a process does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is being written is removed
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    if not hasattr(signal, "pthread_sigmask"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _work(begin, threads, connection)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Python's own end is not disturbed


def _end_with_the_first() -> None:
    """End this process when the first one is killed, also in the middle of a long task."""
    first = multiprocessing.parent_process()
    assert first is not None
    first.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _work(begin: Callable[[], Callable[[Any], Any]], threads: int, connection: Connection) -> None:
    """Do the tasks that come, until the connection is closed."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # which torch reads when it is imported
    try:
        work = begin()
    except Exception as error:
        connection.send(_portable(error))
        return
    use_threads(threads)
    with suppress(EOFError, OSError):  # the first process has ended
        connection.send(_memory())
        while True:
            task = connection.recv()
            with warnings.catch_warnings(record=True) as told:
                result = _done(work, task)
            connection.send((result, [(str(one.message), one.category) for one in told]))


def _done(work: Callable[[Any], Any], task: Any) -> Any:
    try:
        return work(task)
    except (EOFError, OSError) as error:  # of the work, not of the connection
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _portable(error: Exception) -> Exception:
    """The error, if another process would see the same, or one with its message."""
    with suppress(Exception):
        copy = pickle.loads(pickle.dumps(error))
        if str(copy) == str(error):
            return error
    return SamkitError(str(error))


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """What is started here does not feel Ctrl-C, which a terminal sends to all; this process does,
    a little later."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _plan(most: int, threads: int, each: int) -> tuple[int, str]:
    """How many processes there is room for, if so many are wanted, and a line about them.

    Args:
        most: how many are wanted; one has begun.
        threads: of each.
        each: bytes that each takes.
    """
    free = _free_memory()
    count = most if free is None else min(most, 1 + int(free // each))
    noun = "process" if count == 1 else "processes"
    line = f"{count} {noun} of {count_of(threads, 'thread')}, about {each / 2**30:.1f} GB each"
    if free is not None:
        line += f"; {free / 2**30:.1f} GB are free"
    if count < most:
        line += f", which is too little for {most}"
    return count, line


def _memory() -> int:
    """The most bytes that this process has taken so far; 0 where that is not told."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _free_memory() -> int | None:
    """Bytes that processes can still take, of the machine and of this container; None: unknown."""
    free = []
    with suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text()
        free.append(int(text.split("MemAvailable:")[1].split()[0]) * 1024)
    with suppress(OSError, ValueError):  # "max" is no number
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        free.append(max(0, most - int((group / "memory.current").read_text())))
    return min(free, default=None)
