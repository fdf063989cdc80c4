"""The name of a network in files of what it made."""

from dataclasses import dataclass, replace

import pytest
import torch
from tiny import CONFIGS, make

from samkit.sizes import MaskDecoderConfig, Sam2Config
from samkit.weights.tensor_file import fingerprint


@dataclass(frozen=True, kw_only=True)
class LaterDecoder(MaskDecoderConfig):
    new_option: float = 0.5


@dataclass(frozen=True, kw_only=True)
class LaterSizes(Sam2Config):
    mask_decoder: MaskDecoderConfig = LaterDecoder()
    another: tuple[int, ...] = (1, 2)


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes_and_weights_count(name: str) -> None:
    network = make(CONFIGS[name])
    before = fingerprint(network)
    assert fingerprint(make(CONFIGS[name])) == before
    decoder = replace(network.config.mask_decoder, stability_delta=0.25)
    network.config = replace(network.config, mask_decoder=decoder)
    assert fingerprint(network) != before
    network.config = CONFIGS[name]
    with torch.no_grad():
        network.mask_decoder.iou_token.weight.add_(1)
    assert fingerprint(network) != before
    assert fingerprint(network, parts=("image_encoder.",)) == fingerprint(
        make(CONFIGS[name]), parts=("image_encoder.",)
    )


def test_an_option_that_is_added_later_changes_no_name() -> None:
    """As long as it has its default: files of before can still be read."""
    network = make(CONFIGS["sam2"])
    before = fingerprint(network)
    now = vars(network.config)
    decoder = LaterDecoder(**vars(network.config.mask_decoder))
    network.config = LaterSizes(**{**now, "mask_decoder": decoder})
    assert fingerprint(network) == before
    network.config = replace(network.config, another=(3,))
    assert fingerprint(network) != before
