"""The text encoder of SAM 3 gives what CLIP's in transformers gives, with SAM 3's linear layer."""

import re

import pytest
import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from samkit.nn.text_encoder import TextEncoder
from samkit.sizes import TextEncoderConfig
from samkit.words import CONTEXT, tokens_of

NAMES = (
    (r"^embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"^embeddings\.token_embedding", "token_embedding"),
    (r"^encoder\.layers\.(\d+)\.layer_norm", r"blocks.\1.norm"),
    (r"^encoder\.layers\.(\d+)\.self_attn", r"blocks.\1.attn"),
    (r"^encoder\.layers\.(\d+)\.mlp\.fc1", r"blocks.\1.mlp.layers.0"),
    (r"^encoder\.layers\.(\d+)\.mlp\.fc2", r"blocks.\1.mlp.layers.1"),
    (r"^final_layer_norm", "norm"),
)


def test_full_size_has_the_published_parameters():
    with torch.device("meta"):
        encoder = TextEncoder(TextEncoderConfig(), 256)
    # A projection of 1024 to 512 channels, which SAM 3 does not use, is in its files.
    assert sum(p.numel() for p in encoder.parameters()) == 353_724_672 - 1024 * 512


@pytest.mark.parametrize("texts", [["red cup"], ["a dog", "", "people in hats", "cat " * 40]])
@torch.inference_mode()
def test_tokens_that_are_attended_to(texts, randomise, assert_close):
    torch.manual_seed(0)
    theirs = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            hidden_act="gelu",
        )
    ).eval()
    linear = nn.Linear(32, 16)
    randomise(theirs)
    sizes = TextEncoderConfig(dim=32, depth=3, heads=4, mlp_dim=48)
    ours = TextEncoder(sizes, 16).eval()
    state = {f"resizer.{name}": tensor for name, tensor in linear.state_dict().items()}
    for name, tensor in theirs.state_dict().items():
        for other, here in NAMES:
            name = re.sub(other, here, name)
        state[name] = tensor
    ours.load_state_dict(state)

    tokens = torch.tensor([tokens_of(text) for text in texts])
    attended = tokens != 0
    expected = linear(theirs(tokens, attention_mask=attended.long()).last_hidden_state)
    found = ours(tokens)
    assert_close(found[attended], expected[attended], "features")
    # What is cut off at the end was seen by none.
    used = int(attended.sum(1).max())
    assert_close(ours(tokens[:, :used]), found[:, :used], "without the padding")
