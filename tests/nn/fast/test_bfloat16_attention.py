"""Attention in bfloat16 on a CPU, where torch's is slow, against torch's in float32."""

import copy

import pytest
import torch
import torch.nn.functional as F
from tiny import randomise
from torch import Tensor, nn

from samkit.nn.fast.bfloat16_attention import attend_in_bfloat16, bfloat16_is_faster
from samkit.nn.fast.switch import plain
from samkit.nn.hiera import PooledAttention
from samkit.nn.image_encoder import RelativeAttention
from samkit.nn.memory import MemoryTokens
from samkit.nn.memory_attention import MemoryAttention
from samkit.sizes import MemoryConfig, ViTConfig

# Of the largest value; a bfloat16 has 8 bits.
TOLERANCE = 0.02


def assert_near(actual: Tensor, expected: Tensor) -> None:
    assert actual.dtype == torch.bfloat16
    difference = (actual.float() - expected).abs().max() / expected.abs().max()
    assert difference < TOLERANCE


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (700, 40), (40, 1500)])
@pytest.mark.parametrize("shift", [0.0, 20.0])
def test_attention(batch: tuple[int, ...], queries: int, keys: int, shift: float) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(*batch, n, 16).bfloat16() for n in (queries, keys, keys))
    # What all keys have in common changes nothing, though scores of hundreds have few digits.
    k = (k + shift).bfloat16()
    expected = F.scaled_dot_product_attention(q.float(), k.float(), v[..., :6].float())
    assert_near(attend_in_bfloat16(q * 16**-0.5, k, v[..., :6]), expected)


def test_where_it_pays() -> None:
    q = torch.zeros(1, 2, dtype=torch.bfloat16)
    assert not bfloat16_is_faster(q, 5000)  # there are gradients
    with torch.no_grad():
        assert bfloat16_is_faster(q, 5000)
        with plain():
            assert not bfloat16_is_faster(q, 5000)
        assert not bfloat16_is_faster(q, 100)
        assert not bfloat16_is_faster(q.float(), 5000)


def in_both(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The layer in bfloat16 and in float32, of the same weights and input."""
    randomise(layer)
    layer.bfloat16()
    whole = copy.deepcopy(layer).float()
    x = x.bfloat16()
    with torch.inference_mode():
        return layer(x), whole(x.float())


@pytest.mark.parametrize(("height", "width"), [(32, 32), (25, 48)])
def test_relative_positions(height: int, width: int) -> None:
    torch.manual_seed(0)
    layer = RelativeAttention(ViTConfig(dim=24, heads=3), (height, width))
    assert_near(*in_both(layer, torch.randn(2, height, width, 24)))


@pytest.mark.parametrize("pools", [True, False])
def test_global_attention_of_hiera(pools: bool) -> None:
    torch.manual_seed(0)
    assert_near(
        *in_both(
            PooledAttention(16, 24, heads=3, window_size=0, pools=pools), torch.randn(1, 32, 40, 16)
        )
    )


@torch.inference_mode()
def test_memory_attention() -> None:
    torch.manual_seed(0)
    attention = MemoryAttention(MemoryConfig(dim=8, layers=2, mlp_dim=24), 16).eval()
    randomise(attention)
    attention.bfloat16()
    whole = copy.deepcopy(attention).float()
    frame = torch.randn(1, 16, 32, 40).bfloat16()
    tokens, positions = (torch.randn(3, 2 * 32 * 40 + 4, 8).bfloat16() for _ in range(2))
    attended = torch.ones(3, 2 * 32 * 40 + 4, dtype=torch.bool)
    attended[1, 32 * 40 : 2 * 32 * 40] = False
    attended[2, -2:] = False
    memory = MemoryTokens(tokens=tokens, positions=positions, pointer_tokens=4, attended=attended)
    assert_near(attention(frame, memory), whole(frame.float(), memory.to(torch.float32)))
