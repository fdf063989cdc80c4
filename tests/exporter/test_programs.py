"""Parts as programs of torch.export: called as their files are, they do what the network does."""

import pytest
import torch
from tiny import make, tiny_sam, tiny_sam2
from torch import Tensor

from samkit import ImagePredictor, InputError
from samkit.exporter import program
from samkit.nn import PromptTensors
from samkit.sizes import NetworkConfig


def predictor_of(config: NetworkConfig) -> ImagePredictor:
    return ImagePredictor(make(config), device="cpu", dtype="float32")


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("config", [tiny_sam(), tiny_sam2()], ids=["sam", "sam2"])
@torch.no_grad()
def test_an_image_and_other_numbers_of_prompts_than_were_traced(config: NetworkConfig) -> None:
    predictor = predictor_of(config)
    network = predictor.network
    pixels = torch.randn(1, 3, 128, 128)
    features = network.encode_image(pixels)
    encode, decode = (
        program(predictor, part).module() for part in ("image_encoder", "mask_decoder")
    )
    embedding, *fine = encode(pixels)
    for found, expected in zip(
        (embedding, *fine), (features.embedding, *features.high_resolution), strict=True
    ):
        assert_close(found, expected)
    features = network.without_memory(features)
    for count, tokens in ((1, 1), (5, 2)):
        points, labels = torch.rand(count, tokens, 2) * 128, torch.ones(count, tokens).long()
        masks, has_mask = torch.randn(count, 1, 32, 32), torch.ones(count, dtype=torch.bool)
        logits, iou, *_ = decode(points, labels, masks, has_mask, features.embedding, *fine)
        expected = network.decode(
            features, PromptTensors(points=points, labels=labels, masks=masks, has_mask=has_mask)
        )
        assert_close(logits, expected.logits)
        assert_close(iou, expected.iou)


@torch.no_grad()
def test_memories_of_other_numbers_of_objects() -> None:
    predictor = predictor_of(tiny_sam2())
    remember = program(predictor, "memory_encoder").module()
    frame = torch.randn(1, 16, 8, 8)
    for count in (1, 5):
        masks = torch.rand(count, 1, 128, 128)
        (found,) = remember(frame, masks)
        expected = predictor.network.memory_encoder(frame.expand(count, -1, -1, -1), masks)
        assert_close(found, expected)


def test_parts_that_are_not_there() -> None:
    sam, sam2 = predictor_of(tiny_sam()), predictor_of(tiny_sam2())
    with pytest.raises(InputError, match="one of image_encoder, mask_decoder, got 'memory_enc"):
        program(sam, "memory_encoder")
    with pytest.raises(InputError, match=r"memory_attention, .*, got \['x'\]"):
        program(sam2, ["x"])
    with pytest.raises(InputError, match="expected an ImagePredictor"):
        program(sam.network, "image_encoder")


def test_programs_can_be_kept(tmp_path) -> None:
    predictor = predictor_of(tiny_sam2())
    torch.export.save(program(predictor, "image_encoder"), tmp_path / "image_encoder.pt2")
    loaded = torch.export.load(tmp_path / "image_encoder.pt2").module()
    pixels = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        assert_close(loaded(pixels)[0], predictor.network.encode_image(pixels).embedding)
