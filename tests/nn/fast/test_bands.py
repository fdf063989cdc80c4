"""Maps in bands and windows, against the whole; and the image encoders' blocks in both forms."""

import pytest
import torch
from torch import Tensor, nn

from samkit.nn.fast import bands
from samkit.nn.fast.bands import in_bands, in_windows
from samkit.nn.fast.switch import plain
from samkit.nn.hiera import Block, Hiera, pool
from samkit.nn.image_encoder import Block as ViTBlock
from samkit.nn.layers import PatchEmbed, window_partition, window_unpartition
from samkit.sizes import HieraConfig, ViTConfig


def randomise(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)


def assert_both_forms_agree(module: nn.Module, x: Tensor) -> None:
    randomise(module)
    module.eval()
    with torch.inference_mode():
        found = module(x)
        with plain():
            torch.testing.assert_close(found, module(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("step", [1, 3, 5])
@torch.inference_mode()
def test_bands_are_of_whole_steps(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(bands, "_PLACES", 48)
    x, seen = torch.randn(2, 20, 4, 3), []

    def doubled(band: Tensor) -> Tensor:
        seen.append(band.shape[1])
        return 2 * band

    assert torch.equal(in_bands(doubled, x, step), 2 * x)
    assert seen[:-1] == [6 // step * step] * (len(seen) - 1)
    assert sum(seen) == 20
    seen.clear()
    with plain():
        assert torch.equal(in_bands(doubled, x, step), 2 * x)
    assert seen == [20]


@pytest.mark.parametrize("places", [1, 8, 12, 30, 1000])
@pytest.mark.parametrize("size", [(8, 12), (4, 4), (2, 16), (9, 12), (8, 5)])
@torch.inference_mode()
def test_windows_are_those_of_the_map(
    monkeypatch: pytest.MonkeyPatch, places: int, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(bands, "_PLACES", places)
    x = torch.randn(2, *size, 3)

    def less_its_mean(part: Tensor) -> Tensor:
        """Each window without its mean (with that of the padding)."""
        windows = window_partition(part, 2)
        return window_unpartition(windows - windows.mean((1, 2), keepdim=True), *part.shape[1:3])

    expected = less_its_mean(x)
    torch.testing.assert_close(in_windows(less_its_mean, x, 2), expected)
    if size[0] % 2 == size[1] % 2 == 0:
        torch.testing.assert_close(
            in_windows(lambda y: pool(less_its_mean(y)), x, 2), pool(expected)
        )


@pytest.mark.parametrize("window_size", [0, 4, 6])
@pytest.mark.parametrize("pools", [True, False])
def test_blocks_of_hiera(window_size: int, pools: bool) -> None:
    torch.manual_seed(0)
    sizes = {"heads": 2, "window_size": window_size, "mlp_ratio": 2.0, "drop_path": 0.1}
    block = Block(16, 32 if pools else 16, pools=pools, **sizes)
    assert_both_forms_agree(block, torch.randn(3, 40, 32, 16))


@pytest.mark.parametrize("window_size", [0, 4, 6])
@pytest.mark.parametrize("norm", ["layer_norm", "group_norm_1grp", "batch_norm"])
def test_blocks_of_vit(window_size: int, norm: str) -> None:
    torch.manual_seed(0)
    config = ViTConfig(dim=16, heads=2, mlp_ratio=2.0, norm=norm)
    block = ViTBlock(config, window_size=window_size, grid=(40, 32), drop_path=0.1)
    assert_both_forms_agree(block, torch.randn(3, 40, 32, 16))


@pytest.mark.parametrize("norm", ["layer_norm", "batch_norm"])
@torch.no_grad()
def test_blocks_in_training_see_the_whole_map(norm: str) -> None:
    """Statistics and dropped samples are those of the whole map, with gradients or without."""
    torch.manual_seed(0)
    config = ViTConfig(dim=16, heads=2, norm=norm)
    block = ViTBlock(config, window_size=4, grid=(40, 32), drop_path=0.5).train()
    randomise(block)
    x = torch.randn(4, 40, 32, 16)
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        found.append(block(x))
        with plain():
            torch.manual_seed(1)
            found.append(block(x))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_padding_is_what_the_layer_makes_of_zeros() -> None:
    layer, x = nn.Linear(3, 5), torch.randn(2, 5, 7, 3)
    expected = layer(window_partition(x, 4))
    torch.testing.assert_close(window_partition(layer(x), 4, layer.bias), expected)


@pytest.mark.parametrize("size", [(8, 12), (2, 2)])
@torch.inference_mode()
def test_pooling(size: tuple[int, int]) -> None:
    x = torch.randn(2, *size, 6)[..., ::2]
    expected = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).amax((2, 4))
    assert torch.equal(pool(x), expected)
    with plain():
        assert torch.equal(pool(x), expected)


@torch.inference_mode()
def test_patches() -> None:
    torch.manual_seed(0)
    embed, pixels = PatchEmbed(3, 8, 7, stride=4, padding=3), torch.randn(2, 3, 64, 32)
    found = embed(pixels)
    assert found.shape == (2, 16, 8, 8)
    assert found.is_contiguous()
    with plain():
        torch.testing.assert_close(found, embed(pixels), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("grid", [(64, 64), (24, 40)])
@torch.inference_mode()
def test_positions_of_hiera_are_interpolated(grid: tuple[int, int]) -> None:
    torch.manual_seed(0)
    trunk = Hiera(HieraConfig(dim=8, heads=1, stages=(1, 1, 1, 1), global_blocks=()))
    randomise(trunk)
    coarse = nn.functional.interpolate(trunk.pos_embed, grid, mode="bicubic")
    window = trunk.pos_embed_window
    tiled = window.repeat(1, 1, grid[0] // window.shape[2], grid[1] // window.shape[3])
    expected = (coarse + tiled).permute(0, 2, 3, 1)
    torch.testing.assert_close(trunk._positions(*grid), expected, rtol=1e-5, atol=1e-5)
