import pytest
from transformers import Sam3VideoConfig

from samkit import ConceptTracking, InputError


def test_defaults_are_those_of_the_authors():
    """transformers has the same, but for the mask that confirms an object."""
    theirs = Sam3VideoConfig()
    ours = vars(ConceptTracking())
    shared = {name: value for name, value in ours.items() if hasattr(theirs, name)}
    assert len(shared) == len(ours) - 2  # it has no confirmation
    other = {name for name, value in shared.items() if value != getattr(theirs, name)}
    assert other == {"recondition_on_trk_masks"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("new_det_thresh", 1.1, "new_det_thresh: expected a number from 0 to 1, got 1.1"),
        ("high_conf_thresh", "high", "expected a number"),
        ("hotstart_delay", -1, "hotstart_delay: expected a whole number from 0 on"),
        ("hotstart_delay", 7, "hotstart_unmatch_thresh: expected at most hotstart_delay, 7, got 8"),
        ("max_num_objects", 0, "expected a whole number from 1 on"),
        ("max_trk_keep_alive", 1.5, "expected a whole number"),
        ("recondition_on_trk_masks", "yes", "expected True or False"),
    ],
)
def test_wrong_values(name, value, message):
    with pytest.raises(InputError, match=message):
        ConceptTracking(**{name: value})


def test_no_delay_needs_no_thresholds():
    assert ConceptTracking(hotstart_delay=0).hotstart_unmatch_thresh == 8
