"""The training loop: batches, steps, reports and checkpoints."""

import multiprocessing
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from samkit.errors import InputError, SamkitError
from samkit.evaluation.datasets import Dataset, open_dataset
from samkit.media.writing import check_writable
from samkit.nn import Network
from samkit.training.batches import Feed, inline_batches, prepared_batches
from samkit.training.config import TrainingConfig
from samkit.training.data import held_out
from samkit.training.distributed import (
    Team,
    is_first,
    joined,
    torchrun_size,
    torchrun_team,
    under_torchrun,
)
from samkit.training.log import Log
from samkit.training.trainer import Report, Trainer
from samkit.training.validation import Validation, validate

__all__ = ["train"]

_LOG_EVERY = 10


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
    tensorboard: str | Path | None = None,
) -> Generator[Report | Validation | Network, None, None]:
    """Train; yield how it goes now and then and at last the network with averaged weights.

    If the configuration has something to validate on, the averaged weights are measured on it
    before the first step, every so many steps and at the end, by the code of `samkit eval`; that
    time does not count. However a run ends, its checkpoint is that of its last whole step.

    Args:
        config: the run. A length in steps gives the same weights every time, a length in minutes
            depends on the machine.
        checkpoint: file that holds all of the run's state; CSV logs lie beside it.
        start: weights to start from instead of random ones.
        resume: go on from `checkpoint`.
        processes: 0 trains here and prepares batches in a second thread. n > 0 shares every
            batch among n processes of cores / n threads, this one included, which is faster on
            few cores; the weights depend on n. Under `torchrun` its processes share each batch
            instead, one for each GPU if there are any; call this in all of them. Only the first
            one reports and writes.
        device: where to train; the CPU by default. Under torchrun each process takes its own GPU.
        checkpoint_every: seconds between writing checkpoints.
        stop_after: leave the run after this many steps in all, as an interruption would.
        tensorboard: folder to log into for TensorBoard as well.

    Raises:
        InputError: the configuration or data cannot be used, nothing can be written beside the
            checkpoint, or the run diverges, which leaves the last checkpoint as it is.
        CheckpointError: `resume` without a checkpoint of this configuration.
    """
    _check(config, processes)
    if processes > 1 and (under_torchrun() or (device is not None and device.type != "cpu")):
        raise InputError("processes: of no use under torchrun or on a GPU, where torchrun shares")
    checkpoint = Path(checkpoint)
    if is_first():
        check_writable(checkpoint)
    arguments = (config, checkpoint, start, resume, stop_after)
    with _members(processes, arguments, device or torch.device("cpu")) as (team, place):
        trainer = _prepared(config, checkpoint, start, resume, team, place)
        if team.rank:
            _follow(trainer, stop_after)
        else:
            folder = None if tensorboard is None else Path(tensorboard)
            log = Log(checkpoint, tensorboard=folder, step=trainer.step)
            yield from _lead(trainer, checkpoint, log, processes, stop_after, checkpoint_every)
    yield trainer.averaged()


def _lead(
    trainer: Trainer,
    checkpoint: Path,
    log: Log,
    processes: int,
    stop_after: int | None,
    checkpoint_every: float,
) -> Iterator[Report | Validation]:
    """What the first process does: steps, and all that is written and told."""
    saved, first = time.monotonic(), trainer.step
    feed = prepared_batches if trainer.team.size == 1 and processes == 0 else inline_batches
    try:
        with feed(trainer) as batches:
            for event in _steps(trainer, batches, stop_after):
                if event is not None:
                    log.write(event)
                    yield event
                if time.monotonic() - saved > checkpoint_every:
                    trainer.save(checkpoint)
                    saved = time.monotonic()
    finally:
        log.close()
        # Also where a run is interrupted, or an error ends it.
        if trainer.is_whole and trainer.step > first:
            trainer.save(checkpoint)


