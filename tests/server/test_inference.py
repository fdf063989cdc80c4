"""The thread of the networks: what waits, what is refused, and clients that go away."""

import asyncio
import gc
import threading
import weakref
from functools import partial

import pytest

from samkit.server.errors import ApiError
from samkit.server.inference import Inference
from samkit.server.metrics import Metrics


class Client:
    """A request whose client stays until told to go."""

    def __init__(self):
        self.gone = asyncio.Event()

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}


def in_a_loop(scenario, most=3):
    """Run a scenario with an inference thread that is held up until `release` is set."""

    async def run():
        inference, release = Inference(most, Metrics()), threading.Event()
        held = asyncio.create_task(inference.run("held", release.wait, Client()))
        while inference._waiting == 0:
            await asyncio.sleep(0.001)
        try:
            await scenario(inference, release)
        finally:
            release.set()
            await held
            inference.close()

    asyncio.run(asyncio.wait_for(run(), 20))


async def until(is_true):
    while not is_true():
        await asyncio.sleep(0.001)


def test_one_after_the_other_in_one_thread():
    done = []

    async def scenario(inference, release):
        def work(i):
            done.append((i, threading.current_thread().name))
            return i * i

        jobs = [inference.run("work", lambda i=i: work(i), Client()) for i in range(2)]
        release.set()
        assert await asyncio.gather(*jobs) == [0, 1]

    in_a_loop(scenario)
    assert [i for i, _ in done] == [0, 1]
    assert len({name for _, name in done}) == 1


def test_too_many_are_refused_and_the_patient_wait():
    async def scenario(inference, release):
        waiting = [asyncio.create_task(inference.run("w", int, Client())) for _ in range(2)]
        await until(lambda: inference._waiting == 3)
        with pytest.raises(ApiError) as refused:
            await inference.run("w", int, Client())
        assert (refused.value.status_code, refused.value.code) == (503, "busy")
        assert int(refused.value.headers["Retry-After"]) >= 1
        patient = asyncio.create_task(inference.run("p", lambda: 7, Client(), patient=True))
        await asyncio.sleep(0.1)
        assert not patient.done()
        release.set()
        assert await patient == 7
        await asyncio.gather(*waiting)
        assert await inference.run("w", lambda: 8, Client()) == 8

    in_a_loop(scenario)


def test_what_nobody_waits_for_is_not_done():
    done = []

    async def scenario(inference, release):
        client = Client()
        job = asyncio.create_task(inference.run("w", lambda: done.append(1), client))
        await until(lambda: inference._waiting == 2)
        client.gone.set()
        with pytest.raises(ApiError, match="gone"):
            await job
        await until(lambda: inference._waiting == 1)  # its place is free at once

    in_a_loop(scenario)
    assert done == []


def test_errors_come_out_and_do_no_harm():
    async def scenario(inference, release):
        release.set()

        def failing():
            raise ValueError("as it is")

        with pytest.raises(ValueError, match="as it is"):
            await inference.run("w", failing, Client())
        assert await inference.run("w", lambda: 1, Client()) == 1

    in_a_loop(scenario)


def test_what_nobody_waits_for_is_not_held():
    class Image:
        pass

    async def scenario(inference, release):
        image, client = Image(), Client()
        held = weakref.ref(image)
        job = asyncio.create_task(inference.run("w", partial(id, image), client))
        del image
        await until(lambda: inference._waiting == 2)
        client.gone.set()
        await asyncio.wait([job])
        assert isinstance(job.exception(), ApiError)
        del job
        gc.collect()
        assert held() is None  # though its turn has not come

    in_a_loop(scenario)


def test_what_is_to_be_done_soon_is_done_though_it_ends():
    done = []

    async def scenario(inference, release):
        inference.soon(lambda: done.append(1))
        inference.soon(lambda: 1 / 0)  # said in the log, and no harm to the others
        inference.soon(lambda: done.append(2))
        ending.append(inference)

    ending = []
    in_a_loop(scenario)
    assert done == [1, 2]
    ending[0].soon(lambda: done.append(3))
    ending[0].close()
    assert done == [1, 2, 3]


def test_nothing_is_begun_once_it_ends():
    async def scenario(inference, release):
        inference.is_ending = lambda: True
        with pytest.raises(ApiError, match="ends"):
            await inference.run("late", lambda: 1, Client(), patient=True)

    in_a_loop(scenario)
