"""Attention in tiles, and memory attention that uses it, against torch's."""

import pytest
import torch
import torch.nn.functional as F
from tiny import randomise

from samkit.nn import memory_attention
from samkit.nn.fast import tiled_attention
from samkit.nn.fast.switch import plain
from samkit.nn.fast.tiled_attention import weighted_sums
from samkit.nn.memory import MemoryTokens
from samkit.nn.memory_attention import MemoryAttention
from samkit.sizes import MemoryConfig


@pytest.mark.parametrize("width", [4, 16])
@pytest.mark.parametrize("heads", [1, 3])
def test_weighted_sums_are_attention(width: int, heads: int) -> None:
    q, k, v = (
        torch.randn(2, heads, 600, 16),
        torch.randn(2, heads, 1500, 16),
        torch.randn(2, heads, 1500, width),
    )
    expected = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(weighted_sums(q, k, v), expected)
    with torch.inference_mode():
        torch.testing.assert_close(weighted_sums(q, k, v), expected, rtol=1e-4, atol=1e-4)
        half = weighted_sums(*(x.bfloat16() for x in (q, k + 3, v)))
    torch.testing.assert_close(half.float(), expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("width", [4, 16])
@pytest.mark.parametrize("spread", [1, 40])
@torch.inference_mode()
def test_tiles_add_up_to_attention(
    width: int, spread: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the first key of a tile has a share too small for float32."""
    torch.manual_seed(0)
    monkeypatch.setattr(tiled_attention, "_SCORES", 400 * 256)
    monkeypatch.setattr(tiled_attention, "_KEYS", 400)
    q, k, v = (
        torch.randn(1, 1, 300, 16),
        torch.randn(1, 1, 1500, 16),
        torch.randn(1, 1, 1500, width),
    )
    q *= spread
    shares = torch.softmax(q.double() @ k.double().transpose(2, 3) / 4, -1)
    assert (shares[..., ::400].min() < 1e-40) == (spread > 1)
    expected = (shares @ v.double()).float()
    torch.testing.assert_close(weighted_sums(q, k, v), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pointers", [0, 3])
@pytest.mark.parametrize("ragged", [False, True])
def test_fast_memory_attention_is_the_plain_one(
    pointers: int, ragged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_attention, "_ROWS", 5)  # of 12 locations
    config = MemoryConfig(dim=8, layers=2, mlp_dim=24)
    torch.manual_seed(0)
    attention = MemoryAttention(config, 16).eval()
    randomise(attention)
    memory, positions = torch.randn(2, 24 + pointers, 8), torch.randn(2, 24 + pointers, 8)
    attended = None
    if ragged:
        attended = torch.ones(2, 24 + pointers, dtype=torch.bool)
        attended[1, 12:24] = False
        attended[0, 25:] = False
    tokens = MemoryTokens(
        tokens=memory, positions=positions, pointer_tokens=pointers, attended=attended
    )
    one = torch.randn(1, 16, 3, 4)
    with torch.inference_mode():
        fast = attention(one, tokens)
        with plain():
            slow = attention(one, tokens)
            own = attention(one.expand(2, -1, -1, -1), tokens)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(fast, own)
