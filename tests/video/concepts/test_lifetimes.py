"""Hotstart, keep-alive and confirmation, also compared with what transformers makes of them."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import Sam3VideoModel

from samkit import ConceptTracking
from samkit.video.concepts.lifetimes import Life, Way, doomed, is_hidden, live_on


def way(frame, delay=15, *, backward=False):
    return Way(frame=frame, backward=backward, delay=delay)


def test_keep_alive_goes_up_and_down_between_its_limits():
    rules = ConceptTracking(init_trk_keep_alive=2, max_trk_keep_alive=3, min_trk_keep_alive=-1)
    life = Life.begun(0, rules)
    for frame, is_matched, expected in (
        (1, True, 3),
        (2, True, 3),
        (3, False, 2),
        (4, None, 2),  # not seen, which does not count
        (5, False, 1),
        (6, False, 0),
        (7, False, -1),
        (8, False, -1),
        (9, True, 0),
    ):
        live_on(
            {1: life},
            [[1]] if is_matched else [],
            [1] if is_matched is False else [],
            [1] if is_matched is None else [],
            way(frame),
            rules,
        )
        assert life.keep_alive == expected, frame


def test_hidden_only_if_asked_for():
    life = Life(born=0, keep_alive=0)
    assert not is_hidden(life, ConceptTracking())
    strict = ConceptTracking(suppress_unmatched_only_within_hotstart=False)
    assert is_hidden(life, strict)
    life.keep_alive = 1
    assert not is_hidden(life, strict)


def test_empty_masks_count_if_asked_for():
    rules = ConceptTracking(decrease_trk_keep_alive_for_empty_masklets=True)
    life = Life.begun(0, rules)
    live_on({1: life}, [], [], [1], way(1), rules)
    assert life.keep_alive == 29


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("late", "goes"), [(0, True), (7, True), (8, False)])
def test_young_objects_go_after_eight_frames_without_a_detection(backward, late, goes):
    """Whose last one is the fifteenth frame at most, that of birth counted."""
    rules = ConceptTracking()
    lives = {1: Life.begun(100, rules)}
    for age in range(1, 31):
        frame = 100 - age if backward else 100 + age
        is_matched = age <= late - 1
        here = way(frame, backward=backward)
        live_on(lives, [[1]] if is_matched else [], [] if is_matched else [1], [], here, rules)
        if doomed(lives, here, rules):
            break
    assert bool(doomed(lives, here, rules)) == goes
    if goes:
        assert age == max(late - 1, 0) + 8


def test_the_younger_of_two_goes_after_eight_shared_frames():
    rules = ConceptTracking()
    lives = {1: Life.begun(0, rules), 2: Life.begun(3, rules)}
    for frame in range(4, 12):
        assert not doomed(lives, way(frame - 1), rules)
        live_on(lives, [[1, 2]], [], [], way(frame), rules)
    assert doomed(lives, way(11), rules) == {2}


def test_a_frame_that_is_tracked_again_counts_once():
    rules = ConceptTracking()
    lives = {1: Life.begun(0, rules), 2: Life.begun(1, rules)}
    for _ in range(20):
        live_on(lives, [[1, 2]], [1], [], way(2), rules)
    assert lives[1].unmatched == {2}
    assert lives[2].shared == {1: {2}}


def test_without_delay_nothing_goes():
    rules = ConceptTracking(hotstart_delay=0)
    lives = {1: Life.begun(0, rules)}
    for frame in range(1, 50):
        live_on(lives, [], [1], [], way(frame, 0), rules)
        assert not doomed(lives, way(frame, 0), rules)
    assert not lives[1].unmatched  # nothing piles up


def test_nothing_piles_up_of_the_old():
    rules = ConceptTracking()
    lives = {1: Life.begun(0, rules), 2: Life.begun(0, rules)}
    for frame in range(1, 100):
        live_on(lives, [[1, 2]], [2], [], way(frame, 15), rules)
    assert not lives[2].unmatched
    assert not lives[2].shared


def test_confirmed_by_detections_one_after_another():
    rules = ConceptTracking(masklet_confirmation_enable=True)
    life = Life.begun(0, rules)
    seen = [is_hidden(life, rules)]
    for frame, is_matched in enumerate([True, False, True, True, True, False], 1):
        live_on({1: life}, [[1]] if is_matched else [], [], [], way(frame), rules)
        seen.append(is_hidden(life, rules))
    assert seen == [True, True, True, True, True, False, False]


FRAME = st.tuples(
    st.lists(st.lists(st.integers(0, 3), unique=True), max_size=2),  # of each detection
    st.sets(st.integers(0, 3)),  # unmatched
    st.sets(st.integers(0, 3)),  # empty
    st.booleans(),  # whether an object begins
)


@given(st.lists(FRAME, max_size=14), st.booleans(), st.booleans(), st.data())
def test_as_transformers(frames, backward, empty_count, data):
    delay = data.draw(st.integers(1, 6))
    small = st.integers(1, delay)
    rules = ConceptTracking(
        hotstart_delay=delay,
        hotstart_unmatch_thresh=data.draw(small),
        hotstart_dup_thresh=data.draw(small),
        init_trk_keep_alive=data.draw(st.integers(1, 3)),
        max_trk_keep_alive=data.draw(st.integers(3, 4)),
        min_trk_keep_alive=data.draw(st.integers(-2, 0)),
        suppress_unmatched_only_within_hotstart=data.draw(st.booleans()),
        decrease_trk_keep_alive_for_empty_masklets=empty_count,
    )
    theirs = SimpleNamespace(
        **{name: getattr(rules, name) for name in type(rules).__dataclass_fields__}
    )
    known = {
        "obj_first_frame_idx": {},
        "unmatched_frame_inds": defaultdict(list),
        "trk_keep_alive": {},
        "overlap_pair_to_frame_inds": defaultdict(list),
        "removed_obj_ids": set(),
        "suppressed_obj_ids": defaultdict(set),
    }
    lives, last = {}, -1
    for step, (shared, unmatched, empty, begins) in enumerate(frames):
        frame = 50 - step if backward else 50 + step
        # Each object in one detection: a pair in two of a frame counts twice there, and once here.
        claimed: set[int] = set()
        groups = []
        for ids in shared:
            groups.append([i for i in ids if i in lives and i not in claimed])
            claimed.update(groups[-1])
        shared = groups
        matched = {i for ids in shared for i in ids}
        unmatched = sorted((unmatched & set(lives)) - matched)
        empty = sorted((empty & set(lives)) - matched - set(unmatched))
        new = [last + 1] if begins and last < 3 else []
        removed, known = Sam3VideoModel._process_hotstart(
            theirs,
            inference_session=None,
            frame_idx=frame,
            reverse=backward,
            det_to_matched_trk_obj_ids=dict(enumerate(shared)),
            new_det_obj_ids=new,
            empty_trk_obj_ids=empty,
            unmatched_trk_obj_ids=unmatched,
            extra_metadata=known,
        )
        here = way(frame, delay, backward=backward)
        live_on(lives, shared, unmatched, empty, here, rules)
        gone = doomed(lives, here, rules)
        assert gone == removed
        lives = {i: life for i, life in lives.items() if i not in gone}
        for i in new:
            lives[i], last = Life.begun(frame, rules), i
        for i, life in lives.items():
            assert life.keep_alive == known["trk_keep_alive"][i]
            # What was never unmatched is not looked at there, as it cannot have run out.
            if known["unmatched_frame_inds"].get(i):
                assert is_hidden(life, rules) == (i in known["suppressed_obj_ids"][frame])
