"""The model that a predictor's settings name."""

from pathlib import Path
from typing import Any

from samkit.compat.ultralytics.settings import Settings, device_name, input_size, model_source
from samkit.errors import InputError
from samkit.image_predictor import ImagePredictor
from samkit.nn import Sam, Sam2
from samkit.weights import load_network
from samkit.weights.input_size import input_step, with_input_size

__all__ = ["load_core"]


def load_core(model: Any, settings: Settings) -> ImagePredictor:
    """A predictor of samkit on the device, and for the input size, that the settings name.

    Args:
        model: a network of samkit, an `ImagePredictor`, or a name or checkpoint.
        settings: of them device, half and imgsz count.

    Raises:
        UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
        InputError: the model or the device is nothing of the kind.
    """
    if isinstance(model, ImagePredictor):
        model = model.network
    if isinstance(model, (str, Path)):
        model = load_network(model_source(model))
    if not isinstance(model, (Sam, Sam2)):
        raise InputError(f"model: expected a name or a network, got {type(model).__name__}")
    if len(model.config.mean) != 3:
        raise InputError(f"model: expected one for colour images, got {len(model.config.mean)}")
    size = input_size(settings.imgsz)
    if size is not None:
        step = input_step(model)
        height, width = (-(-side // step) * step for side in size)
        model = with_input_size(model, (height, width))
    return ImagePredictor(
        model,
        device=device_name(settings.device),
        dtype="float16" if settings.half else "float32",
    )
