"""The thread in which networks run."""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request

from samkit.server.errors import ApiError
from samkit.server.metrics import Metrics

__all__ = ["Inference"]

_LOG = logging.getLogger("samkit.server")

T = TypeVar("T")

# Of the mean time of a request, by which is told when to come again.
_DECAY = 0.9
# Seconds between attempts of work that waits until there is room.
_PATIENCE = 0.05


class Inference:
    """One thread, in which all networks run and everything that is kept is read and changed.

    Args:
        most_waiting: requests that may wait; more are refused.
        metrics: told of the times.

    Attributes:
        is_ending: says whether the server ends, so that what goes on for long is to end too.
    """

    def __init__(self, most_waiting: int, metrics: Metrics) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="samkit")
        self._most, self._metrics = most_waiting, metrics
        self.is_ending: Callable[[], bool] = lambda: False
        self._lock = threading.Lock()
        self._soon: deque[Callable[[], Any]] = deque()
        self._waiting = 0
        self._seconds = 0.1

    async def run(
        self, name: str, work: Callable[[], T], request: Request, *, patient: bool = False
    ) -> T:
        """Do work in the thread. Work that has not begun when the client goes away is not done.

        Args:
            name: of the kind of work, for the metrics.
            work: what to do.
            request: that asks for it; its body has been read.
            patient: wait until there is room instead of refusing.

        Raises:
            ApiError: too many wait already, the client has gone away, or the server ends.
        """
        if self.is_ending():
            raise ApiError(503, "busy", "the server ends")
        while not self._enter():
            if not patient:
                self._metrics.refused.labels("busy").inc()
                wait = max(1, math.ceil(self._waiting * self._seconds))
                raise ApiError(
                    503, "busy", f"{self._waiting} requests wait", {"Retry-After": str(wait)}
                )
            await asyncio.sleep(_PATIENCE)
        job = [work]
        future = self._pool.submit(self._timed, name, job)
        future.add_done_callback(self._leave)
        result = asyncio.wrap_future(future)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            both: set[asyncio.Future[Any]] = {result, gone}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise ApiError(499, "gone", "the client has gone away")
            return result.result()
        finally:
            gone.cancel()
            if future.cancel():
                job.clear()  # the pool keeps it until its turn comes, and it may hold an image
            result.cancel()

    def soon(self, work: Callable[[], Any]) -> None:
        """Do something short in the thread, which nobody waits for; it is done in any case."""
        self._soon.append(work)
        with suppress(RuntimeError):  # it has ended: `close` does it
            self._pool.submit(self._do_soon)

    def close(self) -> None:
        """End after the work that has begun, and what was to be done soon."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._do_soon()

    def _do_soon(self) -> None:
        while self._soon:
            work = self._soon.popleft()
            try:
                work()
            except Exception:
                _LOG.exception("what was to be done soon failed")

    def _enter(self) -> bool:
        with self._lock:
            if self._waiting >= self._most:
                return False
            self._waiting += 1
            self._metrics.waiting.set(self._waiting)
            return True

    def _leave(self, _: object) -> None:
        with self._lock:
            self._waiting -= 1
            self._metrics.waiting.set(self._waiting)

    def _timed(self, name: str, job: list[Callable[[], T]]) -> T:
        start = time.perf_counter()
        try:
            return job.pop()()
        finally:
            took = time.perf_counter() - start
            self._seconds = _DECAY * self._seconds + (1 - _DECAY) * took
            self._metrics.work_seconds.labels(name).observe(took)


async def _disconnected(request: Request) -> None:
    with suppress(ApiError):  # a body that nobody waits for does not come
        while (await request.receive())["type"] != "http.disconnect":
            pass
