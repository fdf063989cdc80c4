"""Where batches come from: made on the spot, or ahead of time in a second thread."""

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

__all__ = ["Feed", "inline_batches", "prepared_batches"]

# Batches made ahead.
_PREFETCH = 4

Feed = Iterator[tuple[AnyBatch, Stage]]


@contextmanager
def inline_batches(trainer: Trainer) -> Iterator[Feed]:
    """This process's share of each batch, made when it is needed."""
    library = load_library(trainer.config)
    team = trainer.team

    def feed() -> Feed:
        for step, stage in _plan(trainer):
            share = replace(stage, images=stage.images // team.size)
            yield _make(library, trainer.config, share, step, part=team.rank), stage

    yield feed()


@contextmanager
def prepared_batches(trainer: Trainer) -> Iterator[Feed]:
    """Whole batches, made ahead of time in a second thread."""
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
    library: Library, config: TrainingConfig, stage: Stage, step: int, *, part: int = 0
) -> AnyBatch:
    make = make_batch if stage.frames == 1 else make_clip_batch
    return make(library, config, stage, step, part=part)


def _plan(trainer: Trainer) -> Iterator[tuple[int, Stage]]:
    """Steps that are still to be done. The clock is read when a step is planned."""
    trainer.start_clock()
    step = trainer.step
    while trainer.progress(step) < 1:
        yield step, trainer.config.stage_at(trainer.progress(step))
        step += 1


def _prefetched(trainer: Trainer, library: Library, pool: Executor) -> Feed:
    waiting: deque[tuple[Future[AnyBatch], Stage]] = deque()
    for step, stage in _plan(trainer):
        job = pool.submit(_make, library, trainer.config, stage, step)
        waiting.append((job, stage))
        if len(waiting) > _PREFETCH:
            future, planned = waiting.popleft()
            yield future.result(), planned
    for future, planned in waiting:
        yield future.result(), planned
