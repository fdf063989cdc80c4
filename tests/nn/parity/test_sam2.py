"""SAM 2 gives what Sam2Model and Sam2VideoModel of transformers give, with the same weights."""

from dataclasses import replace

import pytest
import torch
from transformers import Sam2Config, Sam2Model, Sam2VideoConfig, Sam2VideoModel

from samkit.nn import Sam2
from samkit.nn.memory import MemoryTokens
from samkit.nn.position_encoding import sine_positions
from samkit.weights import load_network

SIZE = 128
GRID = SIZE // 16

IMAGE_PART = {
    "vision_config": {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 16,
            "num_attention_heads": 2,
            "image_size": [SIZE, SIZE],
            "window_positional_embedding_background_size": [5, 6],
            "blocks_per_stage": [1, 2, 3, 1],
            "embed_dim_per_stage": [16, 32, 64, 128],
            "num_attention_heads_per_stage": [2, 4, 8, 16],
            "window_size_per_stage": [8, 4, 6, 3],
            "global_attention_blocks": [4],
        },
        "backbone_channel_list": [128, 64, 32, 16],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 32,
    },
    "prompt_encoder_config": {"hidden_size": 32, "image_size": SIZE, "mask_input_channels": 8},
    "mask_decoder_config": {
        "hidden_size": 32,
        "mlp_dim": 40,
        "num_attention_heads": 4,
        "iou_head_hidden_dim": 24,
    },
}
MEMORY_PART = {
    "image_size": SIZE,
    "memory_attention_hidden_size": 32,
    "memory_attention_num_layers": 2,
    "memory_attention_num_attention_heads": 2,
    "memory_attention_feed_forward_hidden_size": 48,
    "memory_attention_rope_feat_sizes": [GRID, GRID],
    "memory_encoder_hidden_size": 32,
    "mask_downsampler_embed_dim": 32,
    "memory_fuser_embed_dim": 32,
    "memory_fuser_intermediate_dim": 128,
    "memory_fuser_num_layers": 1,
    "num_maskmem": 5,
}


@pytest.fixture
def image_pair(tmp_path, randomise):
    torch.manual_seed(0)
    theirs = Sam2Model(Sam2Config(**IMAGE_PART)).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="image part of SAM 2 only"):
        ours = load_network(tmp_path)
    assert isinstance(ours, Sam2)
    assert not ours.has_memory
    return ours, theirs


@pytest.fixture
def video_pair(tmp_path, randomise):
    torch.manual_seed(0)
    theirs = Sam2VideoModel(Sam2VideoConfig(**IMAGE_PART, **MEMORY_PART)).eval()
    randomise(theirs)
    # It blanks the masks of absent objects: here all are present.
    theirs.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(9.0)
    theirs.save_pretrained(tmp_path)
    ours = load_network(tmp_path)
    assert isinstance(ours, Sam2)
    assert ours.has_memory
    assert ours.config.memory.heads == 2
    return ours, theirs


@pytest.fixture
def pixels():
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_image_embedding(image_pair, pixels, assert_close):
    ours, theirs = image_pair
    features = ours.encode_image(pixels)
    stride4, stride8, stride16 = theirs.get_image_embeddings(pixels)
    without_memory = features.embedding + ours.no_mem_embed.view(1, -1, 1, 1)
    assert_close(without_memory, stride16, "embedding")
    assert_close(features.high_resolution[0], stride4, "stride 4")
    assert_close(features.high_resolution[1], stride8, "stride 8")


@torch.inference_mode()
def test_image_encoder_on_a_rectangle(image_pair, assert_close):
    ours, theirs = image_pair
    pixels = torch.randn(2, 3, 96, 160, generator=torch.Generator().manual_seed(1))
    expected = theirs.vision_encoder(pixels).fpn_hidden_states
    for mine, want in zip(ours.image_encoder(pixels), expected, strict=True):
        assert_close(mine, want, f"map of {tuple(want.shape[-2:])}")


