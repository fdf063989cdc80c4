"""`torch.export` takes each part of the networks, and what it gives serves other sizes too.

Each program is run with other numbers of prompts, tokens, objects, memories and pointers than it
was traced with, and compared with the network in its plain and in its fast forms.
"""

from dataclasses import replace

import pytest
import torch
from tiny import CONFIGS, make, tiny_edge_tam, tiny_pico, tiny_sam, tiny_sam2
from torch import Tensor, nn

from samkit.nn import ImageFeatures, PromptTensors, Sam, Sam2
from samkit.nn.fast.low_rank_views import LowRankViews
from samkit.nn.fast.switch import plain
from samkit.nn.memory import MemoryTokens
from samkit.sizes import Sam2Config, SamConfig

ANY = torch.export.Dim.DYNAMIC
SIZE = 128  # pixels of the input
CELLS = 8  # of the embedding


class Encode(nn.Module):
    def __init__(self, network: Sam | Sam2) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> list[Tensor]:
        features = self.network.encode_image(pixels)
        return [features.embedding, *features.high_resolution]


class Decode(nn.Module):
    def __init__(self, network: Sam | Sam2) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        maps: list[Tensor],
        points: Tensor,
        labels: Tensor,
        masks: Tensor | None,
        has_mask: Tensor | None,
    ) -> list[Tensor]:
        features = ImageFeatures(embedding=maps[0], high_resolution=tuple(maps[1:]))
        prompts = PromptTensors(points=points, labels=labels, masks=masks, has_mask=has_mask)
        found = self.network.decode_masks(features, prompts)
        single = self.network.mask_decoder.single(found)
        score = [] if found.object_score is None else [found.object_score]
        return [found.logits, found.iou, found.tokens, single.logits, single.iou, *score]


class Recall(nn.Module):
    """Memory attention to maps (N, frames, cells, d) and pointer tokens (N, P, d).

    Where `frames` (N, frames) and `recent` (N, P) are False, an object remembers less.
    """

    def __init__(self, network: Sam2) -> None:
        super().__init__()
        self.attention = network.memory_attention

    def forward(
        self,
        frame: Tensor,
        maps: Tensor,
        map_positions: Tensor,
        pointers: Tensor,
        pointer_positions: Tensor,
        frames: Tensor | None,
        recent: Tensor | None,
    ) -> list[Tensor]:
        attended = None
        if frames is not None and recent is not None:
            cells = frames[..., None].expand(-1, -1, maps.shape[2])
            attended = torch.cat([cells.flatten(1), recent], 1)
        memory = MemoryTokens(
            tokens=torch.cat([maps.flatten(1, 2), pointers], 1),
            positions=torch.cat([map_positions.flatten(1, 2), pointer_positions], 1),
            pointer_tokens=pointers.shape[1],
            attended=attended,
        )
        return [self.attention(frame, memory)]


class Remember(nn.Module):
    def __init__(self, network: Sam2) -> None:
        super().__init__()
        self.encoder = network.memory_encoder

    def forward(self, features: Tensor, masks: Tensor) -> list[Tensor]:
        return [self.encoder(features, masks)]


def exported(
    module: nn.Module, arguments: tuple[object, ...], axes: tuple[object, ...]
) -> nn.Module:
    program = torch.export.export(module, arguments, dynamic_shapes=axes, strict=False)
    for value in (n.meta.get("val") for n in program.graph.nodes):
        assert not (isinstance(value, Tensor) and value.is_complex())
    return program.module()


