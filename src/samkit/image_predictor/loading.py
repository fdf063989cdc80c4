"""Predictors by name, file, folder or Hugging Face id."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from samkit import weights
from samkit.errors import InputError, shown
from samkit.image_predictor.device import dtype_of, find_device, find_dtype, place_network
from samkit.image_predictor.predictor import ImagePredictor
from samkit.nn.detector import Detector
from samkit.runtimes import MANIFEST, RUNTIMES, Runtime, is_export, load_exported, open_folder
from samkit.sizes import NetworkConfig, PeViTConfig, Sam3Config

__all__ = ["detector_of", "load"]


def load(
    model: str | Path = "pico",
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    runtime: Runtime | None = None,
) -> ImagePredictor:
    """A predictor by name, file, folder or Hugging Face id.

    Args:
        model: a name of `samkit models` ("pico" is part of samkit and needs no download), a
            checkpoint file (.pt, .pth, .safetensors), a folder in Hugging Face's layout, a
            repository id ("facebook/sam2.1-hiera-tiny") or a folder of `samkit.export`.
        device, dtype: as in `ImagePredictor`; an export runs on the CPU in float32.
        runtime: what runs an export, with as many threads as torch has now: "onnx" (onnxruntime,
            the default) or "openvino".

    Raises:
        UnknownModelError: nothing has this name; the nearest is suggested.
        CheckpointError: the file is no checkpoint of a known family, or does not fit.
        DownloadError: the weights could not be fetched or verified.
        InputError: the device, dtype or runtime is unknown or not available.
        MissingDependencyError: what runs the export is not installed.
    """
    if is_export(model) and str(model) not in weights.MODELS:
        return _exported(model, device, dtype, "onnx" if runtime is None else runtime)
    if runtime is not None:
        raise InputError(
            f"runtime: expected the folder of an export, with its {MANIFEST}, got "
            f"{shown(str(model))}; `samkit export MODEL -o DIR` writes one"
        )
    place = find_device(device)
    find_dtype(dtype, place)  # before a long download
    network = weights.load_network(model)
    predictor = ImagePredictor(
        network, device="cpu", dtype="float32", detector=detector_of(model, network.config)
    )
    # Nothing else uses the network, so it is changed and not copied.
    predictor.device, predictor.dtype = place, dtype_of(predictor.network, dtype, place)
    place_network(predictor.network, predictor.device, predictor.dtype)
    return predictor


def detector_of(model: str | Path, config: NetworkConfig) -> Callable[[], Detector] | None:
    """What loads the detector of a network, if such a network has one."""
    encoder = config.image_encoder
    if not isinstance(config, Sam3Config) or not isinstance(encoder, PeViTConfig):
        return None
    return partial(weights.load_detector, model, config.dim, encoder.dim)


def _exported(
    folder: str | Path, device: str | torch.device, dtype: str | torch.dtype, runtime: Runtime
) -> ImagePredictor:
    if str(device).partition(":")[0] not in ("auto", "cpu"):
        raise InputError(f"device: an export runs on the CPU, got {shown(device)}")
    if dtype != "auto" and find_dtype(dtype, torch.device("cpu")) != torch.float32:
        raise InputError(f"dtype: an export runs in float32, got {shown(dtype)}")
    if runtime not in RUNTIMES:
        raise InputError(f"runtime: expected one of {', '.join(RUNTIMES)}, got {shown(runtime)}")
    network = load_exported(open_folder(folder), runtime)
    return ImagePredictor(network, device="cpu", dtype="float32")
