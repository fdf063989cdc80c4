"""What is held of one object."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from samkit import Prompt
from samkit.memory.prediction import PromptedObject
from samkit.nn.memory import ObjectPrediction
from samkit.video import Memory, MemoryBank
from samkit.video.object_state import ObjectState, TrackedFrame


def found():
    return ObjectPrediction(
        logits=torch.rand(1, 2, 2),
        iou=torch.rand(1),
        pointer=torch.rand(1, 4),
        object_score=torch.rand(1, 1),
    )


def a_prompted_object(*, corrects=False):
    memory = Memory(tokens=torch.rand(1, 1), pointer=torch.rand(4))
    return PromptedObject(
        prompt=Prompt.point(1, 2), prediction=found(), memory=memory, corrects=corrects
    )


def an_object():
    return ObjectState(bank=MemoryBank(slots=7, pointers=16))


@given(st.lists(st.integers(0, 30)))
def test_tracked_frames_are_kept_as_runs(frames):
    state = an_object()
    for frame in frames:
        state.add_tracked(TrackedFrame(frame=frame, prediction=found(), backward=False))
    assert [t for t in range(40) if state.was_tracked(t)] == sorted(set(frames))
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(state.tracked)]
    assert all(gap > 1 for gap in gaps)  # as few runs as can be


def test_the_last_frames_are_at_hand():
    state = an_object()
    for frame in (*range(30), 20):
        state.add_tracked(TrackedFrame(frame=frame, prediction=found(), backward=False))
    assert [t for t in range(40) if state.prediction_in(t)] == list(range(14, 30))
    assert state.recent[-1].frame == 20
    state.add_prompted(0, a_prompted_object())
    state.prune(21, backward=False, anchors=(), one_way=True)  # they never come again
    assert [sight.frame for sight in state.recent] == [20]


def test_an_answer_comes_before_what_was_tracked():
    state, answer = an_object(), a_prompted_object()
    sight = TrackedFrame(frame=3, prediction=found(), backward=False)
    state.add_tracked(sight)
    assert state.prediction_in(3) is sight.prediction
    state.add_prompted(3, answer)
    assert state.prediction_in(3) is answer.prediction
    assert state.prediction_in(4) is None


def test_a_correction_is_also_what_tracking_saw():
    """What follows goes by it, also where the answer itself is not kept."""
    state, correction = an_object(), a_prompted_object(corrects=True)
    state.add_prompted(0, a_prompted_object())
    state.add_tracked(TrackedFrame(frame=3, prediction=found(), backward=True))
    state.add_prompted(3, correction)
    state.prune(4, backward=False, anchors=(), one_way=True)
    assert state.prediction_in(3) is correction.prediction
    assert state.recent[-1].backward


def test_corrections_are_remembered_where_they_were_made():
    state, correction = an_object(), a_prompted_object(corrects=True)
    state.add_prompted(0, a_prompted_object())
    state.add_prompted(3, correction)
    assert (list(state.bank.prompted), list(state.bank.tracked)) == ([0], [3])
    state.prune(40, backward=False, anchors=(), one_way=False)
    assert not state.bank.tracked
    state.add_tracked(TrackedFrame(frame=3, prediction=correction.prediction, backward=False))
    assert state.bank.tracked[3] is correction.memory


def test_of_a_stream_only_reachable_prompts_are_kept():
    state = ObjectState(bank=MemoryBank(slots=7, pointers=16, nearest=1))
    for frame, corrects in ((0, False), (5, True), (30, False), (31, True)):
        state.add_prompted(frame, a_prompted_object(corrects=corrects))
    state.prune(31, backward=False, anchors=(), one_way=True)
    assert list(state.prompted) == [30, 31]
    assert list(state.bank.prompted) == [30]


def test_a_copy_goes_its_own_way():
    state = an_object()
    state.add_prompted(0, a_prompted_object())
    copy = state.copy()
    state.add_prompted(5, a_prompted_object())
    state.add_tracked(TrackedFrame(frame=6, prediction=found(), backward=False))
    assert list(copy.prompted) == list(copy.bank.prompted) == [0]
    assert (copy.recent, copy.tracked) == ((), ())
