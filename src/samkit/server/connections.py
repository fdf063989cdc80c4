"""Connections that end when their clients stall."""

import asyncio
import math
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Connection"]

_BUSY = object()
# Looks at which nothing of an answer was read since the one before. More than one, as what lies
# between server and client takes the answer in large pieces.
_PATIENCE = 3


class Connection(H11Protocol):
    """A connection of uvicorn that ends when its client takes too long.

    That is a client that for `SECONDS` does not send all headers of a request, or for three times
    as long reads nothing of its answer. (The pace of a body is the guard's.)
    """

    SECONDS = 20.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does so only where the listening socket names its protocol, and
        # `socket.create_server` does not; each answer would wait 40 ms for an acknowledgement.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seen: Any = None  # what was waited for at the last look
        self._unread: float = 0  # bytes of the answer that were left then
        self._stalled = 0  # looks since anything happened
        self._timer = self.loop.call_later(self.SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._unread = math.inf  # the client has read
        super().resume_writing()

    def _look(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        seen = self.cycle if is_idle else _BUSY
        unread = self.transport.get_write_buffer_size()
        waits = seen is self._seen if is_idle else self.flow.write_paused
        self._stalled = self._stalled + 1 if waits and unread >= self._unread else 0
        if self._stalled >= (_PATIENCE if unread else 1):
            self.transport.abort()
            return
        self._seen, self._unread = seen, unread
        self._timer = self.loop.call_later(self.SECONDS, self._look)
