"""Masks of a video by frame: what is worth a look, and how they are kept."""

import numpy as np
import pytest

from samkit import Masks
from samkit.errors import InputError
from samkit.server.annotate.tracks import SeenObject, Tracks


def tracks(areas, scores=None, kinds=None):
    """Of one object, by frame; None where it is not known."""
    made = Tracks()
    for i, area in enumerate(areas):
        if area is not None:
            made.frames[i] = {
                1: SeenObject(
                    rle="",
                    area=area,
                    score=1.0 if scores is None else scores[i],
                    presence=None,
                    kind="tracked" if kinds is None else kinds[i],
                    prompts=1,
                )
            }
    return made


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ([5, 5, 0, 0, 5], [(2, "goes"), (4, "comes")]),
        ([5, 8, 8, 5, 4], [(1, "1.6 times as large"), (3, "1.6 times smaller")]),
        ([5, None, 9, 0], [(3, "goes")]),
    ],
)
def test_changes_are_worth_a_look(areas, expected):
    found = tracks(areas).worth_a_look(1)
    changes = [(one.frame, one.reason) for one in found if not one.reason.startswith("score")]
    assert changes == expected


def test_low_scores_are_worth_a_look():
    scores = [0.9] * 100
    scores[20], scores[21], scores[60], scores[90] = 0.3, 0.2, 0.4, 0.1
    kinds = ["tracked"] * 90 + ["corrected"] * 10
    found = tracks([7] * 100, scores, kinds).worth_a_look(1)
    assert [(one.frame, one.reason) for one in found[:2]] == [
        (21, "score 0.20"),
        (60, "score 0.40"),
    ]
    assert all(abs(a.frame - b.frame) >= 10 for a in found for b in found if a is not b)
    assert len(found) == 2  # the others are as good as ever


def test_masks_of_tracks_are_those_that_were_written(tmp_path):
    pixels = np.zeros((2, 4, 5), bool)
    pixels[0, 1:, 2], pixels[1, 0] = True, True
    given = Masks(pixels, [0.5, 0.25], object_ids=[3, 9], presence=[1.0, 0.5])
    made = Tracks()
    made.add(7, given, {3: 1, 9: 2}, {9: "prompted"})
    made.write(tmp_path / "a.jsonl")
    read = Tracks.read(tmp_path / "a.jsonl", 8, (4, 5))
    assert read.frames == made.frames
    found = read.masks(7, (4, 5), [9, 1, 3])
    assert found.object_ids.tolist() == [9, 3]
    assert (found.masks == pixels[::-1]).all()
    assert found.presence.tolist() == [0.5, 1.0]
    assert read.timeline(9, 8) == "-------p"
    with pytest.raises(InputError, match="damaged"):
        Tracks.read(tmp_path / "a.jsonl", 7, (4, 5))
    with pytest.raises(InputError, match="damaged"):
        Tracks.read(tmp_path / "a.jsonl", 8, (5, 5))
