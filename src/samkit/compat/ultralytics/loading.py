"""The model of a predictor."""

from pathlib import Path
from typing import Any

from samkit.compat.networks import network_of
from samkit.compat.ultralytics.settings import Settings, device_name, input_size, model_source
from samkit.errors import InputError
from samkit.image_predictor import ImagePredictor
from samkit.image_predictor.loading import detector_of
from samkit.memory.arguments import check_memory
from samkit.sizes import NetworkConfig, Sam2Config, Sam3Config
from samkit.weights import MODELS, load_network
from samkit.weights.adapting import with_input_size

__all__ = ["load_core"]


def load_core(
    model: Any,
    settings: Settings,
    *,
    kind: type[Sam2Config] | None = None,
    needs_memory: bool = False,
) -> ImagePredictor:
    """samkit's predictor for a model, with the device and input size of the settings.

    Args:
        model: a network of samkit, an `ImagePredictor`, or a name or checkpoint.
        settings: device, half and imgsz are used.
        kind: refuse networks whose sizes are of no such class; None takes all.
        needs_memory: refuse networks that never have a memory. A known name is refused before it is
            downloaded.

    Raises:
        UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
        InputError: not a model, not the kind that is needed, or an unknown device.
    """
    detector = None
    if isinstance(model, (str, Path)):
        source = model_source(model)
        if source in MODELS:
            _check(MODELS[str(source)].config, kind, needs_memory)
        model = load_network(source)
        detector = detector_of(source, model.config)
    network = network_of(model, "a name or a network")
    _check(network.config, kind, needs_memory)
    if len(network.config.mean) != 3:
        raise InputError(f"model: expected one for colour images, got {len(network.config.mean)}")
    size = input_size(settings.imgsz)
    if size is not None:
        step = network.config.input_step
        height, width = (-(-side // step) * step for side in size)
        network = with_input_size(network, (height, width))
    return ImagePredictor(
        network,
        device=device_name(settings.device),
        dtype="float16" if settings.half else "float32",
        detector=detector,
    )


def _check(config: NetworkConfig, kind: type[Sam2Config] | None, needs_memory: bool) -> None:
    if kind is not None and not isinstance(config, kind):
        expected = "SAM 3" if kind is Sam3Config else "SAM 2"
        got, other = "SAM", "Predictor"
        if isinstance(config, Sam2Config):
            got, other = "SAM 2", "SAM2Predictor"
        raise InputError(f"model: expected {expected}, got {got}; {other} runs it, on images")
    if needs_memory:
        check_memory(config, "this predictor")
