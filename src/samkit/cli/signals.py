"""What the command does when it is told to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

__all__ = ["ENDING", "handled", "interrupt"]

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""By these a service manager, a batch system or a closed terminal ends a program."""


def interrupt(number: int, frame: Any) -> None:
    """End as by Ctrl-C, so that what is open is put in order."""
    raise KeyboardInterrupt


@contextmanager
def handled(signals: Iterable[int], handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle signals. Those that are ignored stay so (nohup), and in other threads none comes."""
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in signals:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):
                    signal.signal(number, handler)
                    stack.callback(signal.signal, number, before)
        yield
