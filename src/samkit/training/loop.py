"""The training loop: batches, steps, reports and checkpoints."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch

from samkit.errors import InputError
from samkit.evaluation.datasets import Dataset, open_dataset
from samkit.files import checked_path
from samkit.media.writing import check_writable
from samkit.nn import Network
from samkit.training import checkpoints
from samkit.training.batches import Batches, open_batches
from samkit.training.config import TrainingConfig, check_numbers, check_types, network_sizes
from samkit.training.data import held_out
from samkit.training.distributed import Worker, is_main_process, torchrun_world_size, worker_group
from samkit.training.log import Log
from samkit.training.trainer import Report, Trainer
from samkit.training.validation import Validation, validate

__all__ = ["check_config", "train"]

_LOG_EVERY = 10
_LARGEST = 8192  # side of a network input


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
    """Train; yield reports and validations, and at last the network with averaged weights (EMA).

    With validation images, the averaged weights are evaluated on them before the first step, every
    `validate_every` steps and at the end, by the code of `samkit eval`; that time does not count.
    However a run ends, its checkpoint is that of its last complete step.

    Args:
        config: the run. A length in steps gives the same weights every time, a length in minutes
            depends on the machine.
        checkpoint: file that holds all of the run's state; CSV logs lie beside it.
        start: weights to start from instead of random ones.
        resume: continue from `checkpoint`.
        processes: 0 trains here and prefetches batches in a second thread. n > 0 shares every
            batch among n processes of cores / n threads, this one included, which is faster on
            few cores; the weights depend on n. Under `torchrun`, call this in all of its processes:
            they share each batch, one for each GPU if there are any. Only the main process reports
            and writes.
        device: where to train; the CPU by default. Under torchrun each process takes its own GPU.
        checkpoint_every: seconds between writing checkpoints.
        stop_after: end after this many steps in all, as an interruption would.
        tensorboard: folder to log into for TensorBoard as well.

    Raises:
        InputError: the configuration or data cannot be used, nothing can be written beside the
            checkpoint, or the run diverges, which leaves the last checkpoint as it is.
        CheckpointError: `resume` without a checkpoint of this configuration.
    """
    checkpoint = checked_path(checkpoint, "a checkpoint")
    folder = None if tensorboard is None else checked_path(tensorboard, "TensorBoard's folder")
    for name, value, kind in (
        ("processes", processes, int),
        ("start", start, Network | None),
        ("device", device, torch.device | None),
        ("checkpoint_every", checkpoint_every, float | int),
        ("stop_after", stop_after, int | None),
    ):
        if not isinstance(value, kind):
            raise InputError(f"{name}: expected {kind}, got {value!r:.80}")
    check_config(config, processes, device)
    for path in (*(source.path for source in config.sources), *config.validation):
        open_dataset(path)  # raises its errors here rather than in another process
    if is_main_process():
        check_writable(checkpoint)
    build = partial(_trainer, config, start, checkpoint if resume else None)
    group = worker_group(processes, device or torch.device("cpu"), _run_worker, (build, stop_after))
    with group as (worker, device):
        if worker.rank:
            trainer = _run_worker(worker, build, stop_after, device)
        else:
            trainer = build(worker=worker, device=device)
            log = Log(checkpoint, tensorboard=folder, step=trainer.step)
            yield from _run_main(trainer, checkpoint, log, processes, stop_after, checkpoint_every)
    yield trainer.ema_network()


def _trainer(
    config: TrainingConfig,
    start: Network | None,
    checkpoint: Path | None,
    worker: Worker,
    device: torch.device | None,
) -> Trainer:
    """The state of the run at its start, or as a checkpoint holds it."""
    trainer = Trainer(config, start=start, worker=worker, device=device)
    if checkpoint is not None:
        checkpoints.resume(trainer, checkpoint)
    return trainer


def _run_main(
    trainer: Trainer,
    checkpoint: Path,
    log: Log,
    processes: int,
    stop_after: int | None,
    checkpoint_every: float,
) -> Iterator[Report | Validation]:
    """The main process: steps, logs and checkpoints."""
    saved, first = time.monotonic(), trainer.step
    alone = trainer.worker.world_size == 1 and processes == 0
    try:
        with closing(open_batches(trainer, prefetch=alone)) as batches:
            for event in _steps(trainer, batches, stop_after):
                if event is not None:
                    log.write(event)
                    yield event
                if time.monotonic() - saved > checkpoint_every:
                    checkpoints.save(trainer, checkpoint)
                    saved = time.monotonic()
    finally:
        log.close()
        # Also where a run is interrupted, or an error ends it.
        if trainer.is_consistent and trainer.step > first:
            checkpoints.save(trainer, checkpoint)


def _run_worker(
    worker: Worker,
    build: Callable[..., Trainer],
    stop_after: int | None,
    device: torch.device | None = None,
) -> Trainer:
    """The other processes: the same steps on their share of each batch."""
    trainer = build(worker=worker, device=device)
    for _ in _steps(trainer, open_batches(trainer, prefetch=False), stop_after):
        pass
    return trainer


def _steps(
    trainer: Trainer, batches: Batches, stop_after: int | None
) -> Iterator[Report | Validation | None]:
    """Train; after each step yield a report or validation that is due, or None."""
    config = trainer.config
    datasets = held_out(config) if trainer.worker.rank == 0 else []
    every = config.validate_every if config.hold_out or config.validation else 0

    if every and trainer.step % every == 0 and trainer.validated < trainer.step:
        yield _validate(trainer, datasets)
    stage = None
    for batch, stage in batches:
        trainer.train_step(batch, stage)
        yield trainer.report(stage) if trainer.step % _LOG_EVERY == 0 else None
        if stop_after is not None and trainer.step >= stop_after:
            return
        if every and trainer.step % every == 0:
            yield _validate(trainer, datasets)
    if stage is not None and trainer.step % _LOG_EVERY:
        yield trainer.report(stage)
    if every and trainer.validated < trainer.step:
        yield _validate(trainer, datasets)


def _validate(trainer: Trainer, datasets: list[Dataset]) -> Validation | None:
    """Evaluate in the main process while the others wait; that time does not count."""
    validation = None
    if trainer.worker.rank == 0:
        validation = validate(
            trainer.ema_network(),
            datasets,
            step=trainer.step,
            images=trainer.config.validation_images,
            device=trainer.device,
        )
    trainer.validated = trainer.step
    trainer.worker.all_reduce_mean([torch.zeros(1, device=trainer.device)])
    trainer.start_clock()
    return validation


def check_config(
    config: TrainingConfig, processes: int = 0, device: torch.device | None = None
) -> None:
    """Check all that can be checked without the data; the arguments are those of `train`.

    Raises:
        InputError: a run cannot be so.
    """
    check_types(config)
    if (config.steps is None) == (config.minutes is None):
        raise InputError("expected the length of the run either in steps or in minutes")
    length = config.minutes if config.steps is None else config.steps
    if length is not None and not 0 < length < float("inf"):
        raise InputError(f"expected a run of more than 0 steps or minutes, got {length}")
    if not 0 < config.learning_rate < float("inf"):
        raise InputError(f"learning_rate: expected a number above 0, got {config.learning_rate}")
    if processes < 0:
        raise InputError(f"processes: expected 0 and more, got {processes}")
    on_gpu = device is not None and device.type != "cpu"
    if processes > 1 and (torchrun_world_size() > 1 or on_gpu):
        raise InputError("processes: of no use under torchrun or on a GPU, where torchrun shares")
    counts = {
        "accumulate": config.accumulate,
        "validate_every": config.validate_every,
        "validation_images": config.validation_images,
        "prompts.rounds": config.prompts.rounds,
        "prompts.corrected": config.prompts.corrected,
        "stages": len(config.stages),
    }
    for i, stage in enumerate(config.stages):
        for name in ("images", "prompts", "frames"):
            counts[f"stages[{i}].{name}"] = getattr(stage, name)
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name}: expected 1 and more, got {count}")
    if not 0 <= config.seed < 2**32:
        raise InputError(f"seed: expected a number from 0 to 2**32 - 1, got {config.seed}")
    if not config.sources:
        raise InputError("expected at least one source of training data, got none")
    weights = [source.weight for source in config.sources]
    if not np.isfinite(weights).all() or min(weights) < 0 or sum(weights) == 0:
        raise InputError(f"sources: expected weights of 0 and more, not all 0, got {weights}")
    if config.hold_out == 1 or config.hold_out < 0:
        raise InputError(
            f"hold_out: expected 0 (none) or every n-th image, n > 1, got {config.hold_out}"
        )
    check_numbers(config)
    network = network_sizes(config.network)
    if not network.has_memory and any(stage.frames > 1 for stage in config.stages):
        raise InputError("clips teach SAM 2 networks only; this one has no memory")
    stride = network.image_encoder.stride  # of the input, which prompts are drawn for
    if stride != 16:
        raise InputError(f"training: expected a network with a stride of 16 pixels, got {stride}")
    parts = max(1, processes, torchrun_world_size()) * config.accumulate
    for i, stage in enumerate(config.stages):
        for side in stage.shape:
            if side % 32 or not 0 < side <= _LARGEST:
                raise InputError(
                    f"stages[{i}]: expected a size that is a multiple of 32 up to {_LARGEST}, "
                    f"got {side}"
                )
        if stage.images % parts:
            raise InputError(
                f"expected batches that can be cut into {parts} parts, got {stage.images} images"
            )
