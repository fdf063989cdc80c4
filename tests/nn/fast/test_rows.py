"""Maps that convolutions make some rows at a time are those that they make at once."""

import pytest
import torch
import torch.nn.functional as F
from tiny import randomise
from torch import nn

from samkit.nn.concept_heads import ConceptMasks
from samkit.nn.fast import rows
from samkit.nn.fast.rows import bands, convolved, joined, norm_groups_then_relu
from samkit.nn.fast.switch import plain
from samkit.nn.pe_vit import Block
from samkit.nn.position_encoding import axial_rotary
from samkit.nn.simple_fpn import SimpleFpn
from samkit.sizes import DetectorConfig, PeViTConfig


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few places at a time, so that small maps have several bands."""
    monkeypatch.setattr(rows, "_PLACES", 48)
    torch.manual_seed(0)


@pytest.mark.parametrize("lengths", [(1,), (5,), (1, 1), (1, 4), (4, 1), (3, 3, 2)])
@pytest.mark.parametrize("head", [None, nn.Conv2d(5, 2, 1)])
@torch.inference_mode()
def test_convolution(lengths: tuple[int, ...], head: nn.Conv2d | None) -> None:
    conv, x = nn.Conv2d(3, 5, 3, padding=1), torch.randn(2, 3, sum(lengths), 7)
    found = joined(convolved(x.split(lengths, 2), conv, head), x.shape[2])
    expected = conv(x) if head is None else head(conv(x))
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_heads_keep_their_dtype() -> None:
    conv, head = nn.Conv2d(3, 5, 3, padding=1).bfloat16(), nn.Conv2d(5, 2, 1)
    x = torch.randn(1, 3, 6, 7).bfloat16()
    found = joined(convolved([x], conv, head), 6)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, head(conv.float()(x.float())), rtol=1e-5, atol=1e-5)


def test_bands_have_as_many_places_as_fit() -> None:
    x = torch.empty(2, 3, 11, 6)
    assert [band.shape[2] for band in bands(x)] == [4, 4, 3]
    assert [band.shape[2] for band in bands(x, 2)] == [1] * 11
    assert [band.shape[2] for band in bands(x[:1], 2)] == [2] * 5 + [1]


@pytest.mark.parametrize("offset", [0.0, 300.0])
@torch.inference_mode()
def test_groups_are_normed(offset: float) -> None:
    norm = nn.GroupNorm(2, 6)
    randomise(norm)
    x = torch.randn(2, 6, 11, 9) + offset
    x[0, 3:] = offset  # a group without any spread
    expected = F.relu(norm.double()(x.double())).float()
    norm.float()
    given = x.contiguous(memory_format=torch.channels_last)
    found = norm_groups_then_relu(norm, given)
    assert found is given
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3 if offset else 1e-5)


def both(module: nn.Module, *given: object) -> tuple[object, object]:
    randomise(module)
    module.eval()
    with torch.inference_mode():
        found = module(*given)
        with plain():
            return found, module(*given)


@pytest.mark.parametrize("levels", [3, 4])
@pytest.mark.parametrize("heads", [(), (nn.Conv2d(8, 2, 1), nn.Conv2d(8, 3, 1))])
def test_pyramid_of_sam_3(levels: int, heads: tuple[nn.Module, ...]) -> None:
    found, expected = both(SimpleFpn(16, 8, levels), torch.randn(2, 16, 7, 5), heads)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_pixels_of_concepts() -> None:
    masks = ConceptMasks(DetectorConfig(heads=2), 16)
    randomise(masks)
    image, prompt = torch.randn(2, 16, 5, 6), torch.randn(2, 3, 16)
    finer = (torch.randn(2, 16, 20, 24), torch.randn(2, 16, 10, 12))
    attended = torch.ones(2, 1, 1, 3, dtype=torch.bool)
    with torch.inference_mode():
        before = [level.clone() for level in (image, *finer)]
        found = masks.pixels(image, finer, prompt, attended)
        with plain():
            expected = masks.pixels(image, finer, prompt, attended)
        queries = torch.randn(2, 4, 16)
        as_published = torch.einsum(
            "bqd,bdhw->bqhw", masks.mask_embed(queries), masks.instance_seg_head(expected)
        )
        logits, nothing = masks.masks(queries, found), masks.masks(queries[:, :0], found)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, as_published, rtol=1e-4, atol=1e-3)
    assert nothing.shape == (2, 0, 20, 24)
    assert all(map(torch.equal, (image, *finer), before))


@pytest.mark.parametrize("window_size", [0, 4])
@pytest.mark.parametrize("size", [(8, 12), (7, 10)])
def test_blocks_of_sam_3(
    window_size: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samkit.nn.fast.bands._PLACES", 40)
    config = PeViTConfig(dim=16, heads=2, mlp_ratio=2.0)
    turns = axial_rotary(
        8,
        *((window_size, window_size) if window_size else size),
        theta=10000.0,
        span=4,
        device=torch.device("cpu"),
    )
    found, expected = both(Block(config, window_size=window_size), torch.randn(1, *size, 16), turns)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
