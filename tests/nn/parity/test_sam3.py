"""SAM 3 gives what Sam3TrackerModel and Sam3TrackerVideoModel of transformers give.

Where transformers (5.24) departs from the authors, it is set right before it is compared: its model
of images adds the embedding of "no memory" to the map of half the resolution, which nothing uses.
"""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from nn.parity.test_sam2 import MEMORY_PART as MEMORY_OF_SAM2
from nn.parity.test_video import Theirs, assert_same
from safetensors.torch import load_file, save_file
from transformers import (
    Sam3TrackerConfig,
    Sam3TrackerModel,
    Sam3TrackerVideoConfig,
    Sam3TrackerVideoModel,
)
from transformers.models.sam3_tracker_video.modeling_sam3_tracker_video import (
    Sam3TrackerVideoInferenceSession,
)
from weights.helpers import same_weights

from samkit import ImagePredictor, Prompt, VideoPredictor
from samkit.errors import CheckpointError
from samkit.nn import Sam2
from samkit.nn.fast.switch import plain
from samkit.sizes import PeViTConfig
from samkit.weights import MODELS, convert, load_network, save_network

SIZE, GRID, DIM = 112, 8, 32
BACKBONE = {
    "model_type": "sam3_vit_model",
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "window_size": 3,  # which does not divide the grid
    "global_attn_indexes": [1],
    "pretrain_image_size": 70,  # nor do the positions
}
MEMORY_PART = {
    **{name: value for name, value in MEMORY_OF_SAM2.items() if "rope_feat_sizes" not in name},
    "image_size": SIZE,
    "max_cond_frame_num": 2,
    "memory_attention_hidden_size": 128,
    "memory_encoder_hidden_size": 128,
    "mask_downsampler_embed_dim": 128,
    "memory_fuser_embed_dim": 128,
    "memory_fuser_intermediate_dim": 512,
}


def image_part(dim):
    return {
        "vision_config": {
            "model_type": "sam3_vision_model",
            "backbone_config": BACKBONE,
            "fpn_hidden_size": dim,
            "backbone_feature_sizes": [[GRID * finer] * 2 for finer in (4, 2, 1)],
        },
        "prompt_encoder_config": {"hidden_size": dim, "image_size": SIZE, "mask_input_channels": 8},
        "mask_decoder_config": {
            "hidden_size": dim,
            "mlp_dim": 40,
            "num_attention_heads": 4,
            "iou_head_hidden_dim": 24,
        },
    }


@pytest.fixture
def image_pair(tmp_path, randomise):
    torch.manual_seed(0)
    theirs = Sam3TrackerModel(Sam3TrackerConfig(**image_part(DIM))).eval()
    randomise(theirs)
    theirs.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(1.0)  # no score is near 0
    theirs.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="image part"):
        ours = load_network(tmp_path)
    del theirs.vision_encoder.neck.fpn_layers[3]
    assert isinstance(ours, Sam2)
    assert ours.config.image_encoder == PeViTConfig(
        dim=32,
        depth=3,
        heads=2,
        mlp_ratio=56 / 32,
        window_size=3,
        global_blocks=(1,),
        position_size=(5, 5),
        norm_eps=1e-6,
    )
    return ours, theirs


@pytest.fixture
def pixels():
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_image_embedding(image_pair, pixels, assert_close):
    ours, theirs = image_pair
    expected = theirs.vision_encoder(pixels).fpn_hidden_states
    for mine, want in zip(ours.image_encoder(pixels), expected, strict=True):
        assert_close(mine, want, f"map of {tuple(want.shape[-2:])}")
    features = ours.encode_image(pixels)
    finest, finer, embedding = theirs.get_image_embeddings(pixels)
    assert_close(ours.without_memory(features).embedding, embedding, "embedding")
    assert_close(features.high_resolution[0], finest, "four times finer")
    assert_close(features.high_resolution[1], finer, "two times finer")


