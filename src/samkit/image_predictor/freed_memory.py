"""Memory that was freed goes back to the system."""

import ctypes
import sys

__all__ = ["give_back_freed_memory"]


def give_back_freed_memory() -> None:
    """Let the system have what was freed, which glibc keeps for later.

    After an image by SAM 3 that is some 200 MB. It takes milliseconds, as does getting memory back:
    too long after each image of a small network. Without glibc nothing is done.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
