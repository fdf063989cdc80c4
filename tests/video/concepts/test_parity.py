"""Words in a video give, frame by frame, what Sam3VideoModel of transformers gives.

Where transformers (5.24) departs from the authors, it is set right before it is compared:

- without examples it leaves out the token of all examples;
- new objects are made of the detection at the size that the memory encoder takes, with the token of
  the single mask, and the memory of the others is left as it is;
- the kernels that it takes from the hub are ones of scikit-image and plain loops here.

An object that a detection confirms gets its own mask there, not that of the detection: this is
`recondition_on_trk_masks`, which is off by default, as in the authors' code.
"""

from dataclasses import replace
from functools import partial
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nn.parity.conftest import _assert_close as assert_close
from nn.parity.test_sam3 import GRID, SIZE
from transformers.models.sam3_video import modeling_sam3_video
from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoInferenceSession
from video.concepts.test_overlaps import components
from videos import square_and_disc
from whole_sam3 import save_whole_sam3

import samkit
from samkit import Concept, ConceptTracking, Prompt, VideoPredictor
from samkit.words import tokens_of

# By name, as without torchvision the package has a placeholder for it.
modeling_sam3 = import_module("transformers.models.sam3.modeling_sam3")

LENGTH, LARGE = 6, 16 * GRID
RULES = ConceptTracking(
    score_threshold_detection=0.2,
    new_det_thresh=0.2,
    det_nms_thresh=0.9,
    assoc_iou_thresh=0.2,
    fill_hole_area=6,
    hotstart_delay=0,
)
# Masks are tracked badly by random weights, so that hardly any overlap is one here. Holes of masks
# that a detection confirmed are not filled by transformers.
SURE = replace(
    RULES,
    fill_hole_area=0,
    assoc_iou_thresh=0.004,
    high_conf_thresh=0.2,
    high_iou_thresh=0.004,
    recondition_every_nth_frame=4,
    recondition_on_trk_masks=True,
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The network of transformers, and a predictor with the same weights; objects are present."""
    folder = tmp_path_factory.mktemp("sam3")
    theirs = save_whole_sam3(folder, presence=4.0)
    return theirs, samkit.load(folder, device="cpu", dtype="float32")


@pytest.fixture
def video():
    return square_and_disc(SIZE, LENGTH, disc=(80, 90))


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    def generic_nms(ious, scores, threshold, use_iou_matrix):
        kept = []
        for i in scores.argsort(descending=True).tolist():
            if all(ious[i, j] <= threshold for j in kept):
                kept.append(i)
        return torch.tensor(kept)

    fakes = SimpleNamespace(generic_nms=generic_nms, cc_2d=components)
    monkeypatch.setattr(modeling_sam3_video, "cv_utils_kernel", fakes)
    nothing = SimpleNamespace(  # there are no examples
        roi_align=lambda maps, boxes, size: maps.new_zeros(0, maps.shape[1], size, size)
    )
    monkeypatch.setattr(modeling_sam3, "torchvision", SimpleNamespace(ops=nothing), raising=False)


class Theirs:
    """transformers' tracker of words, made to do as the authors' where it departs from it."""

    def __init__(self, pair, video, words, rules, monkeypatch):
        self.model, predictor = pair
        config = predictor.network.config
        pixels = [
            predictor.transform((SIZE, SIZE)).pixels(frame, config.mean, config.std)
            for frame in video
        ]
        self.session = Sam3VideoInferenceSession(
            video=torch.cat(pixels), video_height=SIZE, video_width=SIZE, dtype=torch.float32
        )
        self.session.obj_with_new_inputs = []
        for name in type(rules).__dataclass_fields__:
            monkeypatch.setattr(self.model, name, getattr(rules, name), raising=False)
        monkeypatch.setattr(self.model, "low_res_mask_size", 4 * GRID)
        for text in words:
            number = self.session.add_prompt(text)
            ids = torch.tensor([tokens_of(text)])
            self.session.prompt_input_ids[number] = ids
            self.session.prompt_attention_masks[number] = (ids != 0).long()
        monkeypatch.setattr(self.model.detector_model, "forward", self.detect)
        monkeypatch.setattr(self.model, "_tracker_add_new_objects", self.add)

    def detect(self, vision_embeds, text_embeds, attention_mask):
        detector = self.model.detector_model
        token = detector.geometry_encoder(
            torch.zeros(1, 0, 4),
            torch.ones(1, 0, dtype=torch.bool),
            torch.zeros(1, 0, dtype=torch.long),
            vision_embeds.fpn_hidden_states[:-1],
            vision_embeds.fpn_position_encoding[:-1],
        ).last_hidden_state
        tokens = SimpleNamespace(pooler_output=torch.cat([text_embeds.pooler_output, token], 1))
        attended = torch.cat([attention_mask, torch.ones(1, 1, dtype=torch.long)], 1)
        return type(detector).forward(
            detector, vision_embeds=vision_embeds, text_embeds=tokens, attention_mask=attended
        )

    def add(self, inference_session, frame_idx, new_obj_ids, new_obj_masks, reverse=False):
        session, tracker = inference_session, self.model.tracker_model
        large = F.interpolate(new_obj_masks[:, None], (LARGE, LARGE), mode="bilinear") > 0
        for object_id, mask in zip(new_obj_ids, large, strict=True):
            index = session.obj_id_to_idx(object_id)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tracker, "image_size", LARGE)
                single = partial(tracker._single_frame_forward, multimask_output=False)
                patch.setattr(tracker, "_single_frame_forward", single)
                found = tracker._run_single_frame_inference(
                    inference_session=session,
                    obj_idx=index,
                    frame_idx=frame_idx,
                    batch_size=1,
                    is_init_cond_frame=True,
                    point_inputs=None,
                    mask_inputs=mask[None].float(),
                    reverse=reverse,
                )
            session.store_output(index, frame_idx, output_value=found, is_conditioning_frame=True)
            tracker._batch_encode_memories(
                inference_session=session,
                frame_idx=frame_idx,
                objects_needing_memory_encoding=[index],
                high_res_masks_for_memory=[found["high_res_masks"]],
                object_score_logits_for_memory=[found["object_score_logits"]],
                is_mask_from_pts_per_obj=[True],
            )

    def step(self, frame, *, backward=False):
        with torch.inference_mode():
            return self.model(inference_session=self.session, frame_idx=frame, reverse=backward)


def assert_same(session, masks, theirs, where):
    """Our ids are one higher. Objects without a mask are left out on our side."""
    shown = {i: m for i, m in theirs.obj_id_to_mask.items() if bool((m > 0).any())}
    shown = {i: m for i, m in shown.items() if i not in theirs.removed_obj_ids}
    shown = {i: m for i, m in shown.items() if i not in theirs.suppressed_obj_ids}
    assert masks.object_ids.tolist() == [i + 1 for i in shown], where
    for i, object_id in enumerate(shown):
        what = f"object {object_id} in {where}"
        assert_close(torch.tensor(masks.logits[i]), shown[object_id][0], f"logits of {what}")
        assert masks.scores[i] == pytest.approx(theirs.obj_id_to_score[object_id], abs=1e-4)
        there = theirs.obj_id_to_tracker_score[object_id]
        assert masks.presence[i] == pytest.approx(there, abs=1e-4), what
        text = session.prompts[session.obj_id_to_prompt_id[object_id]]
        assert masks.names[i] == text
        large = F.interpolate(shown[object_id][None], (SIZE, SIZE), mode="bilinear")[0, 0]
        covered = masks.masks[i] & ~(large > 0).numpy()
        assert covered.mean() < 1e-3, what  # it may have lost pixels to others of its words


@pytest.mark.parametrize(
    ("words", "rules", "backward"),
    [(["red cup"], RULES, True), (["red cup", "dog"], RULES, False), (["red cup"], SURE, False)],
)
def test_frame_by_frame(pair, video, words, rules, backward, monkeypatch):
    peer = Theirs(pair, video, words, rules, monkeypatch)
    tracker = VideoPredictor(pair[1], video).find(words, settings=rules)
    way = tracker.track("backward", start=LENGTH - 1) if backward else tracker.track()
    count = 0
    for frame, masks in way:
        assert_same(peer.session, masks, peer.step(frame, backward=backward), f"frame {frame}")
        count += len(masks)
    assert count >= 2 * LENGTH  # there was something to compare
    given = [len(prompts) for prompts in tracker.prompts.values()]
    assert (max(given) > 1) == (rules is SURE)


def test_clicks_correct_what_words_found(pair, video):
    """One object; the others, and what is known of it, stay as they are."""
    frames = {}
    for is_clicked in (False, True):
        tracker = VideoPredictor(pair[1], video).find("red cup", settings=RULES)
        for frame, masks in tracker.track():
            frames[frame, is_clicked] = masks
            if frame == 3 and is_clicked:
                corrected = int(masks.object_ids[0])
                now = tracker.prompt(frame, corrected, Prompt.point(50, 40, label=0))
                assert not np.array_equal(now.logits[0], masks.logits[0])
                assert tracker.prompts[corrected][frame].point_labels.tolist() == [0]
    before, after = frames[4, False], frames[4, True]
    assert after.object_ids.tolist() == before.object_ids.tolist()
    assert after.names.tolist() == before.names.tolist()
    assert np.array_equal(after.scores, before.scores)
    changed = [not np.allclose(a, b) for a, b in zip(after.logits, before.logits, strict=True)]
    assert changed == [i == corrected for i in after.object_ids.tolist()]


def test_live_as_a_video(pair, video):
    tracker = VideoPredictor(pair[1], video).find(["red cup", "dog"], settings=RULES)
    live = VideoPredictor(pair[1]).find(["red cup", "dog"], settings=RULES)
    for (frame, expected), picture in zip(tracker.track(stop=4), video, strict=False):
        masks = live.step(picture)
        assert masks.object_ids.tolist() == expected.object_ids.tolist(), frame
        # A live video has no length, by which times of pointers are scaled in short ones.
        assert (masks.masks == expected.masks).mean() > 0.95


def test_features_of_an_image_are_computed_once(pair, video, monkeypatch):
    network, counts = pair[1].network, []
    encode = network.encode_with_trunk
    monkeypatch.setattr(
        network, "encode_with_trunk", lambda pixels: counts.append(1) or encode(pixels)
    )
    list(VideoPredictor(pair[1], video).find(["red cup", "dog"], settings=RULES).track(stop=3))
    assert len(counts) == 3


def test_examples_of_one_frame_say_what_is_found_in_others(pair, video):
    predictor, rules = pair[1], replace(RULES, score_threshold_detection=0.0, fill_hole_area=0)

    def scores(concept):
        """In the first frame that is looked at, which is not that of the boxes."""
        tracker = VideoPredictor(predictor, video).find(concept, frame=3, settings=rules)
        (_, masks), *_ = tracker.track(stop=1)
        return sorted(masks.scores.tolist())

    box, other = [[10, 20, 60, 70]], [[80, 10, 100, 40]]
    words = scores("dog")
    assert words
    assert scores(Concept("dog", boxes=box)) != words
    assert scores(Concept("dog", boxes=box)) != scores(Concept("dog", boxes=other))
