"""SAM of other patch sizes, activations and epsilons is what it is in transformers."""

import pytest
import torch
from transformers import SamConfig, SamModel

from samkit.nn import PromptTensors
from samkit.weights import load_network


@pytest.mark.parametrize(
    ("patch", "activation", "eps", "bias"),
    [(8, "gelu", 1e-6, True), (32, "relu", 0.1, True), (16, "silu", 1e-5, False)],
)
@torch.inference_mode()
def test_options(tmp_path, randomise, assert_close, patch, activation, eps, bias):
    torch.manual_seed(0)
    size = 128
    theirs = SamModel(
        SamConfig(
            vision_config={
                "hidden_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 3,
                "image_size": size,
                "patch_size": patch,
                "window_size": 3,
                "global_attn_indexes": [1],
                "output_channels": 32,
                "num_pos_feats": 16,
                "mlp_dim": 100,
                "hidden_act": activation,
                "layer_norm_eps": eps,
                "qkv_bias": bias,
            },
            prompt_encoder_config={
                "hidden_size": 32,
                "image_size": size,
                "patch_size": patch,
                "mask_input_channels": 8,
            },
            mask_decoder_config={
                "hidden_size": 32,
                "mlp_dim": 40,
                "num_attention_heads": 4,
                "iou_head_hidden_dim": 24,
            },
        )
    ).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    ours = load_network(tmp_path)

    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(1, 3, size, size, generator=generator)
    features = ours.encode_image(pixels)
    assert_close(features.embedding, theirs.get_image_embeddings(pixels), "embedding")

    masks = torch.randn(1, 1, size // patch * 4, size // patch * 4, generator=generator) * 5
    points = torch.tensor([[[30.0, 100.0]]])
    for given in (None, masks):
        prompts = PromptTensors(
            points=torch.cat([points, torch.zeros(1, 1, 2)], 1),
            labels=torch.tensor([[1, -1]]),
            masks=given,
        )
        prediction = ours.decode_masks(features, prompts)
        expected = theirs(
            pixels,
            input_points=points[None],
            input_labels=torch.ones(1, 1, 1, dtype=torch.int32),
            input_masks=given,
            multimask_output=True,
        )
        assert_close(prediction.logits[:, 1:], expected.pred_masks[0], "logits")
        assert_close(prediction.iou[:, 1:], expected.iou_scores[0], "IoU")