def _steps(
    trainer: Trainer, batches: Feed, stop_after: int | None
) -> Iterator[Report | Validation | None]:
    """Learn; after each step yield what there is to tell, or None."""
    config = trainer.config
    datasets = held_out(config) if trainer.team.rank == 0 else []
    validates = bool(config.hold_out or config.validation)
    if validates and trainer.measured < trainer.step and trainer.step % config.validate_every == 0:
        yield _measured(trainer, datasets)
    stage = None
    for batch, stage in batches:
        trainer.learn(batch, stage)
        yield trainer.report(stage) if trainer.step % _LOG_EVERY == 0 else None
        if stop_after is not None and trainer.step >= stop_after:
            return
        if validates and trainer.step % config.validate_every == 0:
            yield _measured(trainer, datasets)
    if stage is not None and trainer.step % _LOG_EVERY:
        yield trainer.report(stage)
    if validates and trainer.measured < trainer.step:
        yield _measured(trainer, datasets)


def _measured(trainer: Trainer, datasets: list[Dataset]) -> Validation | None:
    """The first process measures, the others wait for it; then all clocks go on."""
    found = None
    if trainer.team.rank == 0:
        found = validate(
            trainer.averaged(),
            datasets,
            step=trainer.step,
            images=trainer.config.validation_images,
            device=trainer.device,
        )
    trainer.measured = trainer.step
    trainer.team.average([torch.zeros(1, device=trainer.device)])
    trainer.start_clock()
    return found


def _follow(trainer: Trainer, stop_after: int | None) -> None:
    """What the other processes do: the same steps on their share of each batch."""
    with inline_batches(trainer) as batches:
        for _ in _steps(trainer, batches, stop_after):
            pass


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
    try:
        with joined(meeting, rank=rank, size=size) as team:
            trainer = _prepared(config, checkpoint, start, resume, team, torch.device("cpu"))
            _follow(trainer, stop_after)
    except SamkitError as error:  # in a line; mostly the first process meets the same
        raise SystemExit(f"process {rank}: {error}") from None


def _check(config: TrainingConfig, processes: int) -> None:
    length = config.minutes if config.steps is None else config.steps
    if length is not None and not 0 < length < float("inf"):
        raise InputError(f"expected a run of more than 0 steps or minutes, got {length}")
    if not 0 < config.learning_rate < float("inf"):
        raise InputError(f"learning_rate: expected a number above 0, got {config.learning_rate}")
    if processes < 0:
        raise InputError(f"processes: expected 0 and more, got {processes}")
    positive = {
        "accumulate": config.accumulate,
        "validate_every": config.validate_every,
        "validation_images": config.validation_images,
        "prompts.rounds": config.prompts.rounds,
        "stages": len(config.stages),
        **{f"stages[{i}].images": stage.images for i, stage in enumerate(config.stages)},
        **{f"stages[{i}].prompts": stage.prompts for i, stage in enumerate(config.stages)},
        **{f"stages[{i}].frames": stage.frames for i, stage in enumerate(config.stages)},
    }
    for name, value in positive.items():
        if value < 1:
            raise InputError(f"{name}: expected 1 and more, got {value}")
    weights = [source.weight for source in config.sources]
    weights += [source.paste_weight for source in config.sources]
    if weights and (not np.isfinite(weights).all() or min(weights) < 0 or sum(weights) == 0):
        raise InputError(f"sources: expected weights of 0 and more, not all 0, got {weights}")
    if not 0 <= config.seed < 2**32:
        raise InputError(f"seed: expected a number from 0 to 2**32 - 1, got {config.seed}")
    if (config.steps is None) == (config.minutes is None):
        raise InputError("expected a length of the run in steps or in minutes, one of them")
    if not config.sources:
        raise InputError("expected at least one source of training data, got none")
    for path in (*(source.path for source in config.sources), *config.validation):
        open_dataset(path)  # a clear error here, not in another process
    if config.hold_out == 1 or config.hold_out < 0:
        raise InputError(
            f"hold_out: expected 0 (none) or every n-th image, n > 1, got {config.hold_out}"
        )
    if config.network["family"] != "sam2" and any(stage.frames > 1 for stage in config.stages):
        raise InputError("clips teach SAM 2 networks only; this one has no memory")
    for stage in config.stages:
        if stage.size % 32 or stage.size <= 0:
            raise InputError(f"expected a stage size that is a multiple of 32, got {stage.size}")
        parts = max(1, processes, torchrun_size()) * config.accumulate
        if stage.images % parts:
            raise InputError(
                f"expected batches that can be cut into {parts} parts, got {stage.images} images"
            )
