"""Concepts in videos: SAM 3, asked in words or by examples, tracks all objects that it finds."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samkit.arguments import whole_number
from samkit.compat.ultralytics.delivery import Callbacks
from samkit.compat.ultralytics.results import Results
from samkit.compat.ultralytics.semantic import AskedInWords, concepts_of
from samkit.compat.ultralytics.settings import DEFAULT_CFG
from samkit.compat.ultralytics.sources import SourceImage
from samkit.compat.ultralytics.video import SAM3VideoPredictor
from samkit.masks import Masks
from samkit.video import ConceptTracking

__all__ = ["SAM3VideoSemanticPredictor"]

# Where the original has a negative number.
_NO_LIMIT = 10_000


class SAM3VideoSemanticPredictor(AskedInWords, SAM3VideoPredictor):
    """All objects of concepts in videos, with SAM 3.

        predictor = SAM3VideoSemanticPredictor(overrides={"model": "sam3.pt"})
        for result in predictor("street.mp4", text=["person", "bus"], stream=True): ...
        for result in predictor("street.mp4", bboxes=[[480, 290, 590, 650]], stream=True): ...

    The class of a result is the number of its words in `names`, and its `boxes.id` the object; its
    score is how probable it was when it was found. `add_new_prompts` corrects an object by clicks.

    Args:
        cfg, overrides, _callbacks: as of `BasePredictor`.
        score_threshold_detection, ...: see `ConceptTracking`, which has other defaults. Numbers
            below 0 in recondition_every_nth_frame and max_num_objects are for never and no limit.

    Attributes:
        rules: these arguments, as samkit's own.
        inference_state: as of `SAM2VideoPredictor`.
    """

    _names: tuple[str, ...] = ()

    def __init__(
        self,
        cfg: Any = DEFAULT_CFG,
        overrides: Mapping[str, Any] | None = None,
        _callbacks: Callbacks | None = None,
        *,
        score_threshold_detection: float = 0.5,
        det_nms_thresh: float = 0.0,
        assoc_iou_thresh: float = 0.5,
        trk_assoc_iou_thresh: float = 0.5,
        new_det_thresh: float = 0.0,
        hotstart_delay: int = 0,
        hotstart_unmatch_thresh: int = 3,
        hotstart_dup_thresh: int = 3,
        suppress_unmatched_only_within_hotstart: bool = True,
        init_trk_keep_alive: int = 10,
        max_trk_keep_alive: int = 10,
        min_trk_keep_alive: int = -4,
        decrease_trk_keep_alive_for_empty_masklets: bool = False,
        suppress_overlapping_based_on_recent_occlusion_threshold: float = 0.0,
        recondition_every_nth_frame: int = -1,
        recondition_on_trk_masks: bool = False,
        high_conf_thresh: float = 0.8,
        high_iou_thresh: float = 0.8,
        masklet_confirmation_enable: bool = True,
        masklet_confirmation_consecutive_det_thresh: int = 3,
        fill_hole_area: int = 16,
        max_num_objects: int = -1,
    ) -> None:
        super().__init__(cfg, overrides, _callbacks)
        self.non_overlap_masks = False  # those of one class do not overlap as it is
        every = whole_number("recondition_every_nth_frame", recondition_every_nth_frame)
        most = whole_number("max_num_objects", max_num_objects)
        self.rules = ConceptTracking(
            score_threshold_detection=score_threshold_detection,
            det_nms_thresh=det_nms_thresh,
            assoc_iou_thresh=assoc_iou_thresh,
            trk_assoc_iou_thresh=trk_assoc_iou_thresh,
            new_det_thresh=new_det_thresh,
            hotstart_delay=hotstart_delay,
            hotstart_unmatch_thresh=hotstart_unmatch_thresh,
            hotstart_dup_thresh=hotstart_dup_thresh,
            suppress_unmatched_only_within_hotstart=suppress_unmatched_only_within_hotstart,
            init_trk_keep_alive=init_trk_keep_alive,
            max_trk_keep_alive=max_trk_keep_alive,
            min_trk_keep_alive=min_trk_keep_alive,
            decrease_trk_keep_alive_for_empty_masklets=decrease_trk_keep_alive_for_empty_masklets,
            suppress_overlapping_based_on_recent_occlusion_threshold=(
                suppress_overlapping_based_on_recent_occlusion_threshold
            ),
            recondition_every_nth_frame=max(0, every),
            recondition_on_trk_masks=recondition_on_trk_masks,
            high_conf_thresh=high_conf_thresh,
            high_iou_thresh=high_iou_thresh,
            masklet_confirmation_enable=masklet_confirmation_enable,
            masklet_confirmation_consecutive_det_thresh=masklet_confirmation_consecutive_det_thresh,
            fill_hole_area=fill_hole_area,
            max_num_objects=_NO_LIMIT if most < 0 else most,
        )

    def __call__(  # type: ignore[override]
        self,
        source: Any = None,
        text: Any = None,
        bboxes: Any = None,
        labels: Any = None,
        stream: bool = False,
    ) -> list[Results] | Iterator[Results]:
        """Find and track all objects of concepts through a video.

        A call without a source tracks through the open one again, from its first frame on.

        Args:
            source: as for `setup_source`; by default the open video.
            text: words, or a list of them, each of which is a class.
            bboxes: (4,) or (N, 4) xyxy around examples in the first frame, which go with each of
                the words; without words the class is "visual".
            labels: (N,) of the boxes, 1 for an example, 0 for what is not meant; all 1 by default.
            stream: give results one by one instead of a list, which holds all frames.

        Returns:
            Results for each frame, a list or a generator.

        Raises:
            PromptError, InputError: the message says what was expected.
        """
        given = {"text": text, "bboxes": bboxes, "labels": labels}
        if all(value is None for value in given.values()):
            given = dict(self.prompts)
        if given or source is not None or not self._names:
            concepts_of(**given)  # wrong ones are an error before the video is opened
        if source is not None:
            if self._core is None:
                self.setup_model()
            self.setup_source(source)
        self.init_state(self)
        if given:
            self.add_prompt(0, **given)
        return self._deliver(self._track(self._state()), stream)

    def add_prompt(
        self, frame_idx: int = 0, text: Any = None, bboxes: Any = None, labels: Any = None
    ) -> None:
        """Look for these concepts instead, from the next frame on. What was found is tracked on.

        Args:
            frame_idx: the frame in which the boxes are.
            text, bboxes, labels: as in a call.

        Raises:
            PromptError: neither words nor an example, or wrong values.
            InputError: there is no such frame, or no video.
        """
        concepts = concepts_of(text, bboxes, labels)
        self.init_state(self)
        tracker = self._state().tracker
        tracker.find(concepts, frame=whole_number("frame_idx", frame_idx, 0), settings=self.rules)
        self._names = tuple(dict.fromkeys([*self._names, *(one.name for one in concepts)]))

    def _close(self) -> None:
        super()._close()
        self._names = ()

    def _result(self, image: SourceImage, masks: Masks, preprocess_ms: float = 0.0) -> Results:
        result = super()._result(image, masks, preprocess_ms)
        result.names = dict(enumerate(self._classes_of(masks)))
        return result

    def _classes(self, masks: Masks) -> NDArray[np.int64]:
        """The numbers of their words."""
        names = [] if masks.names is None else masks.names.tolist()
        classes = self._classes_of(masks)
        return np.array([classes.index(name) for name in names], np.int64)

    def _classes_of(self, masks: Masks) -> list[str]:
        """The words, and then names of what was prompted besides."""
        names = [] if masks.names is None else masks.names.tolist()
        return list(dict.fromkeys([*self._names, *names]))

    def _scores(self, masks: Masks) -> NDArray[np.float32]:
        return masks.scores