def assert_same(program: nn.Module, module: nn.Module, arguments: tuple[object, ...]) -> None:
    with torch.inference_mode():
        fast = module(*arguments)
        with plain():
            slow = module(*arguments)
        for found, one, other in zip(program(*arguments), slow, fast, strict=True):
            scale = one.abs().max().item()
            torch.testing.assert_close(found, one, rtol=0, atol=5e-6 * scale)
            torch.testing.assert_close(found, other, rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@torch.no_grad()
def test_image_encoder(config: SamConfig | Sam2Config) -> None:
    module = Encode(make(config))
    program = exported(module, (torch.randn(1, 3, SIZE, SIZE),), ({},))
    assert_same(program, module, (torch.randn(1, 3, SIZE, SIZE),))


def prompts(count: int, tokens: int, *, with_masks: bool = True) -> tuple[Tensor | None, ...]:
    """Tokens of every kind, absent ones too, but for the first; every other prompt has a mask."""
    labels = torch.randint(-2, 4, (count, tokens))
    labels[:, :1] = 1
    masks = has_mask = None
    if with_masks:
        masks = torch.randn(count, 1, SIZE // 4, SIZE // 4) * 5
        has_mask = torch.arange(count) % 2 == 0
    return torch.rand(count, tokens, 2) * SIZE, labels, masks, has_mask


@pytest.mark.parametrize("config", [tiny_sam2(), tiny_pico()], ids=["sam2", "pico"])
@torch.no_grad()
def test_mask_decoder(config: SamConfig | Sam2Config) -> None:
    torch.manual_seed(0)
    network = make(config)
    maps, module = Encode(network)(torch.randn(1, 3, SIZE, SIZE)), Decode(network)
    axes = [{}] * len(maps), {0: ANY, 1: ANY}, {0: ANY, 1: ANY}, {0: ANY}, {0: ANY}
    program = exported(module, (maps, *prompts(3, 4)), axes)
    for count, tokens in ((3, 4), (1, 2), (1, 1), (1, 0), (9, 5), (2, 3)):
        assert_same(program, module, (maps, *prompts(count, tokens)))


@pytest.mark.parametrize("config", [replace(tiny_sam(), dim=64), tiny_pico()], ids=["sam", "pico"])
@torch.no_grad()
def test_mask_decoder_without_masks(config: SamConfig | Sam2Config) -> None:
    torch.manual_seed(0)
    network = make(config)
    maps, module = Encode(network)(torch.randn(1, 3, SIZE, SIZE)), Decode(network)
    axes = [{}] * len(maps), {0: ANY, 1: ANY}, {0: ANY, 1: ANY}, None, None
    program = exported(module, (maps, *prompts(3, 4, with_masks=False)), axes)
    for count, tokens in ((1, 2), (9, 2), (20, 3)):
        assert_same(program, module, (maps, *prompts(count, tokens, with_masks=False)))
    many = PromptTensors(points=torch.zeros(9, 2, 2), labels=torch.ones(9, 2, dtype=torch.long))
    views = network.attend(ImageFeatures(embedding=maps[0], high_resolution=tuple(maps[1:])), many)
    assert isinstance(views.views, LowRankViews) == (not network.prompt_encoder.draw_prompts)


@pytest.mark.parametrize(
    ("config", "ragged"),
    [
        *((config, ragged) for config in (tiny_sam2(), tiny_pico()) for ragged in (False, True)),
        (tiny_edge_tam(), True),
    ],
)
@torch.no_grad()
def test_memory_attention(config: Sam2Config, ragged: bool) -> None:
    torch.manual_seed(0)
    network = make(config)
    tokens_of_a_map = len(network.memory_positions((CELLS, CELLS)))

    def reachable(count: int, frames: int, pointers: int) -> tuple[Tensor | None, ...]:
        maps = torch.randn(2, count, frames, tokens_of_a_map, config.memory.dim)
        tokens = torch.randn(2, count, pointers, config.memory.dim)
        shorter: tuple[Tensor | None, ...] = (None, None)
        if ragged:
            shorter = torch.ones(count, frames) > 0, torch.ones(count, pointers) > 0
            shorter[0][0, 1:] = False
            shorter[1][-1, pointers // 2 :] = False
        return torch.randn(1, config.dim, CELLS, CELLS), *maps, *tokens, *shorter

    module = Recall(network)
    both = {0: ANY, 1: ANY}
    axes = {}, *[both] * 4, *[both if ragged else None] * 2
    program = exported(module, reachable(3, 2, 5), axes)
    for count, frames, pointers in ((1, 1, 2), (1, 1, 0), (1, 7, 16), (4, 3, 1), (2, 2, 0)):
        assert_same(program, module, reachable(count, frames, pointers))


@torch.no_grad()
def test_memory_encoder() -> None:
    torch.manual_seed(0)
    config = tiny_pico()

    def objects(count: int) -> tuple[Tensor, Tensor]:
        frames = torch.randn(count, config.dim, CELLS, CELLS)
        return frames, torch.randn(count, 1, SIZE, SIZE)

    module = Remember(make(config))
    program = exported(module, objects(3), ({0: ANY}, {0: ANY}))
    for count in (1, 2, 5):
        assert_same(program, module, objects(count))


class Summarise(nn.Module):
    def __init__(self, network: Sam2) -> None:
        super().__init__()
        self.perceiver = network.spatial_perceiver

    def forward(self, maps: Tensor) -> list[Tensor]:
        return [self.perceiver(maps)]


@torch.no_grad()
def test_perceiver() -> None:
    torch.manual_seed(0)
    config = tiny_edge_tam()
    module = Summarise(make(config))
    shape = config.memory.dim, CELLS, CELLS
    program = exported(module, (torch.randn(3, *shape),), ({0: ANY},))
    for count in (1, 2, 5):
        assert_same(program, module, (torch.randn(count, *shape),))
