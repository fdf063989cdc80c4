"""Networks by the names of Meta's configuration files, or by those of samkit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from samkit.compat.networks import loaded, with_weights
from samkit.errors import InputError, UnknownModelError, shown
from samkit.image_predictor.device import find_device
from samkit.nn import Network
from samkit.weights import MODELS
from samkit.weights.adapting import without_dynamic_multimask

__all__ = ["FILLED_HOLES", "configured", "pretrained"]

FILLED_HOLES = 8
"""The largest holes, in cells of the low-resolution masks, that `apply_postprocessing` fills in
video."""

_NAMES = {
    f"{family}_hiera_{letter}": f"{family}-{size}"
    for family in ("sam2", "sam2.1")
    for letter, size in (("t", "tiny"), ("s", "small"), ("b+", "base-plus"), ("l", "large"))
}
"""Configuration files without their folder and suffix -> names of samkit's models."""


def configured(
    config_file: str,
    ckpt_path: str | Path | None,
    *,
    device: str | torch.device,
    mode: str,
    overrides: Sequence[str],
    apply_postprocessing: bool,
) -> Network:
    """A network for the arguments of `build_sam2`.

    Raises:
        UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
        InputError: weights of another network, an unknown mode or device, or overrides.
    """
    _check_mode(mode)
    if overrides:
        raise InputError(
            "hydra_overrides_extra: expected none, because there is no Hydra here, "
            f"got {shown(overrides)}; options are arguments of the predictors"
        )
    place = find_device(device)  # before a long download
    name, checkpoint = _named(config_file), ckpt_path
    if checkpoint is None and config_file in MODELS:
        checkpoint = config_file
    network = with_weights(name, checkpoint)
    if not apply_postprocessing:
        network = without_dynamic_multimask(network)
    return network.to(place).train(mode == "train")


def pretrained(
    model_id: str, *, device: str | torch.device, mode: str, apply_postprocessing: bool
) -> Network:
    """A network of a repository on the Hugging Face hub, or of whatever else `samkit.load` takes.

    Raises:
        UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
        InputError: an unknown mode or device.
    """
    _check_mode(mode)
    network = loaded(model_id, device)
    if not apply_postprocessing:
        network = without_dynamic_multimask(network)
    return network.train(mode == "train")


def _check_mode(mode: object) -> None:
    if mode not in ("eval", "train"):
        raise InputError(f"mode: expected eval or train, got {shown(mode)}")


def _named(config_file: Any) -> str:
    """The registered name of a configuration file, or of itself."""
    if not isinstance(config_file, str):
        raise InputError(f"config_file: expected a name, got {type(config_file).__name__}")
    stem = config_file.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".yaml")
    name = _NAMES.get(stem, config_file)
    if name not in MODELS:
        raise UnknownModelError(
            f"config_file: expected one of {', '.join(f'{one}.yaml' for one in _NAMES)}, or a "
            f"model of samkit ({', '.join(MODELS)}), got {shown(config_file)}"
        )
    return name
