"""What is kept for clients: bounded in memory, on disk and in time."""

import logging
import time
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from samkit.server.errors import ApiError

__all__ = ["Kept", "Store"]


class Kept(Protocol):
    """Something that can be moved to disk and back."""

    @property
    def size(self) -> int:
        """What it takes, in units of the limits of its store."""
        ...

    @property
    def is_awake(self) -> bool:
        """Whether it is in memory."""
        ...

    def wake(self) -> None:
        """Bring it to memory."""
        ...

    def sleep(self) -> None:
        """Move it to disk, unless it is in use."""
        ...

    def drop(self) -> None:
        """Forget it, and remove its files."""
        ...


K = TypeVar("K", bound=Kept)

_LOG = logging.getLogger("samkit.server")


class Store(Generic[K]):
    """Things by their owner and id. Used in one thread only.

    Args:
        what: what these are called in errors.
        awake: limit of the sizes of those in memory; the least recently used others sleep.
        most: limit of the sizes of all; the least recently used are forgotten.
        seconds: after which what is not used is forgotten.
    """

    def __init__(self, what: str, *, awake: int, most: int, seconds: float) -> None:
        self._what, self._awake, self._most, self._seconds = what, awake, most, seconds
        self._kept: OrderedDict[tuple[str, str], tuple[K, float]] = OrderedDict()

    def put(self, owner: str, name: str, value: K) -> None:
        """Keep something new, or in place of what has this id."""
        self.drop(owner, name)
        self._kept[owner, name] = (value, time.monotonic())
        self._make_room()

    def has(self, owner: str, name: str) -> bool:
        """Whether something is kept by this id; that is no use of it."""
        self.sweep()
        return (owner, name) in self._kept

    def get(self, owner: str, name: str) -> K:
        """What is kept by this id, in memory.

        Raises:
            ApiError: nothing is, or not any more.
        """
        self.sweep()
        expired = ApiError(404, "expired", f"this {self._what} is not here, or not any more")
        if (owner, name) not in self._kept:
            raise expired
        value, _ = self._kept.pop((owner, name))
        self._kept[owner, name] = (value, time.monotonic())
        try:
            value.wake()
        except Exception as error:
            _LOG.warning("forgot a sleeping %s that cannot be read: %s", self._what, error)
            self.drop(owner, name)
            raise expired from None
        self._make_room()
        return value

    def drop(self, owner: str, name: str) -> bool:
        """Forget something; whether it was there."""
        found = self._kept.pop((owner, name), None)
        if found is not None:
            found[0].drop()
        return found is not None

    def values(self) -> list[K]:
        """Everything that is kept; the one that was used last is the last."""
        return [value for value, _ in list(self._kept.values())]  # at once, as any thread asks

    def sweep(self) -> None:
        """Forget what was not used for too long."""
        oldest = time.monotonic() - self._seconds
        for key in [key for key, (_, used) in self._kept.items() if used < oldest]:
            self.drop(*key)

    def clear(self) -> None:
        """Forget everything."""
        for key in list(self._kept):
            self.drop(*key)

    def counts(self) -> tuple[int, int]:
        """How many are in memory, and on disk."""
        values = self.values()
        awake = sum(value.is_awake for value in values)
        return awake, len(values) - awake

    def _make_room(self) -> None:
        """All but the last one used, which is in use now, may have to go."""
        values = [(key, value) for key, (value, _) in self._kept.items()][:-1]
        last = next(reversed(self._kept.values()))[0]
        awake = last.size + sum(value.size for _, value in values if value.is_awake)
        for key, value in values:
            if awake > self._awake and value.is_awake:
                try:
                    value.sleep()
                except Exception as error:  # such as a disk that is full
                    _LOG.warning("forgot one %s as it cannot be kept: %s", self._what, error)
                    self.drop(*key)
                if not value.is_awake or key not in self._kept:
                    awake -= value.size
        values = [(key, value) for key, value in values if key in self._kept]
        total = last.size + sum(value.size for _, value in values)
        for key, value in values:
            if total > self._most:
                total -= value.size
                self.drop(*key)
