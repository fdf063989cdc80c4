"""SAM gives what SamModel of transformers gives, with the same weights."""

import pytest
import torch
from transformers import SamConfig, SamModel

from samkit.nn import Sam
from samkit.nn.fast.low_rank_views import LowRankViews
from samkit.weights import load_network

SIZE = 192


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    torch.manual_seed(0)
    config = SamConfig(
        vision_config={
            "hidden_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
            "image_size": SIZE,
            "window_size": 3,
            "global_attn_indexes": [1],
            "output_channels": 64,
            "num_pos_feats": 32,
            "mlp_dim": 100,
        },
        prompt_encoder_config={"hidden_size": 64, "image_size": SIZE, "mask_input_channels": 8},
        mask_decoder_config={
            "hidden_size": 64,
            "mlp_dim": 40,
            "num_attention_heads": 4,
            "iou_head_hidden_dim": 24,
        },
    )
    theirs = SamModel(config).eval()
    return theirs, tmp_path_factory.mktemp("sam")


@pytest.fixture
def networks(pair, randomise):
    theirs, folder = pair
    if not (folder / "config.json").exists():
        randomise(theirs)
        theirs.save_pretrained(folder)
    ours = load_network(folder)
    assert isinstance(ours, Sam)
    return ours, theirs


@pytest.fixture
def pixels():
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_image_embedding(networks, pixels, assert_close):
    ours, theirs = networks
    embedding = ours.encode_image(pixels).embedding
    assert_close(embedding, theirs.get_image_embeddings(pixels), "embedding")


@torch.inference_mode()
def test_every_kind_of_prompt(networks, pixels, case_name, make_case, assert_close):
    ours, theirs = networks
    case = make_case(case_name, size=SIZE, family="sam")
    features = ours.encode_image(pixels)
    prediction = ours.decode_masks(features, case.ours)
    candidates = theirs(pixels, **case.theirs, multimask_output=True)
    single = theirs(pixels, **case.theirs, multimask_output=False)
    logits = torch.cat([single.pred_masks, candidates.pred_masks], 2)[0]
    iou = torch.cat([single.iou_scores, candidates.iou_scores], 2)[0]
    assert_close(prediction.logits, logits, "logits")
    assert_close(prediction.iou, iou, "IoU")
    assert prediction.object_score is None
    if case_name == "many boxes":  # which are held in another form
        assert isinstance(ours.attend(features, case.ours).views, LowRankViews)
