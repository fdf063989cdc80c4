"""Networks and predictors from what a caller gives as a model."""

import os
from pathlib import Path
from typing import Any

import torch

from samkit.errors import InputError
from samkit.image_predictor import ImagePredictor
from samkit.image_predictor.device import find_device
from samkit.nn import Network, build
from samkit.weights import MODELS, load_network

__all__ = ["loaded", "network_of", "predictor_of", "with_weights"]


def network_of(
    model: Any, expected: str = "a network or an ImagePredictor (samkit.load gives one)"
) -> Network:
    """The network of a network or an `ImagePredictor`.

    Args:
        model: one of them.
        expected: what an error message says was expected.

    Raises:
        InputError: neither of them.
    """
    if isinstance(model, ImagePredictor):
        return model.network
    if not isinstance(model, Network):
        raise InputError(f"model: expected {expected}, got {type(model).__name__}")
    return model


def predictor_of(model: Any) -> ImagePredictor:
    """A predictor for a network, on its device and in float32; an `ImagePredictor` as it is.

    Raises:
        InputError: neither of them.
    """
    if isinstance(model, ImagePredictor):
        return model
    network = network_of(model)
    device = network.mask_decoder.iou_token.weight.device
    return ImagePredictor(network, device=device, dtype="float32")


def loaded(source: str | Path, device: str | torch.device = "auto") -> Network:
    """A network from whatever `samkit.load` takes, on a device.

    Raises:
        UnknownModelError, CheckpointError, DownloadError, InputError: as of `samkit.load`.
    """
    place = find_device(device)  # before a long download
    return load_network(source).to(place)


def with_weights(name: str, checkpoint: str | Path | None) -> Network:
    """The network of a registered name with other weights, on the CPU.

    Args:
        name: of samkit.
        checkpoint: whatever `samkit.load` takes. One of samkit's own names says by itself which
            network it is, so it need not be `name`. None: random weights.

    Raises:
        UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
        InputError: the weights are of another network, or no name or path.
    """
    expected = MODELS[name].config
    if checkpoint is None:
        return build(expected).eval()
    if not isinstance(checkpoint, (str, os.PathLike)):
        kind = type(checkpoint).__name__
        raise InputError(f"checkpoint: expected a file or the name of a model, got {kind}")
    network = load_network(checkpoint)
    named = str(checkpoint) in MODELS
    if not named and network.config.image_encoder != expected.image_encoder:
        raise InputError(
            f"checkpoint: expected weights of {name}, got those of a network with another image "
            f"encoder: {network.config.image_encoder}"
        )
    return network
