"""The weights of one SAM in a network that takes another kind of input."""

import torch
from torch import Tensor

from samkit.errors import CheckpointKeysError, InputError
from samkit.nn import Sam, SamConfig
from samkit.nn.image_encoder import resize_offsets, resize_positions
from samkit.sizes import TinyViTConfig

__all__ = ["adapt_channels", "adapt_sam"]


def adapt_sam(network: Sam, config: SamConfig, *, first_conv: str) -> Sam:
    """A new network of sizes ``config`` with the weights of ``network``.

    The number of input channels, the input's size and everything without weights (dropout, means)
    may differ. Position encodings are interpolated as a ViT does by itself when it is given images
    of another size; the first convolution is adapted by `adapt_channels`. What shapes of tensors do
    not tell, such as the decoder's heads, is as ``config`` says.

    Args:
        network: SAM with a ViT, which is not changed.
        config: sizes of the new network.
        first_conv: name of the convolution that sees the image.

    Raises:
        InputError: no ViT, or there is no such convolution.
        CheckpointKeysError: other tensors differ too.
    """
    if isinstance(network.config.image_encoder, TinyViTConfig):
        raise InputError("expected SAM with a ViT, got one with a TinyViT (MobileSAM)")
    state = network.state_dict()
    weight = state.get(f"{first_conv}.weight")
    if weight is None or weight.ndim != 4:
        raise InputError(f"expected the name of the first convolution, got {first_conv!r}")
    state[f"{first_conv}.weight"] = adapt_channels(weight, config.image_encoder.in_channels)
    _resize_positions(state, network.config, config)
    with torch.device("meta"):
        new = Sam(config)
    _check(state, new.state_dict())
    new.load_state_dict({name: tensor.clone() for name, tensor in state.items()}, assign=True)
    return new.train(network.training)


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """A convolution's weight (D, C, h, w) for other channels -> (D, channels, h, w).

    One channel gets the sum over all: a grey image gives what it gave as grey in every channel.
    More or fewer channels repeat those that are there, in order, and are scaled by C / channels, so
    that the response to an image of equal channels keeps its size.
    """
    count = weight.shape[1]
    if channels == count:
        return weight
    if channels == 1:
        return weight.sum(1, keepdim=True)
    repeated = weight[:, torch.arange(channels, device=weight.device) % count]
    return repeated * (count / channels)


def _resize_positions(state: dict[str, Tensor], old: SamConfig, new: SamConfig) -> None:
    """Bring position encodings to the new grid, in a state dict of the caller's own."""
    if old.image_size == new.image_size or isinstance(old.image_encoder, TinyViTConfig):
        return
    rows, columns = (side // new.stride for side in new.image_size)
    positions = state["image_encoder.pos_embed"]
    state["image_encoder.pos_embed"] = resize_positions(positions, (rows, columns)).contiguous()
    for block in old.image_encoder.global_blocks:
        for axis, size in (("h", rows), ("w", columns)):
            name = f"image_encoder.blocks.{block}.attn.rel_pos_{axis}"
            if name in state:
                state[name] = resize_offsets(state[name], size).contiguous()


def _check(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    missing = tuple(name for name in expected if name not in state)
    unexpected = tuple(name for name in state if name not in expected)
    misshapen = tuple(
        (name, tuple(tensor.shape), tuple(state[name].shape))
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    )
    if missing or unexpected or misshapen:
        raise CheckpointKeysError(
            "the given network", missing=missing, unexpected=unexpected, misshapen=misshapen
        )
