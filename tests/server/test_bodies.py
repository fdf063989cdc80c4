"""Bodies as they come: in all, and in time."""

import asyncio
import itertools
from types import SimpleNamespace

import pytest

from samkit.server import bodies
from samkit.server.bodies import LimitedBody, Room
from samkit.server.errors import ApiError


def body_of(parts, room, *, most=100, weight=1, seconds=20.0):
    """A body whose parts come at once, or never where there is none left."""
    messages = iter(parts)

    async def receive():
        for part in messages:
            return {"type": "http.request", "body": part, "more_body": True}
        await asyncio.Event().wait()

    return LimitedBody(receive, most=most, weight=weight, room=room, seconds=seconds)


def code_of(body, times):
    async def read():
        for _ in range(times):
            await body.receive()

    with pytest.raises(ApiError) as error:
        asyncio.run(read())
    return error.value.status_code, error.value.code


def test_all_bodies_share_a_room():
    room = Room(100)
    first, second = (body_of([b"x" * 6], room, weight=10) for _ in range(2))
    asyncio.run(first.receive())
    assert code_of(second, 1) == (503, "busy")
    second.release()  # what was refused took nothing
    assert code_of(body_of([b"x" * 41], room), 1) == (503, "busy")
    first.release()
    room.take(100)


def test_a_body_that_is_too_large():
    room = Room(1000)
    body = body_of([b"x" * 60, b"x" * 60], room)
    assert code_of(body, 2) == (413, "too_large")
    body.release()
    room.take(1000)


def test_a_body_that_pauses_or_drips(monkeypatch):
    assert code_of(body_of([], Room(9), seconds=0.01), 1) == (408, "too_slow")
    # A byte a second: each comes in time, and all of them take too long.
    seconds = itertools.count()
    monkeypatch.setattr(bodies, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    drip = body_of([b"x"] * 40, Room(1000))
    assert code_of(drip, 40) == (408, "too_slow")
