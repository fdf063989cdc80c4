"""Masks that overlap, holes and specks, also compared with what transformers makes of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label
from transformers import Sam3VideoModel
from transformers.models.sam3_video import modeling_sam3_video

from samkit.video.concepts.overlaps import clear_of_others, covered_by_others, filled


def components(masks, get_counts):
    """What the kernels of transformers do, which need a GPU."""
    areas = np.zeros(masks.shape, np.int32)
    for mask, into in zip(masks[:, 0].numpy(), areas[:, 0], strict=True):
        parts = label(mask, connectivity=2)
        into[:] = np.bincount(parts.ravel())[parts] * (mask > 0)
    return torch.zeros_like(masks), torch.from_numpy(areas)


@given(arrays(np.float32, (2, 6, 7), elements=st.sampled_from([-3.0, 2.0])), st.integers(0, 12))
def test_holes_and_specks_as_transformers(logits, area):
    logits = torch.from_numpy(logits)
    with pytest.MonkeyPatch.context() as patch:
        kernels = SimpleNamespace(cc_2d=components)
        patch.setattr(modeling_sam3_video, "cv_utils_kernel", kernels)
        expected = modeling_sam3_video.fill_holes_in_mask_scores(logits[:, None], area)[:, 0]
    assert torch.equal(filled(logits, area), expected)


def test_the_given_logits_stay_as_they_are():
    logits = torch.full((1, 9, 9), 5.0)
    logits[0, 4, 4] = -5.0
    assert filled(logits, 3)[0, 4, 4] == pytest.approx(0.1)
    assert logits[0, 4, 4] == -5.0
    assert filled(logits, 0) is logits
    assert filled(logits[:0], 3).shape == (0, 9, 9)


@given(
    arrays(np.bool_, (3, 2, 3), elements=st.booleans()),
    st.lists(st.none() | st.integers(0, 5), min_size=3, max_size=3),
    st.floats(0.125, 1, width=32),
)
def test_what_came_back_onto_another_goes_as_in_transformers(masks, away, iou):
    masks = torch.from_numpy(masks)
    theirs = SimpleNamespace(suppress_overlapping_based_on_recent_occlusion_threshold=iou)
    expected = Sam3VideoModel._get_objects_to_suppress_based_on_most_recently_occluded(
        theirs, masks, torch.tensor([-1 if one is None else one for one in away]), [0, 1, 2]
    )
    assert covered_by_others(masks, away, iou, backward=False).tolist() == expected.tolist()
    assert not covered_by_others(masks, away, 0, backward=False).any()


def test_going_backward_the_other_one_goes():
    masks = torch.ones(3, 2, 2, dtype=torch.bool)
    assert covered_by_others(masks, [4, 7, None], 0.5, backward=False).tolist() == [0, 1, 0]
    assert covered_by_others(masks, [4, 7, None], 0.5, backward=True).tolist() == [1, 0, 0]


@given(arrays(np.float32, (3, 3, 4), elements=st.floats(-5, 5, width=16)), st.integers(0, 3))
def test_what_others_leave_as_in_transformers(logits, count):
    logits = torch.from_numpy(logits[:count])
    theirs = SimpleNamespace()
    for name in ("_apply_non_overlapping_constraints", "_suppress_shrunk_masks"):
        setattr(theirs, name, getattr(Sam3VideoModel, name).__get__(theirs))
    expected = Sam3VideoModel._suppress_object_pw_area_shrinkage_impl(theirs, logits[:, None])[:, 0]
    stays = clear_of_others(logits)
    for own, is_clear, want in zip(logits, stays.tolist(), expected, strict=True):
        assert torch.equal(own if is_clear else own.clamp(max=-10), want)
