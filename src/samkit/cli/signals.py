"""Signals that end the command."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

__all__ = ["TERMINATION", "interrupt", "signal_handler"]

TERMINATION = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Sent by a service manager, a batch system or a terminal that closes."""


def interrupt(number: int, frame: Any) -> None:
    """End as Ctrl-C does, so that open files are cleaned up."""
    raise KeyboardInterrupt


@contextmanager
def signal_handler(signals: Iterable[int], handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle signals in the main thread; those that are ignored (nohup) stay ignored."""
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in signals:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):
                    signal.signal(number, handler)
                    stack.callback(signal.signal, number, before)
        yield
