"""Where batches come from: made on the spot, or ahead of time in a second process."""

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import cv2

from samkit.training.config import Stage, TrainingConfig
from samkit.training.data import Library, load_library
from samkit.training.sampling import Batch, make_batch
from samkit.training.trainer import Trainer

__all__ = ["Feed", "inline_batches", "prepared_batches"]

# Batches made ahead.
_PREFETCH = 4

Feed = Iterator[tuple[Batch, Stage]]


@contextmanager
def inline_batches(trainer: Trainer) -> Iterator[Feed]:
    """This process's share of each batch, made when it is needed."""
    library = load_library(trainer.config)
    team = trainer.team

    def feed() -> Feed:
        for step, stage in _plan(trainer):
            share = replace(stage, images=stage.images // team.size)
            yield make_batch(library, trainer.config, share, step, part=team.rank), stage

    yield feed()


@contextmanager
def prepared_batches(trainer: Trainer) -> Iterator[Feed]:
    """Whole batches, made ahead of time in a second process."""
    pool = ProcessPoolExecutor(
        1,
        multiprocessing.get_context("spawn"),
        initializer=_fill_library,
        initargs=(trainer.config,),
    )
    try:
        yield _prefetched(trainer, pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _plan(trainer: Trainer) -> Iterator[tuple[int, Stage]]:
    """Steps that are still to be done. The clock is read when a step is planned."""
    trainer.start_clock()
    step = trainer.step
    while trainer.progress(step) < 1:
        yield step, trainer.config.stage_at(trainer.progress(step))
        step += 1


def _prefetched(trainer: Trainer, pool: ProcessPoolExecutor) -> Feed:
    waiting: deque[tuple[Future[Batch], Stage]] = deque()
    for step, stage in _plan(trainer):
        waiting.append((pool.submit(_make_batch, trainer.config, stage, step), stage))
        if len(waiting) > _PREFETCH:
            future, planned = waiting.popleft()
            yield future.result(), planned
    for future, planned in waiting:
        yield future.result(), planned


_library: Library | None = None
"""The training images, in the process that makes batches."""


def _fill_library(config: TrainingConfig) -> None:
    global _library
    cv2.setNumThreads(1)
    _library = load_library(config)


def _make_batch(config: TrainingConfig, stage: Stage, step: int) -> Batch:
    assert _library is not None
    return make_batch(_library, config, stage, step)
