"""The weights of one SAM in a network of another input."""

from dataclasses import replace

import pytest
import torch
from tiny import make, tiny_sam2
from torch import Tensor

from samkit.errors import CheckpointKeysError, InputError
from samkit.nn import MaskPrediction, Sam
from samkit.weights.adapting import adapt, adapt_channels, without_dynamic_multimask

FIRST = "image_encoder.patch_embed.proj"


@pytest.mark.parametrize("channels", [1, 6, 9])
def test_equal_channels_give_the_same_response(channels: int) -> None:
    weight = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(adapt_channels(weight, channels).sum(1), weight.sum(1))
    assert adapt_channels(weight, channels).shape == (4, channels, 2, 2)


def test_channels_are_repeated_in_order_and_scaled() -> None:
    weight = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    assert adapt_channels(weight, 2).flatten().tolist() == [1.5, 3.0]
    assert adapt_channels(weight, 3) is weight
    assert adapt_channels(weight, 4).flatten().tolist() == [0.75, 1.5, 2.25, 0.75]
    assert adapt_channels(weight, 1).flatten().tolist() == [6.0]


def encode(network: Sam, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        return network.encode_image(pixels).embedding


@pytest.mark.parametrize("size", [(64, 64), (96, 48), (128, 160), (32, 32)])
def test_positions_are_those_of_a_network_that_is_given_such_images(
    sam: Sam, size: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    before = {name: tensor.clone() for name, tensor in sam.state_dict().items()}
    adapted = adapt(sam, replace(sam.config, image_size=size), first_conv=FIRST)
    assert adapted.config.image_size == size
    assert adapted.image_encoder.pos_embed.shape[1:3] == (size[0] // 16, size[1] // 16)
    table = adapted.image_encoder.blocks[1].attn.rel_pos_h
    assert table.shape[0] == 2 * size[0] // 16 - 1
    pixels = torch.randn(1, 3, *size, generator=generator)
    torch.testing.assert_close(encode(adapted, pixels), encode(sam, pixels), rtol=1e-4, atol=1e-4)
    for name, tensor in sam.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_nothing_is_shared_and_the_mode_is_kept(sam: Sam) -> None:
    adapted = adapt(sam, sam.config, first_conv=FIRST)
    assert not adapted.training
    with torch.no_grad():
        for parameter in adapted.parameters():
            parameter.zero_()
    assert any(parameter.any() for parameter in sam.parameters())


def test_dropout_needs_no_weights(sam: Sam) -> None:
    vit = replace(sam.config.image_encoder, dropout=0.5, drop_path=0.5)
    config = replace(sam.config, image_encoder=vit, mean=(0.1,) * 3)
    assert adapt(sam, config, first_conv=FIRST).config == config


def test_what_does_not_fit(sam: Sam, mobile_sam: Sam) -> None:
    with pytest.raises(CheckpointKeysError, match="prompt_encoder") as caught:
        adapt(sam, replace(sam.config, dim=32), first_conv=FIRST)
    assert caught.value.misshapen
    deeper = replace(sam.config, image_encoder=replace(sam.config.image_encoder, depth=4))
    with pytest.raises(CheckpointKeysError, match="missing"):
        adapt(sam, deeper, first_conv=FIRST)
    for name in ("stem", "image_encoder.neck.1", "image_encoder.pos_embed"):
        with pytest.raises(InputError, match="first convolution"):
            adapt(sam, sam.config, first_conv=name)
    with pytest.raises(InputError, match="TinyViT"):
        adapt(mobile_sam, mobile_sam.config, first_conv=FIRST)


def test_the_single_mask_without_a_choice_by_stability() -> None:
    network = make(tiny_sam2())
    network.has_memory = False
    plain = without_dynamic_multimask(network)
    assert network.config.mask_decoder.dynamic_multimask
    assert not plain.config.mask_decoder.dynamic_multimask
    assert not plain.has_memory
    assert not plain.training
    logits = torch.full((1, 4, 8, 8), -0.04)  # not stable
    logits[0, 0, 0, 0] = 0.04
    prediction = MaskPrediction(
        logits=logits,
        iou=torch.tensor([[0.1, 0.2, 0.9, 0.3]]),
        tokens=torch.zeros(1, 4, 16),
        object_score=None,
    )
    assert network.mask_decoder.single(prediction).iou.item() == pytest.approx(0.9)
    assert plain.mask_decoder.single(prediction).iou.item() == pytest.approx(0.1)
    for name, tensor in plain.state_dict().items():
        assert tensor.data_ptr() == network.state_dict()[name].data_ptr()