@torch.inference_mode()
def test_every_kind_of_prompt(image_pair, pixels, case_name, make_case, assert_close):
    ours, theirs = image_pair
    case = make_case(case_name, size=SIZE, family="sam2", stride=14)
    prediction = ours.decode_masks(ours.encode_image(pixels[:1]), case.ours)
    expected = theirs(pixels[:1], **case.theirs, multimask_output=True)
    assert_close(prediction.logits[:, 1:], expected.pred_masks[0], "logits")
    assert_close(prediction.iou[:, 1:], expected.iou_scores[0], "IoU")
    assert_close(prediction.object_score, expected.object_score_logits[0], "object score")
    single = ours.mask_decoder.single(prediction)
    expected = theirs(pixels[:1], **case.theirs, multimask_output=False)
    assert_close(single.logits, expected.pred_masks[0], "logits of the single mask")
    assert_close(single.iou, expected.iou_scores[0], "IoU of the single mask")


@torch.inference_mode()
def test_both_forms_agree(image_pair, pixels, assert_close):
    ours = image_pair[0]
    with plain():
        expected = ours.encode_image(pixels).embedding
    assert_close(ours.encode_image(pixels).embedding, expected, "embedding")


@pytest.fixture
def video_pair(tmp_path, randomise):
    """Networks 128 wide, so that a pointer becomes two tokens of memory; objects are present."""
    torch.manual_seed(0)
    config = Sam3TrackerVideoConfig(**image_part(128), **MEMORY_PART)
    theirs = Sam3TrackerVideoModel(config).eval()
    randomise(theirs)
    theirs.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(9.0)
    theirs.save_pretrained(tmp_path)
    ours = load_network(tmp_path)
    assert ours.has_memory
    assert ours.config.memory.nearest_prompts == 2
    return ours, theirs


@pytest.fixture
def video():
    """A square and a disc that move over a smooth background."""
    y, x = np.mgrid[:SIZE, :SIZE]
    frames = []
    for t in range(12):
        frame = np.stack([x, y, 128 + 60 * np.sin(x / 20 + t / 5)], -1)
        frame[20:60, 10 + 4 * t : 40 + 4 * t] = [250, 40, 40]
        frame[np.hypot(y - 80, x - 90 + 5 * t) < 15] = [30, 240, 90]
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return np.stack(frames)


def test_tracking(video_pair, video):
    ours, theirs = video_pair
    predictor = ImagePredictor(ours, device="cpu", dtype="float32")
    tracker = VideoPredictor(predictor, video)
    peer = Theirs(theirs, predictor, video, Sam3TrackerVideoInferenceSession)
    tracker.prompt(2, 1, Prompt.box(18, 20, 48, 60))
    peer.prompt(2, 1, [[18.0, 20.0], [48.0, 60.0]], [2, 3])
    masks = tracker.prompt(2, 2, Prompt.point(80, 80))
    assert_same(masks, peer.prompt(2, 2, [[80.0, 80.0]], [1]), "prompts")
    for frame, masks in tracker.track("both", start=2):
        assert_same(masks, peer.step(frame, backward=frame < 2), f"frame {frame}")
        if frame == 6:
            corrected = tracker.prompt(6, 1, Prompt.point(50, 40, label=0))
            assert_same(corrected, peer.prompt(6, 1, [[50.0, 40.0]], [0]), "correction")


def test_the_nearest_prompted_frames_are_attended_to(video_pair, video):
    ours, theirs = video_pair
    predictor = ImagePredictor(ours, device="cpu", dtype="float32")
    tracker = VideoPredictor(predictor, video)
    peer = Theirs(theirs, predictor, video, Sam3TrackerVideoInferenceSession)
    for frame in (0, 3, 8, 10):
        x = 25 + 4 * frame
        tracker.prompt(frame, 5, Prompt.points([[x, 40], [x, 90]], [1, 0]))
        peer.prompt(frame, 5, [[float(x), 40.0], [float(x), 90.0]], [1, 0])
    for frame, masks in tracker.track():
        assert_same(masks, peer.step(frame), f"frame {frame}")


