"""The released sizes at 1024 x 1024 against transformers. Minutes: `pytest -m full_size`."""

import pytest
import torch
from transformers import Sam2VideoConfig, Sam2VideoModel, SamConfig, SamModel

from samkit.weights import convert, load_network
from samkit.weights.loading import open_checkpoint

pytestmark = pytest.mark.full_size

SIZE = 1024
PROMPTS = ("point", "box", "many boxes", "mask", "box and point", "point and mask")

BASE_PLUS = {
    "backbone_config": {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 112,
        "num_attention_heads": 2,
        "embed_dim_per_stage": [112, 224, 448, 896],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 3, 16, 3],
        "global_attention_blocks": [12, 16, 20],
        "window_positional_embedding_background_size": [14, 14],
    },
    "backbone_channel_list": [896, 448, 224, 112],
}


@pytest.fixture
def pixels():
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def through_meta_names(theirs, folder):
    """Write with transformers, convert to Meta's file, and load that as a user would."""
    theirs.save_pretrained(folder / "hugging-face")
    convert(folder / "hugging-face", folder / "meta.pt", layout="meta")
    by_config = open_checkpoint(folder / "hugging-face").config
    ours = load_network(folder / "meta.pt")
    assert ours.config == by_config
    return ours


@torch.inference_mode()
def test_sam_vit_b(tmp_path, pixels, randomise, make_case, assert_close):
    torch.manual_seed(0)
    theirs = SamModel(SamConfig()).eval()
    randomise(theirs)
    ours = through_meta_names(theirs, tmp_path)

    features = ours.encode_image(pixels)
    embedding = theirs.get_image_embeddings(pixels)
    print("ViT-B embedding", assert_close(features.embedding, embedding, "embedding"))
    for name in PROMPTS:
        case = make_case(name, size=SIZE, family="sam")
        prediction = ours.decode_masks(features, case.ours)
        three = theirs(image_embeddings=embedding, **case.theirs, multimask_output=True)
        one = theirs(image_embeddings=embedding, **case.theirs, multimask_output=False)
        logits = torch.cat([one.pred_masks, three.pred_masks], 2)[0]
        iou = torch.cat([one.iou_scores, three.iou_scores], 2)[0]
        print(
            f"ViT-B {name}: logits",
            assert_close(prediction.logits, logits, f"{name} logits"),
            "IoU",
            assert_close(prediction.iou, iou, f"{name} IoU"),
        )


@pytest.mark.parametrize(("size", "vision"), [("tiny", {}), ("base-plus", BASE_PLUS)])
@torch.inference_mode()
def test_sam2(tmp_path, pixels, randomise, make_case, assert_close, size, vision):
    torch.manual_seed(0)
    # The image part of the video model, which is what the released checkpoints hold.
    theirs = Sam2VideoModel(Sam2VideoConfig(vision_config=vision)).eval()
    randomise(theirs)
    ours = through_meta_names(theirs, tmp_path)

    features = ours.encode_image(pixels)
    stride4, stride8, stride16 = theirs.get_image_features(pixels).fpn_hidden_states
    maps = [
        level.permute(1, 2, 0).unflatten(2, (side, side))
        for level, side in ((stride4, 256), (stride8, 128), (stride16, 64))
    ]
    print(
        f"{size}: embedding",
        assert_close(features.embedding, maps[2], "embedding"),
        "stride 4",
        assert_close(features.high_resolution[0], maps[0], "stride 4"),
        "stride 8",
        assert_close(features.high_resolution[1], maps[1], "stride 8"),
    )
    maps[2] = maps[2] + theirs.no_memory_embedding.view(1, -1, 1, 1)
    positions = theirs.get_image_wide_positional_embeddings()
    for name in PROMPTS:
        case = make_case(name, size=SIZE, family="sam2")
        prediction = ours.decode_masks(features, case.ours)
        given = case.theirs
        if name == "mask":
            given = given | {
                "input_points": torch.zeros(1, 1, 1, 2),
                "input_labels": -torch.ones(1, 1, 1, dtype=torch.int32),
            }
        sparse, dense = theirs.prompt_encoder(
            *(given.get(k) for k in ("input_points", "input_labels", "input_boxes", "input_masks"))
        )
        logits, iou, _, score = theirs.mask_decoder(
            image_embeddings=maps[2],
            image_positional_embeddings=positions,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            high_resolution_features=maps[:2],
        )
        print(
            f"{size} {name}: logits",
            assert_close(prediction.logits[:, 1:], logits[0], f"{name} logits"),
            "IoU",
            assert_close(prediction.iou[:, 1:], iou[0], f"{name} IoU"),
            "object score",
            assert_close(prediction.object_score, score[0], f"{name} object score"),
        )
