"""Tracking gives, frame by frame, what Sam2VideoModel of transformers gives."""

import pytest
import torch
from nn.parity.test_sam2 import IMAGE_PART, MEMORY_PART
from transformers import Sam2VideoConfig, Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession
from videos import square_and_disc

from samkit import ImagePredictor, Prompt, VideoPredictor
from samkit.weights import load_network

SIZE, LENGTH = 128, 14


@pytest.fixture
def video_pair(tmp_path, randomise):
    """Networks 128 wide, so that a pointer becomes two tokens of memory; objects are present."""
    torch.manual_seed(0)
    image = {**IMAGE_PART, "vision_config": {**IMAGE_PART["vision_config"], "fpn_hidden_size": 128}}
    for part in ("prompt_encoder_config", "mask_decoder_config"):
        image[part] = {**image[part], "hidden_size": 128}
    memory = {
        **MEMORY_PART,
        "memory_attention_hidden_size": 128,
        "memory_encoder_hidden_size": 128,
        "mask_downsampler_embed_dim": 128,
        "memory_fuser_embed_dim": 128,
        "memory_fuser_intermediate_dim": 512,
    }
    theirs = Sam2VideoModel(Sam2VideoConfig(**image, **memory)).eval()
    randomise(theirs)
    theirs.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(9.0)
    theirs.save_pretrained(tmp_path)
    return load_network(tmp_path), theirs


@pytest.fixture
def video():
    return square_and_disc(SIZE, LENGTH, disc=(90, 100))


class Theirs:
    """transformers' tracker, made to do as Meta's where it departs from it.

    A correction is given the mask that it corrects, and only prompted objects are remembered
    sharply, also when others are looked at in the same call.
    """

    def __init__(self, model, predictor, video, session=Sam2VideoInferenceSession):
        config = predictor.network.config
        pixels = [
            predictor.embed(frame).transform.pixels(frame, config.mean, config.std)
            for frame in video
        ]
        self.model = model
        self.session = session(
            video=torch.cat(pixels), video_height=SIZE, video_width=SIZE, dtype=torch.float32
        )
        single = model._run_single_frame_inference
        remember = getattr(model, "_batch_encode_memories", None)

        def with_previous_mask(**given):
            if given["point_inputs"] is not None:
                outputs = self.session.output_dict_per_obj[given["obj_idx"]]
                before = outputs["non_cond_frame_outputs"].get(given["frame_idx"])
                if before is not None:
                    given["prev_sam_mask_logits"] = before["pred_masks"].clamp(-32, 32)
            return single(**given)

        def one_by_one(**given):
            lists = {name: value for name, value in given.items() if isinstance(value, list)}
            for i in range(len(lists["objects_needing_memory_encoding"])):
                remember(**{**given, **{name: value[i : i + 1] for name, value in lists.items()}})

        model._run_single_frame_inference = with_previous_mask
        if remember is not None:
            model._batch_encode_memories = one_by_one

    def prompt(self, frame, object_id, points, labels):
        index = self.session.obj_id_to_idx(object_id)
        inputs = {
            "point_coords": torch.tensor(points)[None, None],
            "point_labels": torch.tensor(labels, dtype=torch.int32)[None, None],
        }
        self.session.add_point_inputs(index, frame, inputs)
        self.session.obj_with_new_inputs = [object_id]
        return self.step(frame)

    def step(self, frame, *, backward=False):
        with torch.inference_mode():
            output = self.model(inference_session=self.session, frame_idx=frame, reverse=backward)
        return {i: m[0] for i, m in zip(output.object_ids, output.pred_masks, strict=True)}


def assert_same(masks, theirs, where):
    assert masks.object_ids.tolist() == list(theirs)
    for i, expected in enumerate(theirs.values()):
        mine = torch.from_numpy(masks.logits[i].copy())
        error = (mine - expected).abs().max() / expected.abs().max()
        assert error < 1e-3, (where, i, float(error))


def test_two_objects_a_correction_and_both_directions(video_pair, video):
    ours, theirs = video_pair
    predictor = ImagePredictor(ours, device="cpu", dtype="float32")
    tracker = VideoPredictor(predictor, video)
    peer = Theirs(theirs, predictor, video)

    tracker.prompt(2, 1, Prompt.box(18, 20, 48, 60))
    peer.prompt(2, 1, [[18.0, 20.0], [48.0, 60.0]], [2, 3])
    masks = tracker.prompt(2, 2, Prompt.point(90, 90))
    assert_same(masks, peer.prompt(2, 2, [[90.0, 90.0]], [1]), "prompts")

    order = []
    for frame, masks in tracker.track("both", start=2):
        backward = frame < 2
        assert_same(masks, peer.step(frame, backward=backward), f"frame {frame}")
        order.append(frame)
        if frame == 7:
            click = Prompt.point(50, 40, label=0)
            corrected = tracker.prompt(7, 1, click)
            assert_same(corrected, peer.prompt(7, 1, [[50.0, 40.0]], [0]), "correction")
    assert order == [*range(2, LENGTH), 1, 0]


def test_a_second_prompted_frame(video_pair, video):
    ours, theirs = video_pair
    predictor = ImagePredictor(ours, device="cpu", dtype="float32")
    tracker = VideoPredictor(predictor, video)
    peer = Theirs(theirs, predictor, video)
    for frame in (0, 9):
        x = 25 + 4 * frame
        tracker.prompt(frame, 5, Prompt.points([[x, 40], [x, 90]], [1, 0]))
        peer.prompt(frame, 5, [[float(x), 40.0], [float(x), 90.0]], [1, 0])
    for frame, masks in tracker.track():
        assert_same(masks, peer.step(frame), f"frame {frame}")
