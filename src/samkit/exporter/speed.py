"""How quick a network is on this machine, and how much memory it takes."""

import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from samkit.errors import SamkitError
from samkit.exporter.samples import CLIP, PHOTOGRAPH
from samkit.image_predictor import ImagePredictor, load
from samkit.media import read_image
from samkit.prompts import Prompt
from samkit.runtimes import Runtime
from samkit.video import VideoPredictor

__all__ = ["Speed", "measure"]

# Each operation is timed so often, or for so many seconds, but three times at least.
_MOST, _SECONDS, _LEAST = 100, 4.0, 3
_PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Of one runtime with so many threads.

    Attributes:
        embed: percentiles 50, 90 and 99 of the milliseconds to embed a photograph.
        click: of a click on it; each.
        track: of a frame of a clip with one object, decoded, embedded and remembered; None for a
            network without memory.
        megabytes: the most memory that the process has taken; None where the system does not say.
    """

    embed: tuple[float, ...]
    click: tuple[float, ...]
    track: tuple[float, ...] | None
    megabytes: float | None

    @property
    def total(self) -> float:
        """The sum of the medians, in milliseconds."""
        return sum(one[0] for one in (self.embed, self.click, self.track) if one is not None)


def measure(model: str | Path, runtime: Runtime | None, threads: int) -> Speed:
    """Time a model in a new process, with nothing of this one in its memory.

    Args:
        model: as `samkit.load` takes it.
        runtime: of an export; None for a network in torch.
        threads: how many it may use.

    Raises:
        SamkitError: it cannot be loaded, or its process died, such as for want of memory.
    """
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_measure, str(model), runtime, threads).result()
    except BrokenProcessPool:
        raise SamkitError(f"the process that timed {model} has died; was there memory?") from None


def _measure(model: str, runtime: Runtime | None, threads: int) -> Speed:
    torch.set_num_threads(threads)
    predictor = load(model, device="cpu", dtype="float32", runtime=runtime)
    image = read_image(PHOTOGRAPH)
    embedding = predictor.embed(image)
    click = Prompt.point(image.shape[1] / 2, image.shape[0] / 2)
    return Speed(
        embed=_percentiles(_timed(lambda: predictor.embed(image))),
        click=_percentiles(_timed(lambda: predictor.predict(embedding, click))),
        track=_percentiles(_tracked(predictor)) if predictor.network.has_memory else None,
        megabytes=_most_memory(),
    )


def _timed(action: Callable[[], object]) -> Iterator[float]:
    action()  # the first time is slower
    while True:
        start = time.perf_counter()
        action()
        yield time.perf_counter() - start


def _tracked(predictor: ImagePredictor) -> Iterator[float]:
    while True:
        tracker = VideoPredictor(predictor, CLIP)
        tracker.prompt(0, 1, Prompt.box(114, 0, 303, 188))
        frames = iter(tracker.track())
        next(frames)  # the prompted one
        start = time.perf_counter()
        for _ in frames:
            yield time.perf_counter() - start
            start = time.perf_counter()


def _percentiles(seconds: Iterator[float]) -> tuple[float, ...]:
    times: list[float] = []
    while len(times) < _LEAST or (len(times) < _MOST and sum(times) < _SECONDS):
        times.append(next(seconds))
    return tuple(float(np.percentile(times, p)) * 1000 for p in _PERCENTILES)


def _most_memory() -> float | None:
    """Of this process, in megabytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        status = ""
    # Not what getrusage says on Linux, which has something of the process that started this one.
    if found := re.search(r"VmHWM:\s+(\d+) kB", status):
        return int(found[1]) / 1e3
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return None