@torch.inference_mode()
def test_every_kind_of_prompt(image_pair, pixels, case_name, make_case, assert_close):
    ours, theirs = image_pair
    case = make_case(case_name, size=SIZE, family="sam2")
    prediction = ours.decode_masks(ours.encode_image(pixels), case.ours)

    candidates = theirs(pixels, **case.theirs, multimask_output=True)
    theirs.mask_decoder.dynamic_multimask_via_stability = False
    single = theirs(pixels, **case.theirs, multimask_output=False)
    theirs.mask_decoder.dynamic_multimask_via_stability = True
    logits = torch.cat([single.pred_masks, candidates.pred_masks], 2)[0]
    iou = torch.cat([single.iou_scores, candidates.iou_scores], 2)[0]
    assert_close(prediction.logits, logits, "logits")
    assert_close(prediction.iou, iou, "IoU")
    assert_close(prediction.object_score, candidates.object_score_logits[0], "object score")

    chosen = ours.mask_decoder.single(prediction)
    dynamic = theirs(pixels, **case.theirs, multimask_output=False)
    assert_close(chosen.logits, dynamic.pred_masks[0], "logits chosen by stability")
    assert_close(chosen.iou, dynamic.iou_scores[0], "IoU chosen by stability")


@pytest.mark.parametrize("delta", [0.0, 1e6])
@torch.inference_mode()
def test_choice_by_stability(image_pair, pixels, make_case, assert_close, delta):
    # Without a margin every mask is stable; with a huge one none is.
    ours, theirs = image_pair
    case = make_case("points", size=SIZE, family="sam2")
    prediction = ours.decode_masks(ours.encode_image(pixels), case.ours)
    ours.mask_decoder.config = replace(ours.mask_decoder.config, stability_delta=delta)
    theirs.mask_decoder.dynamic_multimask_stability_delta = delta
    expected = theirs(pixels, **case.theirs, multimask_output=False)
    chosen = ours.mask_decoder.single(prediction)
    assert torch.equal(chosen.logits[:, 0], prediction.logits[:, 0]) == (delta == 0)
    assert_close(chosen.logits, expected.pred_masks[0], "logits")
    assert_close(chosen.iou, expected.iou_scores[0], "IoU")


@torch.inference_mode()
def test_image_part_of_the_video_model(video_pair, pixels, make_case, assert_close):
    ours, theirs = video_pair
    case = make_case("box and mask", size=SIZE, family="sam2")
    prediction = ours.decode_masks(ours.encode_image(pixels), case.ours)
    expected = theirs._single_frame_forward(pixels, **case.theirs, multimask_output=True)
    # It keeps the candidate with the best score.
    best = int(prediction.iou[0, 1:].argmax()) + 1
    assert_close(prediction.logits[:, best : best + 1], expected.pred_masks, "logits")
    assert_close(prediction.iou[:, 1:], expected.iou_scores[0], "IoU")


@pytest.mark.parametrize("memories", [1, 3])
@pytest.mark.parametrize("pointers", [0, 4])
@torch.inference_mode()
def test_memory_attention(video_pair, assert_close, memories, pointers):
    ours, theirs = video_pair
    generator = torch.Generator().manual_seed(2)
    tokens = memories * GRID * GRID + pointers
    features = torch.randn(1, 32, GRID, GRID, generator=generator)
    memory = torch.randn(1, tokens, 64, generator=generator)
    positions = torch.randn(1, tokens, 64, generator=generator)

    def sequence(maps):
        return maps.flatten(2).permute(2, 0, 1)

    expected = theirs.memory_attention(
        current_vision_features=sequence(features),
        memory=memory.transpose(0, 1),
        current_vision_position_embeddings=sequence(sine_positions(32, GRID, GRID)),
        memory_posision_embeddings=positions.transpose(0, 1),
        num_object_pointer_tokens=pointers,
    )
    actual = ours.memory_attention(
        features, MemoryTokens(tokens=memory, positions=positions, pointer_tokens=pointers)
    )
    assert_close(actual.flatten(2).transpose(1, 2), expected.reshape(1, -1, 32), "features")


@torch.inference_mode()
def test_memory_encoder(video_pair, assert_close):
    ours, theirs = video_pair
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(2, 32, GRID, GRID, generator=generator)
    masks = torch.rand(2, 1, SIZE, SIZE, generator=generator) * 20 - 10
    expected, positions = theirs.memory_encoder(features, masks)
    assert_close(ours.memory_encoder(features, masks), expected, "memory")
    assert_close(sine_positions(64, GRID, GRID).expand(2, -1, -1, -1), positions, "positions")


@torch.inference_mode()
def test_object_pointer(video_pair, assert_close):
    ours, theirs = video_pair
    tokens = torch.randn(3, 32, generator=torch.Generator().manual_seed(2))
    assert_close(ours.obj_ptr_proj(tokens), theirs.object_pointer_proj(tokens), "pointer")
    expected = theirs.temporal_positional_encoding_projection_layer(tokens)
    assert_close(ours.obj_ptr_tpos_proj(tokens), expected, "time of a pointer")
