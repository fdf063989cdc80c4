"""Work in several processes: order, errors, processes that end, and what is left of them."""

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from samkit import processes
from samkit.errors import CheckpointKeysError, InputError, SamkitError
from samkit.processes import Ended, cpus, in_processes, threads_of

linux = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills processes by signals")


def double() -> Callable[[int], int]:
    return lambda number: 2 * number


def slow_first(number: int) -> int:
    time.sleep(0.3 if number == 0 else 0)
    return number


def begin(work: Callable[[int], object]) -> Callable[[int], object]:
    return work


def fail_keys() -> Callable[[int], int]:
    raise CheckpointKeysError("a.pt", missing=("w",))


def fail_input() -> Callable[[int], int]:
    raise InputError("expected a model")


def die_once(folder: Path, number: int) -> int:
    """End the process, as if killed, at number 2 and for the first time."""
    if number == 2 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_at_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def warn(number: int) -> int:
    warnings.warn(f"about {number}", UserWarning, stacklevel=1)
    return number


def end_at_once() -> Callable[[int], int]:
    os._exit(3)


def begin_threads() -> Callable[[int], tuple[int, int]]:
    import cv2
    import torch

    return lambda _: (torch.get_num_threads(), cv2.getNumThreads())


def write_slowly(path: Path, _: int) -> None:
    from samkit.media import write_atomically

    with write_atomically(path) as temporary:
        temporary.write_text("half")
        path.with_suffix(".begun").touch()
        time.sleep(60)


def run(start: Callable[[], Callable[[int], object]], count: int, jobs: int = 2) -> list[object]:
    return list(in_processes(start, range(count), jobs, lambda line: None))


def run_slowly(target: Path) -> None:
    list(in_processes(partial(begin, partial(write_slowly, target)), [0], 1, lambda _: None))


@pytest.mark.parametrize("count", [0, 1, 40])
def test_results_come_in_order(count: int) -> None:
    assert run(partial(begin, slow_first), count) == list(range(count))
    assert multiprocessing.active_children() == []


def test_the_plan_is_told_before_the_first_task() -> None:
    told: list[str] = []
    results = in_processes(double, iter([5]), 2, told.append)
    assert next(results) == 10
    assert len(told) == 1
    assert told[0].startswith("2 processes of ")
    assert " GB each" in told[0]
    assert list(results) == []


def test_tasks_are_not_taken_far_ahead() -> None:
    taken: list[int] = []
    results = in_processes(double, (taken.append(i) or i for i in range(10**9)), 1, print)
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    assert len(taken) < 100
    results.close()
    assert multiprocessing.active_children() == []


@linux
def test_what_a_killed_process_had_is_done_by_another(tmp_path: Path) -> None:
    assert run(partial(begin, partial(die_once, tmp_path)), 6) == list(range(6))
    assert (tmp_path / "died").exists()


@linux
def test_a_task_that_ends_processes_is_given_up() -> None:
    assert run(partial(begin, die_at_two), 5) == [0, 1, Ended("killed by SIGKILL"), 3, 4]


@linux
def test_a_killed_process_that_waits_is_no_loss() -> None:
    results = in_processes(double, iter(range(8)), 1, lambda line: None)
    assert next(results) == 0
    (child,) = multiprocessing.active_children()
    child.kill()
    assert list(results) == [2, 4, 6, 8, 10, 12, 14]


def test_what_begin_raises_is_raised() -> None:
    with pytest.raises(InputError, match=r"^expected a model$"):
        run(fail_input, 3)
    assert multiprocessing.active_children() == []
    with pytest.raises(SamkitError, match=r"^a\.pt does not fit this network: 1 missing: w$"):
        run(fail_keys, 3)


def test_a_process_that_cannot_begin() -> None:
    with pytest.raises(SamkitError, match=r"before its first image \(exit code 3\)"):
        run(end_at_once, 3)


def test_warnings_reach_the_caller() -> None:
    with pytest.warns(UserWarning, match="about [01]"):
        assert run(partial(begin, warn), 2) == [0, 1]


def test_threads_are_shared() -> None:
    assert threads_of(1) == cpus()
    assert threads_of(10**6) == 1
    assert run(begin_threads, 1) == [(threads_of(2), threads_of(2))]


@linux
def test_an_interrupt_ends_all_and_leaves_nothing_half(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"

    def interrupt() -> None:
        while not target.with_suffix(".begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run(partial(begin, partial(write_slowly, target)), 2)
    assert multiprocessing.active_children() == []
    assert [path.name for path in tmp_path.iterdir()] == ["a.begun"]


@linux
def test_processes_end_when_the_first_is_killed_in_the_middle_of_a_task(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    first = multiprocessing.get_context("spawn").Process(target=run_slowly, args=(target,))
    first.start()
    while not target.with_suffix(".begun").exists():
        time.sleep(0.01)
    first.kill()
    first.join()
    while len(list(tmp_path.iterdir())) > 1:  # until it has tidied up
        assert not target.exists(), "it went on to the end"
        time.sleep(0.01)


def test_fewer_processes_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_free_memory", lambda: 5 * 2**30)
    assert processes._plan(8, 1, 2 * 2**30) == (
        3,
        "3 processes of 1 thread, about 2.0 GB each; 5.0 GB are free, which is too little for 8",
    )
    monkeypatch.setattr(processes, "_free_memory", lambda: None)
    assert processes._plan(8, 2, 2**30) == (8, "8 processes of 2 threads, about 1.0 GB each")
    monkeypatch.setattr(processes, "_free_memory", lambda: 0)
    assert processes._plan(8, 2, 2**30)[0] == 1
