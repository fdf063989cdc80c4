"""After 400 frames of words a tracker takes no more memory than after 160."""

import numpy as np
import pytest
from video.concepts.conftest import block
from video.test_constant_memory import bytes_of_tensors

from samkit import VideoPredictor

# Every 16 frames what was detected is remembered, of which a few are kept: four here, and four near
# to the start, from where a pass may go back.
EARLY, LATE = 160, 400


@pytest.fixture
def found(scene):
    scene.detected["cup"] = lambda _: [(block(0), 0.9), (block(8), 0.9)]


def test_a_video(still, found):
    video = np.broadcast_to(np.zeros((1, 1, 1, 1), np.uint8), (LATE + 20, 16, 16, 3))
    sizes = {}
    for frame, masks in VideoPredictor(still, video).find("cup").track():
        assert len(masks) == 2
        sizes[frame] = bytes_of_tensors() if frame in (EARLY, LATE) else 0
    assert sizes[EARLY] == sizes[LATE] > 0


def test_live(still, found):
    live, frame = VideoPredictor(still).find("cup"), np.zeros((16, 16, 3), np.uint8)
    sizes = {}
    for number in range(LATE + 1):
        assert len(live.step(frame)) == 2
        sizes[number] = bytes_of_tensors() if number in (EARLY, LATE) else 0
    assert sizes[EARLY] == sizes[LATE] > 0
