"""What is kept, where it cannot be moved to disk or read again."""

import pytest

from samkit.server.errors import ApiError
from samkit.server.store import Store


class Thing:
    size = 1

    def __init__(self, *, can_sleep=True, can_wake=True):
        self.can_sleep, self.can_wake = can_sleep, can_wake
        self.is_awake, self.is_dropped = True, False

    def sleep(self):
        if not self.can_sleep:
            raise OSError("No space left on device")
        self.is_awake = False

    def wake(self):
        if not self.can_wake:
            raise ValueError("damaged")
        self.is_awake = True

    def drop(self):
        self.is_dropped = True


class Used(Thing):
    """In use, so that it stays awake."""

    def sleep(self):
        pass


@pytest.fixture
def store():
    return Store("thing", awake=1, most=10, seconds=60)


def code_of(store, name):
    with pytest.raises(ApiError) as error:
        store.get("", name)
    return error.value.status_code, error.value.code


def test_what_cannot_sleep_is_forgotten(store):
    first, second = Thing(can_sleep=False), Thing()
    store.put("", "first", first)
    store.put("", "second", second)
    assert first.is_dropped
    assert code_of(store, "first") == (404, "expired")
    assert store.get("", "second") is second
    assert store.counts() == (1, 0)


def test_what_cannot_wake_is_forgotten(store):
    first = Thing(can_wake=False)
    store.put("", "first", first)
    store.put("", "second", Thing())
    assert code_of(store, "first") == (404, "expired")
    assert first.is_dropped
    assert store.counts() == (1, 0)


def test_others_sleep_where_one_is_in_use(store):
    things = {"used": Used(), "idle": Thing(), "new": Thing()}
    for name, thing in things.items():
        store.put("", name, thing)
    assert [one.is_awake for one in things.values()] == [True, False, True]
