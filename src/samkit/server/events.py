"""Server-sent events."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi.responses import StreamingResponse

from samkit.server.errors import error_response

__all__ = ["event", "event_stream"]


def event(kind: str, data: dict[str, Any], number: int | None = None) -> str:
    """An event as it is sent."""
    lines = [] if number is None else [f"id: {number}"]
    return "\n".join([*lines, f"event: {kind}", f"data: {json.dumps(data)}", "", ""])


def event_stream(
    step: Callable[[], Awaitable[str | None]], finish: Callable[[], None]
) -> StreamingResponse:
    """An answer that goes on for a while.

    Args:
        step: gives one event after the other; None ends them with an event `end`. Its errors are
            the last event, `error`, with what other answers have.
        finish: called at the end, also when the client has gone away.
    """

    async def events() -> AsyncIterator[str]:
        try:
            while (text := await step()) is not None:
                yield text
            yield event("end", {})
        except Exception as error:
            yield event("error", json.loads(bytes(error_response(error).body)))
        finally:
            finish()

    # No proxy is to collect the events.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)
