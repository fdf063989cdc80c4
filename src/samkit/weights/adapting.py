"""The weights of one network in another that takes another kind of input."""

import copy
from dataclasses import replace

import torch
from torch import Tensor

from samkit.errors import InputError, shown
from samkit.nn import Network, build
from samkit.nn.image_encoder import resize_offsets, resize_positions
from samkit.nn.numberless import without_numbers
from samkit.sizes import NetworkConfig, Resampling, ViTConfig
from samkit.weights.loading import check_shapes

__all__ = ["adapt", "adapt_channels", "with_input_size", "without_dynamic_multimask"]

_FIRST_CONV = "image_encoder.patch_embed.proj"


def with_input_size(network: Network, size: tuple[int, int]) -> Network:
    """A network with the same weights for an input of another size (H, W).

    The position encodings of a ViT are interpolated; the other encoders take any size, and share
    their weights with ``network``. Accuracy is best near the size of training.

    Raises:
        InputError: not two multiples of `NetworkConfig.input_step`.
    """
    if tuple(size) == tuple(network.config.image_size):
        return network
    config = replace(network.config, image_size=size)
    try:
        config.validate()
    except ValueError as error:
        raise InputError(f"input size: {error}") from error
    if config.image_encoder.fixed_grid:
        return adapt(network, config, first_conv=_FIRST_CONV)
    resized = copy.copy(network)
    resized.config = config
    return resized


def without_dynamic_multimask(network: Network) -> Network:
    """A network with the same weights that keeps its single mask also where it is not stable.

    The weights are shared with ``network``; see `MaskDecoder.single`.
    """
    decoder = replace(network.config.mask_decoder, dynamic_multimask=False)
    with without_numbers():
        new = build(replace(network.config, mask_decoder=decoder))
    new.load_state_dict(network.state_dict(), assign=True)
    new.has_memory = network.has_memory
    return new.train(network.training)


def adapt(
    network: Network,
    config: NetworkConfig,
    *,
    first_conv: str,
    position_resampling: Resampling | None = None,
) -> Network:
    """A new network of sizes ``config`` with the weights of ``network``, whose encoder is a ViT.

    The number of input channels, the input's size and everything that no tensor depends on
    (dropout, means, the decoder's heads) may differ. Position encodings are interpolated as a ViT
    does by itself for images of another size; the first convolution is adapted by
    `adapt_channels`.

    Args:
        network: not changed.
        config: sizes of the new network.
        first_conv: name of the convolution that is applied to the image.
        position_resampling: of absolute positions; None is that of the new network.

    Raises:
        InputError: no ViT, or there is no such convolution.
        CheckpointKeysError: other tensors differ too.
    """
    encoder, wanted = network.config.image_encoder, config.image_encoder
    if not isinstance(encoder, ViTConfig) or not isinstance(wanted, ViTConfig):
        other = wanted if isinstance(encoder, ViTConfig) else encoder
        got = type(other).__name__.removesuffix("Config")
        raise InputError(f"expected a network with a ViT, got one with {got}")
    state = network.state_dict()
    weight = state.get(f"{first_conv}.weight")
    if weight is None or weight.ndim != 4:
        raise InputError(f"expected the name of the first convolution, got {shown(first_conv)}")
    state[f"{first_conv}.weight"] = adapt_channels(weight, wanted.in_channels)
    if network.config.image_size != config.image_size:
        mode = position_resampling or wanted.position_resampling
        _resize_positions(state, encoder.global_blocks, config, mode)
    with without_numbers():
        new = build(config)
    check_shapes("the given network", state, new.state_dict())
    new.load_state_dict({name: tensor.clone() for name, tensor in state.items()}, assign=True)
    return new.train(network.training)


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """A convolution's weight (D, C, h, w) for other channels -> (D, channels, h, w).

    A single channel is the sum over all, which gives a grey image the same response as before.
    More or fewer channels repeat the given ones, in order, scaled by C / channels, so that the
    response to an image of equal channels keeps its size.
    """
    count = weight.shape[1]
    if channels == count:
        return weight
    if channels == 1:
        return weight.sum(1, keepdim=True)
    repeated = weight[:, torch.arange(channels, device=weight.device) % count]
    return repeated * (count / channels)


def _resize_positions(
    state: dict[str, Tensor], global_blocks: tuple[int, ...], new: NetworkConfig, mode: Resampling
) -> None:
    """Interpolate the position encodings in a state dict to the new grid, in place."""
    rows, columns = (side // new.stride for side in new.image_size)
    positions = state["image_encoder.pos_embed"]
    resized = resize_positions(positions, (rows, columns), mode)
    state["image_encoder.pos_embed"] = resized.contiguous()
    for block in global_blocks:
        for axis, size in (("h", rows), ("w", columns)):
            name = f"image_encoder.blocks.{block}.attn.rel_pos_{axis}"
            if name in state:
                state[name] = resize_offsets(state[name], size).contiguous()
