"""Parts of the networks against plain formulas."""

import math

import pytest
import torch
from torch import nn

from samkit.nn import PromptTensors, image_encoder
from samkit.nn.fast.switch import plain
from samkit.nn.image_encoder import RelativeAttention, relative_table
from samkit.nn.layers import DropPath, LayerNorm2d, window_partition, window_unpartition
from samkit.nn.mask_decoder import MaskDecoder, MaskPrediction, stability_score
from samkit.nn.memory import MemoryTokens
from samkit.nn.memory_attention import MemoryAttention
from samkit.nn.position_encoding import (
    FourierPositions,
    apply_rotary,
    axial_rotary,
    sine_positions,
    temporal_sine,
)
from samkit.nn.prompt_encoder import draw_prompts
from samkit.sizes import MaskDecoderConfig, MemoryConfig, ViTConfig


@pytest.mark.parametrize(("height", "width"), [(6, 6), (7, 5), (3, 8), (1, 1)])
def test_windows_come_back(height: int, width: int) -> None:
    x = torch.randn(2, height, width, 4)
    windows = window_partition(x, 3)
    assert windows.shape[1:] == (3, 3, 4)
    assert torch.equal(window_unpartition(windows, height, width), x)


def plain_relative_attention(layer: RelativeAttention, x: torch.Tensor) -> torch.Tensor:
    """The formula of MViTv2, one pair of positions at a time."""
    B, H, W, C = x.shape
    c = C // layer.heads
    qkv = layer.qkv(x).reshape(B, H * W, 3, layer.heads, c)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-2, -1) / math.sqrt(c)
    for i in range(H * W):
        for j in range(H * W):
            row = layer.rel_pos_h[i // W - j // W + H - 1]
            column = layer.rel_pos_w[i % W - j % W + W - 1]
            scores[:, :, i, j] += (q[:, :, i] * (row + column)).sum(-1)
    out = scores.softmax(-1) @ v
    return layer.proj(out.transpose(1, 2).reshape(B, H, W, C))


@pytest.mark.parametrize("elements", [1, 200, 2**24])
@pytest.mark.parametrize("size", [(5, 3), (4, 4), (1, 6)])
@torch.no_grad()
def test_relative_attention_in_parts(
    monkeypatch: pytest.MonkeyPatch, elements: int, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(image_encoder, "_BIAS_ELEMENTS", elements)
    layer = RelativeAttention(ViTConfig(dim=12, heads=2), size)
    nn.init.normal_(layer.rel_pos_h)
    nn.init.normal_(layer.rel_pos_w)
    x = torch.randn(2, *size, 12)
    torch.testing.assert_close(layer(x), plain_relative_attention(layer, x), rtol=1e-4, atol=1e-5)


def test_relative_table_holds_offsets() -> None:
    table = relative_table(torch.arange(5.0)[:, None], 3)[..., 0]
    assert table.tolist() == [[2, 1, 0], [3, 2, 1], [4, 3, 2]]


def test_relative_table_of_another_size_is_interpolated() -> None:
    table = relative_table(torch.arange(5.0)[:, None], 5)[..., 0]
    assert table.shape == (5, 5)
    assert table[0, 0] == table[4, 4] == 2  # offset 0 stays the middle
    assert (table[:, 0].diff() > 0).all()


def test_layer_norm_over_channels() -> None:
    x = torch.randn(2, 6, 3, 4)
    norm = LayerNorm2d(6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    plain = nn.functional.layer_norm(x.permute(0, 2, 3, 1), (6,), norm.weight, norm.bias, 1e-6)
    torch.testing.assert_close(norm(x), plain.permute(0, 3, 1, 2))


def test_drop_path_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = DropPath(0.25)
    out = layer(torch.ones(4000, 2))
    assert set(out.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(out.mean().item() - 1) < 0.05
    assert torch.equal(layer.eval()(out), out)


def test_fourier_positions_keep_float32() -> None:
    positions = FourierPositions(8)
    before = positions.encode(torch.tensor([[0.25, 0.75]]))
    positions.to(torch.bfloat16)
    assert torch.equal(positions.encode(torch.tensor([[0.25, 0.75]])), before)


def test_fourier_grid_is_cell_centres() -> None:
    positions = FourierPositions(8)
    grid = positions.grid(2, 4)
    assert grid.shape == (1, 8, 2, 4)
    torch.testing.assert_close(grid[0, :, 1, 3], positions.encode(torch.tensor([3.5 / 4, 1.5 / 2])))


@torch.no_grad()
def test_the_last_grid_of_fourier_positions_is_kept() -> None:
    positions = FourierPositions(8)
    grid = positions.grid(3, 4)
    assert positions.grid(3, 4) is grid
    assert positions.grid(4, 3).shape == (1, 8, 4, 3)
    positions.positional_encoding_gaussian_matrix.mul_(2)
    changed = positions.grid(4, 3)
    with plain():
        torch.testing.assert_close(changed, positions.grid(4, 3))


def test_sine_positions_against_the_formula() -> None:
    height, width, dim = 3, 5, 8
    grid = sine_positions(dim, height, width)
    for y, x, i in [(0, 0, 0), (2, 4, 3), (1, 3, 6), (2, 0, 5)]:
        position, size = (y, height) if i < dim // 2 else (x, width)
        j = i % (dim // 2)
        angle = (position + 1) / (size + 1e-6) * 2 * math.pi / 10000 ** (2 * (j // 2) / (dim // 2))
        expected = math.sin(angle) if j % 2 == 0 else math.cos(angle)
        assert grid[0, i, y, x].item() == pytest.approx(expected, abs=1e-5)


def test_temporal_sine_of_zero() -> None:
    encoded = temporal_sine(torch.tensor([0.0, 1.0]), 6)
    assert encoded[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert encoded[1, 0].item() == pytest.approx(math.sin(1), abs=1e-6)


def test_rotary_depends_on_relative_position_only() -> None:
    turns = axial_rotary(8, 4, 5, device=torch.device("cpu"))
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    rotated_q = apply_rotary(q.expand(1, 1, 20, 8), turns)
    rotated_k = apply_rotary(k.expand(1, 1, 20, 8), turns)
    scores = (rotated_q @ rotated_k.transpose(-2, -1))[0, 0].view(4, 5, 4, 5)
    torch.testing.assert_close(scores[0, 0, 1, 2], scores[2, 1, 3, 3], rtol=1e-4, atol=1e-5)
    assert (scores[0, 0, 1, 2] - scores[0, 0, 2, 1]).abs() > 1e-4


def test_rotary_repeats_over_memories() -> None:
    turns = axial_rotary(8, 2, 2, device=torch.device("cpu"))
    x = torch.randn(1, 1, 4, 8)
    twice = apply_rotary(x.repeat(1, 1, 2, 1), turns)
    torch.testing.assert_close(twice, apply_rotary(x, turns).repeat(1, 1, 2, 1))


def test_dropout_needs_no_gradients() -> None:
    config = MemoryConfig(dim=8, layers=1, mlp_dim=24, dropout=0.5)
    layer = MemoryAttention(config, 16).train().layers[0].self_attn
    x = torch.randn(1, 16, 16)
    turns = axial_rotary(16, 4, 4, device=x.device)
    with torch.no_grad():
        one, other = (layer(x, x, x, turns, turns, (4, 4)) for _ in range(2))
        assert not torch.equal(one, other)
        layer.eval()
        one, other = (layer(x, x, x, turns, turns, (4, 4)) for _ in range(2))
        assert torch.equal(one, other)


def test_rotary_positions_of_a_prediction_serve_training() -> None:
    config = MemoryConfig(dim=8, layers=1, mlp_dim=24)
    attention = MemoryAttention(config, 16)
    tokens = MemoryTokens(
        tokens=torch.randn(1, 35, 8), positions=torch.randn(1, 35, 8), pointer_tokens=0
    )
    values = torch.randn(1, 16, 5, 7), tokens
    with torch.inference_mode():
        attention(*values)
    attention(*values).sum().backward()
    assert attention.layers[0].self_attn.q_proj.weight.grad is not None


def test_stability_score() -> None:
    logits = torch.tensor([[-1.0, -0.01], [0.01, 1.0]])
    assert stability_score(logits, 0.05).item() == pytest.approx(1 / 3)
    assert stability_score(logits, 0.001).item() == 1
    assert stability_score(torch.full((2, 2), -5.0), 0.05).item() == 1


def prediction_of(single: float, iou: list[float]) -> MaskPrediction:
    logits = torch.full((1, 4, 4, 4), 5.0)
    logits[:, 0, :2] = single
    logits *= torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1)
    return MaskPrediction(
        logits=logits,
        iou=torch.tensor([iou]),
        tokens=torch.arange(4.0).view(1, 4, 1),
        object_score=None,
    )


def test_one_mask_of_each_prompt_is_taken() -> None:
    prediction = prediction_of(0.0, [0.9, 0.1, 0.8, 0.3])
    assert prediction.best_candidate.tolist() == [2]  # the single mask, at 0, is no candidate
    taken = prediction.take(torch.tensor([3]))
    assert torch.equal(taken.logits, prediction.logits[:, 3:])
    assert torch.equal(taken.iou, prediction.iou[:, 3:])
    assert taken.tokens.tolist() == [[[3.0]]]


@pytest.mark.parametrize(("single", "chosen"), [(5.0, 0), (0.0, 2)])
def test_an_unstable_single_mask_gives_way(single: float, chosen: int) -> None:
    config = MaskDecoderConfig(heads=1, mlp_dim=4, iou_head_dim=4, dynamic_multimask=True)
    decoder = MaskDecoder(config, 8).eval()
    prediction = prediction_of(single, [0.9, 0.1, 0.8, 0.3])
    result = decoder.single(prediction)
    assert torch.equal(result.logits, prediction.logits[:, chosen : chosen + 1])
    assert result.iou.item() == prediction.iou[0, chosen].item()
    assert result.tokens.item() == 0  # pointers always come from the single mask's token
    decoder.train()
    assert torch.equal(decoder.single(prediction).logits, prediction.logits[:, :1])


def test_without_dynamic_multimask_the_first_mask_is_the_single_one() -> None:
    decoder = MaskDecoder(MaskDecoderConfig(heads=1, mlp_dim=4, iou_head_dim=4), 8).eval()
    prediction = prediction_of(0.0, [0.1, 0.2, 0.8, 0.3])
    assert torch.equal(decoder.single(prediction).logits, prediction.logits[:, :1])
    assert torch.equal(decoder.multiple(prediction).logits, prediction.logits[:, 1:])


def test_drawn_prompts() -> None:
    prompts = PromptTensors(
        points=torch.tensor(
            [
                [[40.0, 20.0], [80.0, 60.0], [0.0, 0.0], [0.0, 0.0]],
                [[16.0, 8.0], [64.0, 32.0], [-9.0, 500.0], [0.0, 0.0]],
            ]
        ),
        labels=torch.tensor([[1, 0, -1, -2], [2, 3, 1, -1]]),
    )
    maps = draw_prompts(prompts, (24, 32))
    assert maps.shape == (2, 3, 24, 32)
    assert maps.min() >= 0
    assert maps.max() <= 1
    foreground, background, box = maps[0]
    assert divmod(int(foreground.argmax()), 32) in {(4, 9), (5, 10), (4, 10), (5, 9)}
    assert divmod(int(background.argmax()), 32) in {(14, 19), (15, 20), (14, 20), (15, 19)}
    assert box.max() == 0
    assert maps[1, :2].max() < 1e-3  # the click lies far outside the image
    box = maps[1, 2]
    assert box[2:8, 4:16].min() > 0.75
    assert box.sum().item() == pytest.approx(12 * 6, abs=1e-3)
