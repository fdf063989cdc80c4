"""What is in reach, and that nothing else is kept."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from samkit.video import Memory, MemoryBank


def memory(frame):
    return Memory(
        tokens=torch.full((1, 1), float(frame)),
        pointer=torch.full((1,), float(frame)),
    )


def bank_of(prompted=(), tracked=(), **options):
    bank = MemoryBank(slots=7, pointers=16, **options)
    for frames, kind in ((prompted, True), (tracked, False)):
        for frame in frames:
            bank.add(frame, memory(frame), prompted=kind)
    return bank


def reached(reachable_memory):
    """(frames ago, frame) of maps and of pointers."""
    maps = sorted((ago, int(m.tokens.item())) for ago, m in reachable_memory.memories)
    return maps, sorted((ago, int(p.item())) for ago, p in reachable_memory.pointers)


def test_six_frames_before_and_all_prompted_ones():
    bank = bank_of(prompted=[0, 50], tracked=range(1, 40))
    maps, pointers = reached(bank.reachable(40))
    assert maps == [(0, 0), (0, 50), *((ago, 40 - ago) for ago in range(1, 7))]
    # The pointer of a prompted frame to come is out of reach.
    assert pointers == sorted([*((ago, 40 - ago) for ago in range(1, 16)), (40, 0)])


def test_backward_before_is_after():
    bank = bank_of(prompted=[50], tracked=range(41, 50))
    maps, pointers = reached(bank.reachable(40, backward=True))
    assert maps == [(0, 50), *((ago, 40 + ago) for ago in range(1, 7))]
    assert pointers == [*((ago, 40 + ago) for ago in range(1, 10)), (10, 50)]


def test_short_videos_have_a_short_span():
    bank = bank_of(prompted=[0], tracked=range(1, 9))
    assert bank.reachable(9, frames=10).span == 10
    assert bank.reachable(9, frames=100).span == 16
    assert bank.reachable(9).span == 16


def test_the_nearest_prompts_and_the_rest_as_frames_before():
    bank = bank_of(prompted=[0, 5, 9, 30], tracked=[6, 7, 8], nearest=2)
    maps, pointers = reached(bank.reachable(10))
    # 9 and 30 are the nearest on each side; 5 is still one of the six frames before.
    assert maps == [(0, 9), (0, 30), (2, 8), (3, 7), (4, 6), (5, 5)]
    assert pointers == [(1, 9), (2, 8), (3, 7), (4, 6), (5, 5), (10, 0)]


def test_one_prompted_frame_at_once():
    bank = bank_of(prompted=[0, 20, 40], nearest=1)
    for frame, nearest in ((5, 0), (19, 0), (25, 20), (60, 40)):
        assert reached(bank.reachable(frame))[0] == [(0, nearest)]
    assert reached(bank.reachable(0, backward=True))[0] == [(0, 0)]


def test_a_copy_goes_its_own_way():
    bank = bank_of(prompted=[0], tracked=[1, 2], nearest=4)
    copy = bank.copy()
    bank.add(3, memory(3), prompted=True)
    bank.prune(30)
    assert reached(copy.reachable(3)) == ([(0, 0), (1, 2), (2, 1)], [(1, 2), (2, 1), (3, 0)])
    assert copy.nearest == 4


def test_prompting_a_tracked_frame_replaces_it():
    bank = bank_of(prompted=[0], tracked=[1, 2])
    bank.add(2, memory(2), prompted=True)
    assert sorted(bank.prompted) == [0, 2]
    assert sorted(bank.tracked) == [1]


@given(
    st.lists(st.integers(0, 60), max_size=5, unique=True),
    st.integers(1, 60),
    st.booleans(),
    st.sampled_from([None, 1, 3]),
)
def test_forgetting_changes_nothing_that_can_be_reached(prompted, length, backward, nearest):
    """A pass with forgetting sees in every frame what one without it sees, and stays small."""
    whole = bank_of(prompted, nearest=nearest)
    small = bank_of(prompted, nearest=nearest)
    frames = range(60, 60 - length, -1) if backward else range(length)
    for frame in frames:
        small.prune(frame, backward=backward)
        options = {"backward": backward, "frames": 61}
        assert reached(whole.reachable(frame, **options)) == reached(
            small.reachable(frame, **options)
        )
        if frame not in prompted:
            for bank in (whole, small):
                bank.add(frame, memory(frame), prompted=False)
        # What is in reach, and this frame itself.
        assert len(small.tracked) <= 15 + 1
        assert sum(m.tokens is not None for m in small.tracked.values()) <= 6 + 1


@given(st.sets(st.integers(0, 60), min_size=1), st.sampled_from([None, 1, 2, 5]))
def test_prompts_of_long_ago_are_forgotten_where_no_frame_comes_again(prompted, nearest):
    """Each prompt comes with its frame; what is reached is what an unbounded bank reaches."""
    whole, small = bank_of(nearest=nearest), bank_of(nearest=nearest)
    for frame in range(min(prompted), 80):
        small.prune(frame, one_way=True)
        assert reached(whole.reachable(frame)) == reached(small.reachable(frame))
        for bank in (whole, small):
            bank.add(frame, memory(frame), prompted=frame in prompted)
        if nearest is not None:
            recent = [t for t in prompted if frame - 16 < t <= frame]
            assert len(small.prompted) <= nearest + len(recent)


def test_a_way_back_from_the_start_is_kept():
    whole, small = bank_of([20]), bank_of([20])
    for frame in range(21, 60):
        small.prune(frame, anchors=[20])
        for bank in (whole, small):
            bank.add(frame, memory(frame), prompted=False)
    for frame in range(19, 0, -1):
        small.prune(frame, backward=True)
        options = {"backward": True, "frames": 60}
        assert reached(whole.reachable(frame, **options)) == reached(
            small.reachable(frame, **options)
        )
        for bank in (whole, small):
            bank.add(frame, memory(frame), prompted=False)
    assert len(small.tracked) <= 15 + 1


def selecting(seen, **options):
    """A bank of a prompted frame 0, and tracked ones that were seen, or hardly."""
    bank = bank_of(prompted=[0], select=True, **options)
    for frame, is_seen in enumerate(seen, 1):
        one = replace(memory(frame), confidence=0.5 if is_seen else 0.01)
        bank.add(frame, one, prompted=False)
    return bank


def test_frames_in_which_the_object_was_hardly_seen_do_not_count():
    bank = selecting([True, False, True, False, False, True])
    maps, pointers = reached(bank.reachable(7))
    assert maps == [(0, 0), (1, 6), (2, 3), (3, 1)]
    assert pointers == [(1, 6), (2, 3), (3, 1), (7, 0)]
    assert reached(bank.reachable(7, backward=True))[0] == [(0, 0)]


def test_the_last_frame_counts_however_it_was_seen():
    bank = selecting([True, False, False])
    assert reached(bank.reachable(4))[0] == [(0, 0), (1, 3), (2, 1)]


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.booleans())
def test_selection_reaches_the_same_however_early_the_rest_is_forgotten(seen, turns):
    kept, pruned = selecting([]), selecting([])
    frames = range(1, len(seen) + 1)
    anchors = (0,) if turns else ()
    for frame in frames:
        pruned.prune(frame, anchors=anchors)
        assert reached(pruned.reachable(frame)) == reached(kept.reachable(frame))
        for bank in (kept, pruned):
            one = replace(memory(frame), confidence=0.5 if seen[frame - 1] else 0.0)
            bank.add(frame, one, prompted=False)
    if turns:
        backward = pruned.reachable(-1, backward=True)
        assert reached(backward) == reached(kept.reachable(-1, backward=True))
    assert sum(m.tokens is not None for m in pruned.tracked.values()) <= (len(anchors) + 1) * 7
    assert len(pruned.tracked) <= (len(anchors) + 1) * 16


def test_a_stream_forgets_prompted_frames_that_do_not_count():
    bank = bank_of(select=True, nearest=1)
    for frame in range(40):
        one = replace(memory(frame), confidence=0.5 if frame % 2 else 0.0)
        bank.add(frame, one, prompted=frame in (1, 2, 30))
        bank.prune(frame + 1, one_way=True)
    assert sorted(bank.prompted) == [30]