META_PARTS = (
    (r"image_encoder\.trunk\.(blocks\.\d+\.)mlp\.layers\.0", r"image_encoder.trunk.\1mlp.fc1"),
    (r"image_encoder\.trunk\.(blocks\.\d+\.)mlp\.layers\.1", r"image_encoder.trunk.\1mlp.fc2"),
    (r"image_encoder\.trunk\.(blocks\.\d+\.)attn\.out_proj", r"image_encoder.trunk.\1attn.proj"),
    (r"^image_encoder\.trunk", "detector.backbone.vision_backbone.trunk"),
    (r"^image_encoder\.neck\.convs", "detector.backbone.vision_backbone.sam2_convs"),
    (r"^(?!detector)", "tracker."),
    (r"^tracker\.(prompt_encoder|mask_decoder)", r"tracker.sam_\1"),
    (r"(sam_mask_decoder\.transformer\.layers\.\d\.mlp\.)layers\.0", r"\1lin1"),
    (r"(sam_mask_decoder\.transformer\.layers\.\d\.mlp\.)layers\.1", r"\1lin2"),
    (r"^tracker\.memory_attention", "tracker.transformer.encoder"),
    (r"^tracker\.memory_encoder", "tracker.maskmem_backbone"),
)


def as_meta(state):
    """The tensors of a network as sam3.pt has them, with some of the detector's beside them."""
    result = {}
    for name, tensor in state.items():
        other = name
        for ours, theirs in META_PARTS:
            other = re.sub(ours, theirs, other)
        result[other] = tensor
    trunk = "detector.backbone.vision_backbone.trunk"
    for i in range(BACKBONE["num_hidden_layers"]):
        attention = f"{trunk}.blocks.{i}.attn"
        for kind in ("weight", "bias"):
            parts = [result.pop(f"{attention}.{part}_proj.{kind}") for part in "qkv"]
            result[f"{attention}.qkv.{kind}"] = torch.cat(parts)
        result[f"{attention}.freqs_cis"] = torch.ones(4, 8, dtype=torch.complex64)
    positions = result[f"{trunk}.pos_embed"]
    result[f"{trunk}.pos_embed"] = torch.cat([torch.full_like(positions[:, :1], 9.0), positions], 1)
    result["detector.backbone.vision_backbone.convs.0.conv_1x1.bias"] = torch.zeros(3)
    result["detector.backbone.language_backbone.resizer.bias"] = torch.zeros(3)
    result["detector.transformer.decoder.query_embed.weight"] = torch.zeros(2, 3)
    return result


@pytest.fixture
def meta_file(video_pair, tmp_path, monkeypatch):
    """It has the name of the published one, as the sizes do not follow from tensors alone."""
    ours = video_pair[0]
    monkeypatch.setitem(MODELS, "sam3", replace(MODELS["sam3"], config=ours.config))
    path = tmp_path / "sam3.pt"
    torch.save({"model": as_meta(ours.state_dict())}, path)
    return path


def test_file_of_meta(video_pair, meta_file):
    assert same_weights(load_network(meta_file), video_pair[0])


def test_files_without_the_detector_are_not_written_as_those_of_meta(video_pair, tmp_path):
    save_network(video_pair[0], tmp_path / "own.safetensors")
    with pytest.raises(CheckpointError, match="holds the detector of concepts, and this one does"):
        convert(tmp_path / "own.safetensors", tmp_path / "back.pt", layout="meta")


def test_sizes_that_no_tensor_tells(video_pair, tmp_path):
    torch.save(as_meta(video_pair[0].state_dict()), tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="32 wide with 3 blocks, which is no released size"):
        load_network(tmp_path / "other.pt")


def test_whole_network_in_the_layout_of_transformers(video_pair, tmp_path):
    """As facebook/sam3 is: the tracker within a network whose other parts are not read."""
    ours, theirs = video_pair
    folder = tmp_path / "whole"
    convert(tmp_path, folder, layout="hugging-face")
    again, loading = Sam3TrackerVideoModel.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert all(torch.equal(again.state_dict()[k], v) for k, v in theirs.state_dict().items())

    state = load_file(folder / "model.safetensors")
    state["detector_model.text_encoder.text_model.final_layer_norm.weight"] = torch.ones(9)
    state["detector_model.vision_encoder.neck.fpn_layers.0.proj1.bias"] = torch.ones(9)
    save_file(state, folder / "model.safetensors")
    sizes = json.loads((folder / "config.json").read_text())
    whole = {"model_type": "sam3_video", "detector_config": {}, "tracker_config": sizes}
    (folder / "config.json").write_text(json.dumps(whole))
    assert same_weights(load_network(folder), ours)
