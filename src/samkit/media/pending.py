"""A file that is written bit by bit, and put in place at the end."""

import os
from contextlib import ExitStack

from samkit.media.files import write_atomically

__all__ = ["PendingFile"]


class PendingFile:
    """`write_atomically` for writers that live longer than a block.

    Attributes:
        temporary: where to write.

    Raises:
        InputError: as `write_atomically`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._place = ExitStack()
        self.temporary = self._place.enter_context(write_atomically(path))

    def keep(self) -> None:
        """Put the file in place.

        Raises:
            InputError: that cannot be done.
        """
        self._place.close()

    def discard(self) -> None:
        """Remove what was written; what was at the place before stays."""
        self._place.__exit__(_Discarded, _Discarded(), None)


class _Discarded(Exception):
    """What was written is not wanted."""
