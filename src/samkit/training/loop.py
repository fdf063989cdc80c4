"""The training loop: batches, steps, reports and checkpoints."""

import csv
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from samkit.errors import InputError
from samkit.evaluation.datasets import open_dataset
from samkit.training.config import TrainingConfig
from samkit.training.feed import inline_batches, prepared_batches
from samkit.training.team import Team, joined, torchrun_size, torchrun_team, under_torchrun
from samkit.training.trainer import Network, Report, Trainer

__all__ = ["train"]

_LOG_EVERY = 50


def train(
    config: TrainingConfig,
    checkpoint: str | Path,
    *,
    start: Network | None = None,
    resume: bool = False,
    processes: int = 0,
    device: torch.device | None = None,
    checkpoint_every: float = 120.0,
    stop_after: int | None = None,
) -> Iterator[Report | Network]:
    """Train; yield a `Report` now and then and at last the network with averaged weights.

    Args:
        config: the run. A length in steps gives the same weights every time, a length in minutes
            depends on the machine.
        checkpoint: file that holds all of the run's state; a CSV log lies beside it.
        start: weights to start from instead of random ones.
        resume: go on from `checkpoint`.
        processes: 0 trains here and prepares batches in a second process. n > 0 shares every
            batch among n processes of cores / n threads, this one included, which is faster on
            few cores; the weights depend on n. Under `torchrun` its processes share each batch
            instead, one for each GPU if there are any; call this in all of them. Only the first
            one reports and writes.
        device: where to train; the CPU by default. Under torchrun each process takes its own GPU.
        checkpoint_every: seconds between writing checkpoints.
        stop_after: leave the run after this many steps in all, as an interruption would.

    Raises:
        InputError: the configuration or data cannot be used.
        CheckpointError: `resume` without a checkpoint of this configuration.
    """
    _check(config, processes)
    if processes > 1 and (under_torchrun() or (device is not None and device.type != "cpu")):
        raise InputError("processes: of no use under torchrun or on a GPU, where torchrun shares")
    checkpoint = Path(checkpoint)
    arguments = (config, checkpoint, start, resume, stop_after)
    with _members(processes, arguments, device or torch.device("cpu")) as (team, place):
        trainer = _prepared(config, checkpoint, start, resume, team, place)
        log = _Log(checkpoint.with_suffix(".csv"), trainer.step) if team.rank == 0 else None
        saved = time.monotonic()
        feed = prepared_batches if team.size == 1 and processes == 0 else inline_batches
        with feed(trainer) as batches:
            for batch, stage in batches:
                trainer.learn(batch, stage)
                if trainer.step % _LOG_EVERY == 0:
                    report = trainer.report(stage)
                    if log is not None:
                        log.write(report)
                        yield report
                if stop_after is not None and trainer.step >= stop_after:
                    break
                if log is not None and time.monotonic() - saved > checkpoint_every:
                    trainer.save(checkpoint)
                    saved = time.monotonic()
        if log is not None:
            trainer.save(checkpoint)
    yield trainer.averaged()


def _prepared(
    config: TrainingConfig,
    checkpoint: Path,
    start: Network | None,
    resume: bool,
    team: Team,
    device: torch.device,
) -> Trainer:
    trainer = Trainer(config, start=start, team=team, device=device)
    if resume:
        trainer.load(checkpoint)
    return trainer


@contextmanager
def _members(
    processes: int, arguments: tuple[Any, ...], device: torch.device
) -> Iterator[tuple[Team, torch.device]]:
    """Join a team, and start its other processes unless torchrun has done so."""
    if under_torchrun():
        with torchrun_team(device) as found:
            yield found
        return
    if processes < 2:
        yield Team(), device
        return
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder) / "meeting")
        others = [
            context.Process(
                target=_member, args=(meeting, rank, processes, *arguments), daemon=True
            )
            for rank in range(1, processes)
        ]
        for other in others:
            other.start()
        try:
            with joined(meeting, rank=0, size=processes) as team:
                yield team, device
                for other in others:
                    other.join()
        finally:
            for other in others:
                other.terminate()
                other.join()
            torch.set_num_threads(threads)


def _member(
    meeting: str,
    rank: int,
    size: int,
    config: TrainingConfig,
    checkpoint: Path,
    start: Network | None,
    resume: bool,
    stop_after: int | None,
) -> None:
    """What the other processes do: the same steps on their share of each batch."""
    with joined(meeting, rank=rank, size=size) as team:
        trainer = _prepared(config, checkpoint, start, resume, team, torch.device("cpu"))
        with inline_batches(trainer) as batches:
            for batch, stage in batches:
                trainer.learn(batch, stage)
                if stop_after is not None and trainer.step >= stop_after:
                    break


def _check(config: TrainingConfig, processes: int) -> None:
    if (config.steps is None) == (config.minutes is None):
        raise InputError("expected a length of the run in steps or in minutes, one of them")
    if not config.sources:
        raise InputError("expected at least one source of training data, got none")
    for source in config.sources:
        open_dataset(source.path)  # a clear error here, not in another process
    for stage in config.stages:
        if stage.size % 32 or stage.size <= 0:
            raise InputError(f"expected a stage size that is a multiple of 32, got {stage.size}")
        parts = max(1, processes, torchrun_size()) * config.accumulate
        if stage.images % parts:
            raise InputError(
                f"expected batches that can be cut into {parts} parts, got {stage.images} images"
            )


class _Log:
    """CSV of reports; those after the step from which a run goes on are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        fields = list(Report.__dataclass_fields__)
        rows: list[list[str]] = []
        if step and path.is_file():
            with path.open(newline="") as file:
                rows = [row for row in list(csv.reader(file))[1:] if int(row[0]) <= step]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([fields, *rows])

    def write(self, report: Report) -> None:
        values = [getattr(report, name) for name in Report.__dataclass_fields__]
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow([f"{v:.6g}" if isinstance(v, float) else v for v in values])
