"""The model of a predictor."""

from pathlib import Path
from typing import Any

from samkit.compat.networks import network_of
from samkit.compat.ultralytics.settings import Settings, device_name, input_size, model_source
from samkit.errors import InputError
from samkit.image_predictor import ImagePredictor
from samkit.image_predictor.loading import detector_of
from samkit.sizes import NetworkConfig
from samkit.weights import MODELS, load_network
from samkit.weights.adapting import with_input_size

__all__ = ["load_core"]


def load_core(model: Any, settings: Settings, *, needs_sam2: bool = False) -> ImagePredictor:
    """samkit's predictor for a model, with the device and input size of the settings.

    Args:
        model: a network of samkit, an `ImagePredictor`, or a name or checkpoint.
        settings: device, half and imgsz are used.
        needs_sam2: refuse SAM; a known name is refused before it is downloaded.

    Raises:
        UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
        InputError: not a model, not the kind that is needed, or an unknown device.
    """
    detector = None
    if isinstance(model, (str, Path)):
        source = model_source(model)
        if needs_sam2 and source in MODELS:
            _check_sam2(MODELS[str(source)].config)
        model = load_network(source)
        detector = detector_of(source, model.config)
    network = network_of(model, "a name or a network")
    if needs_sam2:
        _check_sam2(network.config)
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


def _check_sam2(config: NetworkConfig) -> None:
    if not config.has_memory:
        raise InputError("model: expected SAM 2, got SAM; Predictor runs it, on images")
