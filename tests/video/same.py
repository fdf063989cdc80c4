"""Whether two trackers are in the same state, bit by bit."""

from dataclasses import fields, is_dataclass

import torch

from samkit import Prompt
from samkit.video import MemoryBank

# What a session is used with, and not what it knows.
_SURROUNDINGS = ("network", "one_way", "history")


def assert_same(first, second, where="tracker"):
    """Compare values of any kind that sessions are made of; order counts."""
    assert type(first) is type(second), where
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype, where
        assert torch.equal(first, second), where
    elif isinstance(first, MemoryBank):
        assert_same(vars(first), vars(second), where)
    elif is_dataclass(first) and not isinstance(first, Prompt):
        for field in fields(first):
            if field.name not in _SURROUNDINGS:
                name = f"{where}.{field.name}"
                assert_same(getattr(first, field.name), getattr(second, field.name), name)
    elif isinstance(first, dict):
        # Of the frames in which an object was followed the order is of no account.
        in_order = not where.endswith("bank[followed]")
        keys = list if in_order else sorted
        assert keys(first) == keys(second), where
        for key in first:
            assert_same(first[key], second[key], f"{where}[{key}]")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), where
        for i, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same(one, other, f"{where}[{i}]")
    else:
        assert first == second, where


def assert_same_trackers(first, second):
    assert_same(first._session, second._session)
