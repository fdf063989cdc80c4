"""The rules by which objects that words find are begun, told apart and ended."""

from dataclasses import dataclass, fields
from typing import Any

from samkit.arguments import switch, whole_number
from samkit.errors import InputError
from samkit.masks.checks import number

__all__ = ["ConceptTracking"]

# Whole numbers, and the least that each can be; other numbers are from 0 to 1.
_LEAST = {
    "hotstart_delay": 0,
    "hotstart_unmatch_thresh": 1,
    "hotstart_dup_thresh": 1,
    "init_trk_keep_alive": None,
    "max_trk_keep_alive": None,
    "min_trk_keep_alive": None,
    "recondition_every_nth_frame": 0,
    "masklet_confirmation_consecutive_det_thresh": 1,
    "fill_hole_area": 0,
    "max_num_objects": 1,
}


@dataclass(frozen=True, kw_only=True)
class ConceptTracking:
    """How `VideoPredictor.find` tracks; names and defaults are those of SAM 3's authors.

    In each frame the words are looked for, and all objects are tracked into it. A detection that no
    object of the same words covers is a new object. Thresholds are IoU of masks where nothing else
    is said.

    >>> ConceptTracking(new_det_thresh=0.5, hotstart_delay=0).max_num_objects
    10000

    Args:
        score_threshold_detection: detections are more probable than this.
        det_nms_thresh: of detections that overlap more than this, the most probable counts; 0: all.
        new_det_thresh: a new object is at least so probable, unless it is the first one.
        assoc_iou_thresh: a detection with such an overlap with an object is no new one.
        trk_assoc_iou_thresh: an object without such an overlap with any detection is unmatched.
        hotstart_delay: results come so many frames later, and objects are removed from all of them
            that turn out to be none so soon after they were found; 0: neither. In `step`, which
            cannot wait, it counts as 0.
        hotstart_unmatch_thresh: they are removed after so many unmatched frames,
        hotstart_dup_thresh: or so many frames with the same detection as an older object.
        suppress_unmatched_only_within_hotstart: do not hide older ones that are unmatched for long.
            Otherwise they are hidden while what follows is 0 or less.
        init_trk_keep_alive: what an object has at first; one more for each matched frame,
        max_trk_keep_alive: at most this; one less for each unmatched frame,
        min_trk_keep_alive: at least this,
        decrease_trk_keep_alive_for_empty_masklets: and for each frame in which it has no mask.
        suppress_overlapping_based_on_recent_occlusion_threshold: of two objects that overlap so
            much, and were both away before, the one that was away last is blanked; 0: neither.
        recondition_every_nth_frame: in each such frame, objects are given what was detected, like a
            prompt, where it is surely the same; 0: never.
        recondition_on_trk_masks: give them what was tracked instead, as transformers does.
        high_conf_thresh: sure is a detection that is at least so probable, of an object whose logit
            of being there is higher than this,
        high_iou_thresh: with such an overlap.
        masklet_confirmation_enable: hide an object until it was
        masklet_confirmation_consecutive_det_thresh: detected in so many frames, one after another.
        fill_hole_area: fill holes, and remove specks, of so many pixels at most, of 288 x 288; 0:
            neither.
        max_num_objects: so many are tracked at once; of more, the most probable.

    Raises:
        InputError: a value is out of range.
    """

    score_threshold_detection: float = 0.5
    det_nms_thresh: float = 0.1
    new_det_thresh: float = 0.7
    assoc_iou_thresh: float = 0.1
    trk_assoc_iou_thresh: float = 0.5
    hotstart_delay: int = 15
    hotstart_unmatch_thresh: int = 8
    hotstart_dup_thresh: int = 8
    suppress_unmatched_only_within_hotstart: bool = True
    init_trk_keep_alive: int = 30
    max_trk_keep_alive: int = 30
    min_trk_keep_alive: int = -1
    decrease_trk_keep_alive_for_empty_masklets: bool = False
    suppress_overlapping_based_on_recent_occlusion_threshold: float = 0.7
    recondition_every_nth_frame: int = 16
    recondition_on_trk_masks: bool = False
    high_conf_thresh: float = 0.8
    high_iou_thresh: float = 0.8
    masklet_confirmation_enable: bool = False
    masklet_confirmation_consecutive_det_thresh: int = 3
    fill_hole_area: int = 16
    max_num_objects: int = 10_000

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _checked(field.name, getattr(self, field.name)))
        for name in ("hotstart_unmatch_thresh", "hotstart_dup_thresh"):
            if 0 < self.hotstart_delay < getattr(self, name):
                raise InputError(
                    f"{name}: expected at most hotstart_delay, {self.hotstart_delay}, got "
                    f"{getattr(self, name)}"
                )


def _checked(name: str, value: Any) -> Any:
    if isinstance(getattr(ConceptTracking, name), bool):
        return switch(name, value)
    if name in _LEAST:
        return whole_number(name, value, _LEAST[name])
    return number(name, value, most=1)
