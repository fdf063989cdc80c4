"""Leaving out what was seen around a correction."""

import pytest

from samkit import Prompt, VideoPredictor
from samkit.errors import InputError


@pytest.fixture
def tracker(predictor, video):
    tracker = VideoPredictor(predictor, video)
    for number, x in ((1, 10), (2, 40)):
        tracker.prompt(0, number, Prompt.point(x, 20))
    for _ in tracker.track(stop=20):
        pass
    return tracker


def followed(tracker, number):
    return set(tracker._session.objects[number].bank.tracked)


def test_seven_frames_on_both_sides(tracker):
    before = followed(tracker, 1)
    assert {12, 13, 14, 15, 16, 17, 18, 19} <= before
    tracker.forget_around(1, 14)
    assert followed(tracker, 1) == {t for t in before if t == 14 or abs(t - 14) > 7}
    assert followed(tracker, 2) == before


def test_what_was_said_stays(tracker):
    tracker.prompt(15, 1, Prompt.point(20, 20))  # a correction, remembered among the followed
    tracker.forget_around(1, 17)
    assert 15 in followed(tracker, 1)
    assert 16 not in followed(tracker, 1)
    assert 0 in tracker._session.objects[1].bank.prompted


def test_an_unknown_object(tracker):
    with pytest.raises(InputError, match="known object"):
        tracker.forget_around(3, 17)
