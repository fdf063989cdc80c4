"""The image as many prompts see it, in both forms, against plain attention and layer norm."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny import randomise
from torch import Tensor, nn

from samkit.nn import ImageFeatures
from samkit.nn.attention import Attention
from samkit.nn.fast.low_rank_views import LowRankViews
from samkit.nn.fast.shared_image import SharedImage
from samkit.nn.fast.switch import plain
from samkit.nn.image_views import DenseViews, ImageViews, image_views
from samkit.nn.mask_decoder import Attended, MaskDecoder
from samkit.nn.prompt_encoder import PromptEmbedding
from samkit.sizes import MaskDecoderConfig

DIM, HEADS = 24, 3


def whole(views: ImageViews) -> Tensor:
    """The views as maps (N, P, D)."""
    return linear(views, torch.eye(DIM), torch.zeros(DIM))


def linear(views: ImageViews, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.cat([maps for _, maps in views.linear(nn.Identity(), weight, bias)])


def attention() -> Attention:
    layer = Attention(DIM, HEADS, internal_dim=12)
    randomise(layer)
    return layer


def layer_norm() -> nn.LayerNorm:
    layer = nn.LayerNorm(DIM)
    randomise(layer)
    return layer


def some_attended(count: int, tokens: int) -> Tensor:
    attended = torch.rand(count, tokens) > 0.4
    attended[:, 0] = True
    return attended[:, None, None, :]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_dense_views_are_plain_attention(shared: bool, masked: bool) -> None:
    torch.manual_seed(0)
    first, second, norm = attention(), attention(), layer_norm()
    tokens = torch.randn(4, 5, DIM)
    image, positions = torch.randn(1 if shared else 4, 40, DIM), torch.randn(1, 40, DIM)
    mask = some_attended(4, 5) if masked else None
    views = DenseViews(image, positions)
    maps = image.expand(4, -1, -1)

    torch.testing.assert_close(
        views.token_to_image(first, tokens), first(tokens, maps + positions, maps)
    )
    seen = views.image_to_token(second, tokens, tokens * 2, mask, norm)
    expected = norm(maps + second(maps + positions, tokens, tokens * 2, mask))
    torch.testing.assert_close(whole(seen), expected)


@given(
    count=st.integers(1, 9),
    tokens=st.integers(1, 6),
    places=st.integers(1, 50),
    layers=st.integers(1, 3),
    masked=st.booleans(),
    offset=st.sampled_from([0.0, 30.0]),
    seed=st.integers(0, 2**16),
)
@torch.inference_mode()
def test_low_rank_views_are_dense_views(
    count: int, tokens: int, places: int, layers: int, masked: bool, offset: float, seed: int
) -> None:
    torch.manual_seed(seed)
    image, positions = torch.randn(places, DIM) + offset, torch.randn(places, DIM)
    low: ImageViews = LowRankViews(SharedImage(image, positions), count)
    dense: ImageViews = DenseViews(image.expand(count, -1, -1), positions[None])
    weight, bias = torch.randn(7, DIM), torch.randn(7)
    for _ in range(layers):
        look, tell, norm = attention(), attention(), layer_norm()
        x, y = torch.randn(count, tokens, DIM), torch.randn(count, tokens, DIM)
        mask = some_attended(count, tokens) if masked else None
        torch.testing.assert_close(
            low.token_to_image(look, x), dense.token_to_image(look, x), rtol=1e-4, atol=1e-4
        )
        before = whole(low)
        seen = low.image_to_token(tell, x, y, mask, norm)
        assert torch.equal(whole(low), before)
        low, dense = seen, dense.image_to_token(tell, x, y, mask, norm)
        torch.testing.assert_close(whole(low), whole(dense), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        linear(low, weight, bias), F.linear(whole(dense), weight, bias),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    chosen = torch.arange(0, count, 2)
    torch.testing.assert_close(whole(low.select(chosen)), whole(low)[chosen])
    none = low.select(torch.zeros(count, dtype=torch.bool))
    assert list(none.linear(nn.Identity(), weight, bias)) == []


@torch.inference_mode()
def test_what_takes_the_image_away_is_finite() -> None:
    torch.manual_seed(0)
    tell, norm = Attention(256, 8, internal_dim=128), nn.LayerNorm(256)
    values = (torch.randn(1, 1, 256) * 100).expand(8, 7, 256)
    taken = tell.out_proj(tell.v_proj(values))[0, 0]
    image = 1e-2 * torch.randn(64, 256) - taken
    keys, positions = torch.randn(8, 7, 256), torch.randn(64, 256)
    views = LowRankViews(SharedImage(image, positions), 8).image_to_token(
        tell, keys, values, None, norm
    )
    assert views.scale.isfinite().all()


def test_the_form_of_views() -> None:
    image, positions = torch.zeros(1, 64, DIM), torch.zeros(1, 64, DIM)
    few, many = torch.zeros(2, 4, DIM), torch.zeros(20, 4, DIM)
    with torch.inference_mode():
        assert isinstance(image_views(image, positions, many, HEADS), LowRankViews)
        assert isinstance(image_views(image, positions, few, HEADS), DenseViews)
        own = image.expand(20, -1, -1)
        assert isinstance(image_views(own, positions, many, HEADS), DenseViews)
        long = torch.zeros(20, 5, DIM)
        assert isinstance(image_views(image, positions, long, HEADS), DenseViews)
        small = image[:, :40], positions[:, :40]
        assert isinstance(image_views(*small, many, HEADS), DenseViews)
        narrow = (x.half() for x in (image, positions, many))
        assert isinstance(image_views(*narrow, HEADS), DenseViews)
        with plain():
            assert isinstance(image_views(image, positions, many, HEADS), DenseViews)
    assert isinstance(image_views(image, positions, many, HEADS), DenseViews)  # for training


@pytest.mark.parametrize("high_resolution", [True, False])
@pytest.mark.parametrize("images", [1, 5])
def test_masks_are_those_of_transposed_convolutions(high_resolution: bool, images: int) -> None:
    torch.manual_seed(0)
    dim, h, w = 32, 3, 5
    decoder = MaskDecoder(MaskDecoderConfig(high_resolution=high_resolution), dim)
    randomise(decoder)
    image = torch.randn(5, dim, h, w)
    levels: tuple[Tensor, ...] = ()
    if high_resolution:
        levels = (
            torch.randn(images, dim // 8, 4 * h, 4 * w),
            torch.randn(images, dim // 4, 2 * h, 2 * w),
        )
    attended = Attended(
        tokens=torch.randn(5, 4, dim),
        iou=torch.rand(5, 4),
        object_score=None,
        views=DenseViews(image.flatten(2).transpose(1, 2), torch.zeros(1, h * w, dim)),
        grid=(h, w),
        high_resolution=levels,
    )
    up1, norm, act1, up2, act2 = decoder.output_upscaling
    x = up1(image)
    x = act1(norm(x + levels[1] if levels else x))
    x = act2(up2(x) + levels[0] if levels else up2(x))
    filters = [
        mlp(attended.tokens[:, i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)
    ]
    expected = torch.einsum("nkd,ndyx->nkyx", torch.stack(filters, 1), x)
    torch.testing.assert_close(decoder.masks(attended).logits, expected, rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        found = decoder.masks(attended.select(torch.tensor([3, 1]))).logits
    torch.testing.assert_close(found, expected[[3, 1]], rtol=1e-4, atol=1e-5)
    assert decoder.masks(attended.select(torch.zeros(5, dtype=torch.bool))).logits.shape == (
        (0, 4, 4 * h, 4 * w)
    )


@torch.inference_mode()
def test_many_prompts_are_decoded_as_a_few() -> None:
    torch.manual_seed(0)
    dim = 256
    decoder = MaskDecoder(MaskDecoderConfig(high_resolution=False), dim)
    randomise(decoder)
    features = ImageFeatures(embedding=torch.randn(1, dim, 16, 18))
    positions = torch.randn(1, dim, 16, 18)
    attended = torch.rand(9, 3) > 0.3
    prompts = PromptEmbedding(
        sparse=torch.randn(9, 3, dim), attended=attended, dense=torch.randn(1, dim, 1, 1)
    )
    together = decoder.attend(features, positions, prompts)
    assert isinstance(together.views, LowRankViews)
    alone = [
        decoder.attend(
            features,
            positions,
            PromptEmbedding(
                sparse=prompts.sparse[i : i + 1], attended=attended[i : i + 1], dense=prompts.dense
            ),
        )
        for i in range(9)
    ]
    assert isinstance(alone[0].views, DenseViews)
    torch.testing.assert_close(
        together.iou, torch.cat([x.iou for x in alone]), rtol=1e-4, atol=1e-4
    )
    expected = torch.cat([decoder.masks(one).logits for one in alone])
    scale = float(expected.abs().max())
    torch.testing.assert_close(decoder.masks(together).logits, expected, rtol=0, atol=1e-5 * scale)


@torch.no_grad()
def test_clicks_on_an_image_that_was_asked_about() -> None:
    torch.manual_seed(0)
    dim = 256
    decoder = MaskDecoder(MaskDecoderConfig(high_resolution=False), dim)
    randomise(decoder)
    features = ImageFeatures(embedding=torch.randn(1, dim, 16, 18))
    positions, dense = torch.randn(1, dim, 16, 18), torch.randn(1, dim, 1, 1)

    def ask(sparse: Tensor, form: type) -> None:
        prompts = PromptEmbedding(sparse=sparse, attended=None, dense=dense, is_plain=True)
        found = decoder.attend(features, positions, prompts)
        assert isinstance(found.views, form)
        with plain():
            expected = decoder.attend(features, positions, prompts)
            logits = decoder.masks(expected).logits
        torch.testing.assert_close(found.iou, expected.iou, rtol=1e-4, atol=1e-4)
        scale = float(logits.abs().max())
        torch.testing.assert_close(decoder.masks(found).logits, logits, rtol=0, atol=1e-5 * scale)
        single = decoder.single_masks(found).logits
        torch.testing.assert_close(single, logits[:, :1], rtol=0, atol=1e-5 * scale)

    ask(torch.randn(1, 2, dim), DenseViews)
    ask(torch.randn(1, 2, dim), LowRankViews)
    ask(torch.randn(2, 3, dim), LowRankViews)
    ask(torch.randn(1, 20, dim), DenseViews)  # too many tokens
    decoder.transformer.layers[0].norm4.weight.mul_(2)
    ask(torch.randn(1, 2, dim), DenseViews)
    ask(torch.randn(1, 2, dim), LowRankViews)
    features = ImageFeatures(embedding=torch.randn(1, dim, 16, 18))
    ask(torch.randn(1, 2, dim), DenseViews)
