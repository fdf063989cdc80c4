"""`torch.compile` takes what is called of a network as one graph each, and changes no result."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import CONFIGS, make, tiny_edge_tam, tiny_hq_sam, tiny_pico
from torch import Tensor

from samkit.nn import PromptTensors
from samkit.nn.fast.switch import plain
from samkit.nn.memory import MemoryTokens
from samkit.sizes import Sam2Config, SamConfig

SIZE, CELLS = 128, 8


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-6 * expected.abs().max().item())


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """As one graph, or an error; operators run one by one, so that no C++ compiler is needed."""
    torch.compiler.reset()
    return torch.compile(function, fullgraph=True, backend="eager")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@torch.no_grad()
def test_image_encoder(config: SamConfig | Sam2Config) -> None:
    torch.manual_seed(0)
    network, pixels = make(config), torch.randn(1, 3, SIZE, SIZE)
    with plain():
        expected = network.encode_image(pixels)
    found = compiled(network.encode_image)(pixels)
    for one, other in zip(found.tensors, expected.tensors, strict=True):
        assert_same(one, other)


# With all that a decoder can have: SAM's and the head of HQ-SAM; SAM 2's and what pico adds.
@pytest.mark.parametrize("config", [tiny_hq_sam(), tiny_pico()], ids=["hq-sam", "pico"])
@torch.no_grad()
def test_mask_decoder(config: SamConfig | Sam2Config) -> None:
    torch.manual_seed(0)
    network = make(config)
    prompts = PromptTensors(
        points=torch.rand(3, 2, 2) * SIZE,
        labels=torch.tensor([[1, -1], [2, 3], [1, -2]]),
        masks=torch.randn(3, 1, SIZE // 4, SIZE // 4),
        has_mask=torch.tensor([True, False, True]),
    )
    with plain():
        features = network.encode_image(torch.randn(1, 3, SIZE, SIZE))
        expected = network.decode_masks(features, prompts)
    found = compiled(network.decode_masks)(features, prompts)
    assert_same(found.logits, expected.logits)
    assert_same(found.iou, expected.iou)


@pytest.mark.parametrize("config", [tiny_pico(), tiny_edge_tam()], ids=["pico", "edge-tam"])
@torch.no_grad()
def test_memory(config: Sam2Config) -> None:
    torch.manual_seed(0)
    network, dim = make(config), config.memory.dim
    frame = torch.randn(1, config.dim, CELLS, CELLS)
    count = 2 * len(network.memory_positions((CELLS, CELLS))) + 4
    tokens, positions = torch.randn(2, 3, count, dim)
    memory = MemoryTokens(tokens=tokens, positions=positions, pointer_tokens=4)
    masks = torch.randn(3, 1, SIZE, SIZE)
    with plain():
        recalled = network.memory_attention(frame, memory)
        maps = network.memory_encoder(frame.expand(3, -1, -1, -1), masks)
    assert_same(compiled(network.memory_attention)(frame, memory), recalled)
    assert_same(compiled(network.memory_encoder)(frame.expand(3, -1, -1, -1), masks), maps)
    if config.memory.latents:
        found = compiled(network.spatial_perceiver)(maps)
        assert_same(found, network.spatial_perceiver(maps))
