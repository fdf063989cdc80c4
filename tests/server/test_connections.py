"""Connections whose clients stall, over real sockets."""

import asyncio
import socket
from types import SimpleNamespace
from typing import ClassVar

import pytest
import uvicorn

from samkit.server.connections import Connection

ANSWER = b"x" * 2**24  # more than sockets hold


class Quick(Connection):
    SECONDS = 0.1
    made: ClassVar = []

    def connection_made(self, transport):
        super().connection_made(transport)
        self.made.append(self)


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await receive()
    body = ANSWER if scope["path"] == "/large" else b"ok"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for more in (True, True, False):
        await send({"type": "http.response.body", "body": body, "more_body": more})


@pytest.fixture
def connected():
    """Run a scenario with an open connection to a server -> what the scenario returns."""

    def connected(scenario):
        async def run():
            server = uvicorn.Server(
                uvicorn.Config(app, http=Quick, port=0, lifespan="off", log_level="critical")
            )
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return await scenario(reader, writer)
            finally:
                writer.close()
                server.should_exit = True
                await serving

        return asyncio.run(asyncio.wait_for(run(), 60))

    return connected


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_headers_that_do_not_come(connected, sent):
    async def dripping(reader, writer):
        writer.write(sent)
        drips = asyncio.create_task(drip(writer))
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            drips.cancel()

    async def drip(writer):
        while sent:
            writer.write(b"a")
            await asyncio.sleep(0.05)

    assert connected(dripping) == b""


def test_an_answer_that_is_not_read(connected):
    async def scenario(reader, writer):
        reader._transport.pause_reading()
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        while not (made and made[-1].cycle and made[-1].cycle.disconnected):  # which tells the app
            await asyncio.sleep(0.01)
        assert made[-1].transport.is_closing()

    made = Quick.made = []
    connected(scenario)


@pytest.mark.parametrize(
    ("looks", "ended"),
    [
        # (request, its answer is complete, writing is paused, bytes left)
        ([(None, False, False, 0)], True),
        ([("a", False, False, 0)] * 9, False),  # it is worked on
        ([("a", False, False, 0), ("a", True, False, 0)], False),  # just answered
        ([("a", True, False, 0)] * 2, True),
        ([("a", True, False, 0), ("b", True, False, 0)], False),
        ([("a", False, True, 9)] * 3, True),
        ([("a", False, True, left) for left in (9, 8, 7, 6, 5)], False),
        ([("a", True, True, 9)] * 4, True),
        ([("a", True, True, 9)] * 3, False),
        ([("a", False, True, left) for left in (9, 9, 8, 8, 7, 7)], False),
    ],
)
def test_who_stalls(looks, ended):
    aborted = []
    connection = Connection.__new__(Connection)
    connection._seen, connection._unread, connection._stalled = None, 0, 0
    connection.loop = SimpleNamespace(call_later=lambda *_: None)
    cycles = {name: SimpleNamespace() for name in "ab"}
    for name, complete, paused, left in looks:
        assert not aborted
        connection.cycle = cycles.get(name)
        if connection.cycle:
            connection.cycle.response_complete = complete
        connection.flow = SimpleNamespace(write_paused=paused)
        connection.transport = SimpleNamespace(
            get_write_buffer_size=lambda left=left: left, abort=lambda: aborted.append(1)
        )
        connection._look()
    assert bool(aborted) == ended


def test_answers_do_not_wait_for_acknowledgements():
    """Also where the socket was made outside, as `samkit serve` does."""

    async def run(listener):
        loop = asyncio.get_running_loop()
        made = loop.create_future()

        class Watched(Connection):
            def connection_made(self, transport):
                super().connection_made(transport)
                made.set_result(transport.get_extra_info("socket"))

        server = uvicorn.Server(uvicorn.Config(app, http=Watched, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        _, writer = await asyncio.open_connection(*listener.getsockname())
        found = (await made).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        server.should_exit = True
        await serving
        return found

    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert asyncio.run(asyncio.wait_for(run(listener), 60))
