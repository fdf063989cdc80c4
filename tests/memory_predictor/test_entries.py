"""Temporal codes of entries."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from samkit.memory_predictor.entries import reachable_memory
from samkit.video import Memory


def remembered(count):
    return [
        Memory(
            tokens=torch.full((1, 1), float(i)),
            pointer=torch.full((1,), float(i)),
        )
        for i in range(count)
    ]


def test_the_first_is_the_prompted_frame_and_recent_ones_are_so_long_ago():
    seen = reachable_memory(remembered(4), slots=7, pointers=16)
    assert [(ago, int(m.tokens.item())) for ago, m in seen.memories] == [
        (0, 0),
        (3, 1),
        (2, 2),
        (1, 3),
    ]
    assert [(ago, int(p.item())) for ago, p in seen.pointers] == [(4, 0), (3, 1), (2, 2), (1, 3)]
    assert seen.span == 16


def test_one_entry_is_a_prompted_frame():
    seen = reachable_memory(remembered(1), slots=7, pointers=16)
    assert [ago for ago, _ in seen.memories] == [0]


@given(st.integers(1, 40), st.integers(2, 9))
def test_codes_are_distinct_as_far_as_there_are_codes(count, slots):
    codes = [
        ago for ago, _ in reachable_memory(remembered(count), slots=slots, pointers=16).memories
    ]
    assert len(codes) == count
    assert codes[0] == 0
    assert all(0 <= ago < slots for ago in codes)
    assert len(set(codes)) == min(count, slots)
    recent = [ago for ago in codes if ago]
    assert recent == sorted(recent, reverse=True)
    assert codes == [0] * (count - len(recent)) + recent
