"""Detections and tracked objects, also compared with what transformers makes of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transformers import Sam3VideoModel

from samkit import ConceptTracking
from samkit.video.concepts.association import associate, best_of_overlapping, overlaps


def masks_of(most):
    return st.integers(0, most).flatmap(
        lambda count: arrays(np.bool_, (count, 3, 4), elements=st.booleans())
    )


def boxes(*columns):
    """Masks 4 x 12, four columns wide from each of these on."""
    masks = torch.zeros(len(columns), 4, 12, dtype=torch.bool)
    for mask, column in zip(masks, columns, strict=True):
        mask[:, column : column + 4] = True
    return masks


def test_overlap():
    found = overlaps(boxes(0, 2), boxes(0, 4, 8))
    assert found.tolist() == [[1, 0, 0], pytest.approx([1 / 3, 1 / 3, 0])]
    empty = torch.zeros(1, 4, 12, dtype=torch.bool)
    assert overlaps(empty, empty).tolist() == [[0]]
    assert overlaps(empty[:0], boxes(0)).shape == (0, 1)


def test_what_no_object_covers_is_new_if_it_is_probable_enough():
    detections, probabilities = boxes(0, 4, 8), torch.tensor([0.9, 0.8, 0.6])
    found = associate(detections, probabilities, boxes(0), ConceptTracking())
    assert found.new == (1,)
    assert found.shared == ((0,), (), ())
    assert found.unmatched == found.empty == ()
    assert found.sure == {0: 0}
    assert associate(detections, probabilities, boxes(), ConceptTracking()).new == (0, 1, 2)


def test_objects_without_detections():
    tracked = torch.cat([boxes(0, 3), torch.zeros(1, 4, 12, dtype=torch.bool)])
    found = associate(boxes(0), torch.tensor([0.9]), tracked, ConceptTracking())
    assert found.shared == ((0, 1),)  # the second overlaps by a seventh, which is not enough to be
    assert found.unmatched == (1,)  # the same
    assert found.empty == (2,)
    found = associate(boxes(), torch.zeros(0), tracked, ConceptTracking())
    assert (found.new, found.unmatched, found.empty) == ((), (0, 1), (2,))


@given(masks_of(4), masks_of(4), st.data())
def test_as_transformers(detections, tracked, data):
    numbers = st.floats(0.0625, 0.9375, width=32)
    probabilities = data.draw(arrays(np.float32, len(detections), elements=numbers))
    thresholds = data.draw(st.tuples(*[numbers] * 5))
    names = (
        "assoc_iou_thresh",
        "trk_assoc_iou_thresh",
        "new_det_thresh",
        "high_conf_thresh",
        "high_iou_thresh",
    )
    settings = dict(zip(names, thresholds, strict=True))
    detections, probabilities, tracked = map(torch.from_numpy, (detections, probabilities, tracked))
    new, unmatched, shared, sure, empty = Sam3VideoModel._associate_det_trk(
        SimpleNamespace(**settings),
        detections.float(),
        probabilities,
        tracked.float(),
        list(range(len(tracked))),
        torch.zeros(len(detections)),
        torch.zeros(len(tracked)),
    )
    found = associate(detections, probabilities, tracked, ConceptTracking(**settings))
    assert list(found.new) == new
    assert list(found.unmatched) == unmatched
    assert list(found.empty) == empty
    assert found.sure == sure
    if shared:  # it leaves them out where there is nothing on one side
        assert {i: list(ids) for i, ids in enumerate(found.shared)} == shared


def test_of_detections_that_overlap_the_most_probable_is_kept():
    masks = boxes(0, 1, 6, 3, 6)
    probabilities = torch.tensor([0.6, 0.9, 0.7, 0.8, 0.7])
    assert best_of_overlapping(masks, probabilities, 0.1).tolist() == [1, 2]
    assert best_of_overlapping(masks, probabilities, 0.4).tolist() == [1, 2, 3]
    assert best_of_overlapping(masks, probabilities, 1.0).tolist() == [0, 1, 2, 3, 4]
    assert best_of_overlapping(masks[:0], probabilities[:0], 0.1).tolist() == []


@given(masks_of(5), st.floats(0.05, 0.95), st.data())
def test_what_is_left_overlaps_little_and_covers_what_went(masks, most, data):
    masks = torch.from_numpy(masks)
    numbers = st.floats(0, 1, width=32)
    probabilities = torch.from_numpy(data.draw(arrays(np.float32, len(masks), elements=numbers)))
    kept = best_of_overlapping(masks, probabilities, most).tolist()
    ious = overlaps(masks, masks)
    for i in range(len(masks)):
        rivals = [j for j in kept if j != i and float(ious[i, j]) > most]
        if i in kept:
            assert not rivals
        else:
            assert any(probabilities[j] >= probabilities[i] for j in rivals)
