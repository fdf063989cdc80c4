"""The weights of a network in one whose input has another size."""

import copy
from dataclasses import replace

from samkit.errors import InputError
from samkit.nn import Sam, Sam2, SamConfig
from samkit.sizes import ViTConfig, validate
from samkit.weights.adapting import adapt_sam

__all__ = ["input_step", "with_input_size"]


def input_step(network: Sam | Sam2) -> int:
    """Height and width of the network's input are multiples of this."""
    encoder = network.config.image_encoder
    return encoder.patch_size if isinstance(encoder, ViTConfig) else 32


def with_input_size(network: Sam | Sam2, size: tuple[int, int]) -> Sam | Sam2:
    """A network with the same weights for an input of another size (H, W).

    The position encodings of a ViT are interpolated; the other encoders take any size, and share
    their weights with ``network``. Accuracy is best near the size of training.

    Raises:
        InputError: not two multiples of `input_step`.
    """
    if tuple(size) == tuple(network.config.image_size):
        return network
    config = replace(network.config, image_size=size)
    try:
        validate(config)
    except ValueError as error:
        raise InputError(f"input size: {error}") from error
    if isinstance(network, Sam) and isinstance(network.config.image_encoder, ViTConfig):
        assert isinstance(config, SamConfig)
        return adapt_sam(network, config, first_conv="image_encoder.patch_embed.proj")
    resized = copy.copy(network)
    resized.config = config
    return resized
