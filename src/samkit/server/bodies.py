"""What clients send, as it comes: bounded in size, in pace, and in all."""

import asyncio
import time

from starlette.types import Message, Receive

from samkit.server.errors import ApiError

__all__ = ["LimitedBody", "Room"]

# Bytes a second that a long body has to come with on average.
_SLOWEST = 2**14


class Room:
    """Bytes that requests may hold in all while they are received, wait or are worked on.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int) -> None:
        """Take some of it.

        Raises:
            ApiError: there is not so much left.
        """
        if size > self._left:
            raise ApiError(503, "busy", "too much is being received", {"Retry-After": "1"})
        self._left -= size

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self._left += size


class LimitedBody:
    """The body of a request, while it is not too large, not too slow, and there is room for it.

    Args:
        receive: where it comes from.
        most: bytes that it may have.
        weight: bytes of `room` that each of its bytes takes.
        room: shared by all requests; `release` gives back what this one took.
        seconds: for which it may pause.
    """

    def __init__(
        self, receive: Receive, *, most: int, weight: int, room: Room, seconds: float
    ) -> None:
        self._receive, self._most, self._weight = receive, most, weight
        self._room, self._seconds = room, seconds
        self._began = time.monotonic()
        self._received, self._is_whole = 0, False

    async def receive(self) -> Message:
        """The next part, as ASGI has it.

        Raises:
            ApiError: it is too large or too slow, or there is no room for it.
        """
        if self._is_whole:
            return await self._receive()
        now = time.monotonic() - self._began
        left = self._seconds + self._received / _SLOWEST - now
        try:
            message = await asyncio.wait_for(self._receive(), min(self._seconds, left))
        except asyncio.TimeoutError:
            raise ApiError(408, "too_slow", "the request did not come") from None
        size = len(message.get("body", b""))
        if self._received + size > self._most:
            raise ApiError(413, "too_large", f"expected at most {self._most} bytes")
        self._room.take(size * self._weight)
        self._received += size
        self._is_whole = not message.get("more_body", False)
        return message

    def release(self) -> None:
        """Give the room back."""
        self._room.give_back(self._received * self._weight)
