"""The dataloader: batches made when they are needed, or prefetched in a second thread."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import cv2

from samkit.training.config import Stage, TrainingConfig
from samkit.training.data import Library, load_library
from samkit.training.sampling import make_batch
from samkit.training.tracking import make_clip_batch
from samkit.training.trainer import AnyBatch, Trainer

__all__ = ["Batches", "inline_batches", "prefetched_batches"]

# Batches made ahead.
_PREFETCH = 4

Batches = Iterator[tuple[AnyBatch, Stage]]


@contextmanager
def inline_batches(trainer: Trainer) -> Iterator[Batches]:
    """This process's share of each batch, made when it is needed."""
    yield _inline(trainer, load_library(trainer.config))


@contextmanager
def prefetched_batches(trainer: Trainer) -> Iterator[Batches]:
    """Whole batches, made ahead in a second thread."""
    library = load_library(trainer.config)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(1)
    try:
        yield _prefetched(trainer, library, pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)


def _make(
    library: Library, config: TrainingConfig, stage: Stage, step: int, *, rank: int = 0
) -> AnyBatch:
    make = make_batch if stage.frames == 1 else make_clip_batch
    return make(library, config, stage, step, rank=rank)


def _schedule(trainer: Trainer) -> Iterator[tuple[int, Stage]]:
    """The remaining steps and their stages; the clock is read as each one is asked for."""
    trainer.start_clock()
    step = trainer.step
    while trainer.progress(step) < 1:
        yield step, trainer.config.stage_at(trainer.progress(step))
        step += 1


def _inline(trainer: Trainer, library: Library) -> Batches:
    worker = trainer.worker
    for step, stage in _schedule(trainer):
        share = replace(stage, images=stage.images // worker.world_size)
        yield _make(library, trainer.config, share, step, rank=worker.rank), stage


def _prefetched(trainer: Trainer, library: Library, pool: Executor) -> Batches:
    waiting: deque[tuple[Future[AnyBatch], Stage]] = deque()
    for step, stage in _schedule(trainer):
        waiting.append((pool.submit(_make, library, trainer.config, stage, step), stage))
        if len(waiting) > _PREFETCH:
            future, planned = waiting.popleft()
            yield future.result(), planned
    for future, planned in waiting:
        yield future.result(), planned
