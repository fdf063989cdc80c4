"""HQ-SAM gives what SamHQModel of transformers gives, with the same weights."""

from dataclasses import replace

import pytest
import torch
from tiny import make, tiny_mobile_sam
from transformers import SamHQConfig, SamHQModel

from samkit.nn import Sam
from samkit.nn.fast.low_rank_views import LowRankViews
from samkit.sizes import hq_sam
from samkit.weights import convert, keys_hq_sam, load_network

SIZE = 192


def their_config(**decoder):
    return SamHQConfig(
        vision_config={
            "hidden_size": 48,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
            "image_size": SIZE,
            "window_size": 3,
            "global_attn_indexes": [1, 3],  # the map after the first of them is used
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
            "vit_dim": 48,
            **decoder,
        },
    )


def as_published(theirs):
    """Let the mask decoder upscale the image that has looked at the prompts.

    transformers 5.24 takes the one from before, with rows and columns exchanged: what its two-way
    transformer returns for the image is dropped. The authors' code, as SAM's, upscales that.
    """
    transformer = theirs.mask_decoder.transformer
    forward = transformer.forward

    def with_image(**given):
        tokens, image = forward(**given)
        before = given["image_embeddings"]
        before.copy_(image.transpose(2, 3).reshape_as(before).transpose(2, 3))
        return tokens, image

    transformer.forward = with_image
    return theirs


@pytest.fixture
def networks(tmp_path, randomise):
    torch.manual_seed(0)
    theirs = SamHQModel(their_config()).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    as_published(theirs)
    ours = load_network(tmp_path)
    assert isinstance(ours, Sam)
    assert ours.config.mask_decoder.high_quality
    return ours, theirs


@pytest.fixture
def pixels():
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def in_order(prediction):
    """Candidates as transformers gives them: the best first."""
    order = prediction.iou[:, 1:].argsort(1, descending=True)
    rows = torch.arange(len(order))[:, None]
    return prediction.logits[:, 1:][rows, order], prediction.iou[:, 1:][rows, order]


def assert_same_masks(prediction, theirs, given, assert_close):
    single = theirs(**given, multimask_output=False)
    assert_close(prediction.logits[:, :1], single.pred_masks[0], "logits of the single mask")
    assert_close(prediction.iou[:, :1], single.iou_scores[0], "IoU of the single mask")
    candidates = theirs(**given, multimask_output=True)
    logits, iou = in_order(prediction)
    assert_close(logits, candidates.pred_masks[0], "logits")
    assert_close(iou, candidates.iou_scores[0], "IoU")


@torch.inference_mode()
def test_every_kind_of_prompt(networks, pixels, case_name, make_case, assert_close):
    ours, theirs = networks
    case = make_case(case_name, size=SIZE, family="sam")
    features = ours.encode_image(pixels)
    prediction = ours.decode_masks(features, case.ours)
    given = {"pixel_values": pixels, **case.theirs}
    assert_same_masks(prediction, theirs, given, assert_close)
    if case_name == "many boxes":  # which are held in another form
        assert isinstance(ours.attend(features, case.ours).views, LowRankViews)


@torch.inference_mode()
def test_some_of_the_prompts(networks, pixels, make_case):
    ours, _ = networks
    case = make_case("many boxes", size=SIZE, family="sam")
    attended = ours.attend(ours.encode_image(pixels), case.ours)
    some = torch.tensor([7, 2])
    whole, part = (ours.mask_decoder.masks(each) for each in (attended, attended.select(some)))
    assert torch.allclose(part.logits, whole.logits[some], atol=1e-4)
    assert torch.equal(part.iou, whole.iou[some])


@torch.inference_mode()
def test_the_light_one(make_case, assert_close, randomise):
    """Transformers has no TinyViT, but takes what one has made of an image."""
    config = replace(tiny_mobile_sam(), dim=64, image_size=(SIZE, SIZE))
    decoder = replace(config.mask_decoder, high_quality=True, heads=4, mlp_dim=40, iou_head_dim=24)
    prompts = replace(config.prompt_encoder, mask_channels=8)
    ours = make(replace(config, mask_decoder=decoder, prompt_encoder=prompts))
    theirs = SamHQModel(their_config(vit_dim=config.image_encoder.dims[2])).eval()
    randomise(theirs)
    as_published(theirs)
    state = keys_hq_sam.HUGGING_FACE.to_samkit(theirs.state_dict())
    rest = {n: t for n, t in state.items() if not n.startswith("image_encoder.")}
    missing = ours.load_state_dict(rest, strict=False).missing_keys
    assert all(name.startswith("image_encoder.") for name in missing)

    early = []
    ours.image_encoder.layers[1].register_forward_hook(lambda *given: early.append(given[2]))
    pixels = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    features = ours.encode_image(pixels)
    assert early[0].shape == (1, config.image_encoder.dims[2], SIZE // 16, SIZE // 16)
    case = make_case("point", size=SIZE, family="sam")
    given = {
        "image_embeddings": features.embedding,
        "intermediate_embeddings": [early[0].permute(0, 2, 3, 1)],
        **case.theirs,
    }
    assert_same_masks(ours.decode_masks(features, case.ours), theirs, given, assert_close)


def test_names_there_and_back(networks, tmp_path):
    ours, theirs = networks
    convert(tmp_path, tmp_path / "meta.pth", layout="meta")
    names = torch.load(tmp_path / "meta.pth", weights_only=True)
    assert names["mask_decoder.hf_token.weight"].shape == (1, 64)
    assert names["mask_decoder.hf_mlp.layers.2.weight"].shape == (8, 64)
    assert names["mask_decoder.compress_vit_feat.3.weight"].shape == (64, 8, 2, 2)
    assert names["mask_decoder.embedding_maskfeature.1.weight"].shape == (16,)
    back = load_network(tmp_path / "meta.pth")
    assert back.config.mask_decoder.high_quality
    assert all(torch.equal(back.state_dict()[n], t) for n, t in ours.state_dict().items())
    convert(tmp_path / "meta.pth", tmp_path / "folder", layout="hugging-face")
    again = SamHQModel.from_pretrained(tmp_path / "folder")
    assert all(torch.equal(again.state_dict()[n], t) for n, t in theirs.state_dict().items())


def test_early_map_of_the_released_ones():
    wide = {size: hq_sam(size).image_encoder.early_dim for size in ("b", "l", "h", "tiny")}
    assert wide == {"b": 768, "l": 1024, "h": 1280, "tiny": 160}
