"""What is held of one object."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from samkit import Prompt
from samkit.nn.memory import ObjectPrediction
from samkit.video import Memory, MemoryBank
from samkit.video.object_state import Answer, ObjectState, TrackedFrame


def found():
    return ObjectPrediction(
        logits=torch.rand(1, 2, 2),
        iou=torch.rand(1),
        pointer=torch.rand(1, 4),
        object_score=torch.rand(1, 1),
    )


def an_answer(*, corrects=False):
    memory = Memory(map=torch.rand(1, 1, 1), pointer=torch.rand(4))
    return Answer(prompt=Prompt.point(1, 2), found=found(), memory=memory, corrects=corrects)


def an_object():
    return ObjectState(bank=MemoryBank(slots=7, pointers=16))


@given(st.lists(st.integers(0, 30)))
def test_tracked_frames_are_kept_as_runs(frames):
    state = an_object()
    for frame in frames:
        state.see(TrackedFrame(frame=frame, found=found(), backward=False))
    assert [t for t in range(40) if state.was_tracked(t)] == sorted(set(frames))
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(state.tracked)]
    assert all(gap > 1 for gap in gaps)  # as few runs as can be


def test_the_last_frames_are_at_hand():
    state = an_object()
    for frame in (*range(30), 20):
        state.see(TrackedFrame(frame=frame, found=found(), backward=False))
    assert [t for t in range(40) if state.in_frame(t)] == list(range(14, 30))
    assert state.sights[-1].frame == 20
    state.answer(0, an_answer())
    state.prune(21, backward=False, anchors=(), one_way=True)  # they never come again
    assert [sight.frame for sight in state.sights] == [20]


def test_an_answer_comes_before_what_was_tracked():
    state, answer = an_object(), an_answer()
    sight = TrackedFrame(frame=3, found=found(), backward=False)
    state.see(sight)
    assert state.in_frame(3) is sight.found
    state.answer(3, answer)
    assert state.in_frame(3) is answer.found
    assert state.in_frame(4) is None


def test_a_correction_is_also_what_tracking_saw():
    """What follows goes by it, also where the answer itself is not kept."""
    state, correction = an_object(), an_answer(corrects=True)
    state.answer(0, an_answer())
    state.see(TrackedFrame(frame=3, found=found(), backward=True))
    state.answer(3, correction)
    state.prune(4, backward=False, anchors=(), one_way=True)
    assert state.in_frame(3) is correction.found
    assert state.sights[-1].backward


def test_corrections_are_remembered_where_they_were_made():
    state, correction = an_object(), an_answer(corrects=True)
    state.answer(0, an_answer())
    state.answer(3, correction)
    assert (list(state.bank.prompted), list(state.bank.followed)) == ([0], [3])
    state.prune(40, backward=False, anchors=(), one_way=False)
    assert not state.bank.followed
    state.see(TrackedFrame(frame=3, found=correction.found, backward=False))
    assert state.bank.followed[3] is correction.memory


def test_of_a_stream_only_reachable_prompts_are_kept():
    state = ObjectState(bank=MemoryBank(slots=7, pointers=16, nearest=1))
    for frame, corrects in ((0, False), (5, True), (30, False), (31, True)):
        state.answer(frame, an_answer(corrects=corrects))
    state.prune(31, backward=False, anchors=(), one_way=True)
    assert list(state.answers) == [30, 31]
    assert list(state.bank.prompted) == [30]


def test_a_copy_goes_its_own_way():
    state = an_object()
    state.answer(0, an_answer())
    copy = state.copy()
    state.answer(5, an_answer())
    state.see(TrackedFrame(frame=6, found=found(), backward=False))
    assert list(copy.answers) == list(copy.bank.prompted) == [0]
    assert (copy.sights, copy.tracked) == ((), ())
