"""The dataloader: batches made when they are needed, or prefetched in a second thread."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeAlias

import cv2

from samkit.training.config import Stage, TrainingConfig
from samkit.training.data import Library, load_library
from samkit.training.sampling import make_batch
from samkit.training.tracking import make_clip_batch
from samkit.training.trainer import AnyBatch, Trainer

__all__ = ["Batches", "open_batches"]

# Batches made ahead.
_PREFETCH = 4

Batches: TypeAlias = Generator[tuple[AnyBatch, Stage], None, None]
"""The batch and the stage of each step; to be closed."""


def open_batches(trainer: Trainer, *, prefetch: bool) -> Batches:
    """Load the training set -> batches for the remaining steps.

    Args:
        trainer: the run.
        prefetch: make whole batches ahead in a second thread; otherwise this process's share of
            each batch, when it is needed.

    Raises:
        InputError: the training set cannot be used.
    """
    library = load_library(trainer.config)
    return _prefetched(trainer, library) if prefetch else _inline(trainer, library)


def _inline(trainer: Trainer, library: Library) -> Batches:
    worker = trainer.worker
    for step, stage in _schedule(trainer):
        share = replace(stage, images=stage.images // worker.world_size)
        yield _make(library, trainer.config, share, step, worker.rank), stage


def _prefetched(trainer: Trainer, library: Library) -> Batches:
    waiting: deque[tuple[Future[AnyBatch], Stage]] = deque()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(1)
    try:
        for step, stage in _schedule(trainer):
            waiting.append((pool.submit(_make, library, trainer.config, stage, step, 0), stage))
            if len(waiting) > _PREFETCH:
                future, its_stage = waiting.popleft()
                yield future.result(), its_stage
        for future, its_stage in waiting:
            yield future.result(), its_stage
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)


def _schedule(trainer: Trainer) -> Iterator[tuple[int, Stage]]:
    """The remaining steps and their stages, by the clock at the time of each `next`."""
    trainer.start_clock()
    step = trainer.step
    while trainer.progress(step) < 1:
        yield step, trainer.config.stage_at(trainer.progress(step))
        step += 1


def _make(library: Library, config: TrainingConfig, stage: Stage, step: int, rank: int) -> AnyBatch:
    make = make_batch if stage.frames == 1 else make_clip_batch
    return make(library, config, stage, step, rank=rank)
