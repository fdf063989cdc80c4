"""Models by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samkit.compat.tfimm.config import SegmentAnythingModelConfig, core_config, described_by
from samkit.compat.tfimm.model import SegmentAnythingModel
from samkit.errors import ImageError, UnknownModelError
from samkit.weights import find_model

__all__ = ["create_model", "create_preprocessing", "list_models"]

_NAMES = ("sam_vit_b", "sam_vit_h", "sam_vit_l")


def list_models() -> list[str]:
    """Names that `create_model` knows.

    >>> list_models()
    ['sam_vit_b', 'sam_vit_h', 'sam_vit_l']
    """
    return list(_NAMES)


def create_model(
    model_name: str,
    pretrained: bool = False,
    model_path: str | Path = "",
    *,
    in_channels: int | None = None,
    input_size: tuple[int, int] | None = None,
    fixed_input_size: bool | None = None,
) -> SegmentAnythingModel:
    """A model by name.

    Other fields of its config: ``SegmentAnythingModel.from_pretrained(source, cfg)``.

    Args:
        model_name: "sam_vit_b", "sam_vit_l" or "sam_vit_h".
        pretrained: load the released weights, which are downloaded at first use, verified and kept.
        model_path: load these weights instead: a checkpoint file or folder.
        in_channels, input_size, fixed_input_size: other values for these fields of the config.

    Raises:
        UnknownModelError: there is no such model.
        DownloadError, CheckpointError: the weights could not be fetched or do not fit.
        InputError: a value that is not valid.
    """
    changes: dict[str, Any] = {
        "in_channels": in_channels,
        "input_size": input_size,
        "fixed_input_size": fixed_input_size,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    cfg = replace(_config(model_name), **given)
    if not pretrained and not model_path:
        return SegmentAnythingModel(cfg)
    return SegmentAnythingModel.from_pretrained(model_path or cfg.url, cfg)


def create_preprocessing(
    model_name: str, *, in_channels: int | None = None
) -> Callable[[ArrayLike], NDArray[np.float32]]:
    """A function from pixels 0..255 to normalised pixels, as a model takes them.

    It takes (..., C) and gives float32 of the same shape.

    Raises:
        UnknownModelError: there is no such model.
    """
    cfg = _config(model_name)
    if in_channels is not None:
        cfg = replace(cfg, in_channels=in_channels)
    config = core_config(cfg)
    mean, std = np.array(config.mean, np.float32), np.array(config.std, np.float32)

    def preprocess(image: ArrayLike) -> NDArray[np.float32]:
        array = np.asarray(image)
        if array.dtype.kind not in "iuf" or array.shape[-1:] != mean.shape:
            raise ImageError(
                f"image: expected numbers of shape (..., {len(mean)}), "
                f"got {array.dtype} of shape {array.shape}"
            )
        normalised = (array.astype(np.float32) / 255 - mean) / std
        return normalised.astype(np.float32, copy=False)

    return preprocess


def _config(name: str) -> SegmentAnythingModelConfig:
    if name not in _NAMES:
        raise UnknownModelError(f"no model is called {name!r}; names: {', '.join(_NAMES)}")
    model = find_model(name.replace("_", "-"))
    default = SegmentAnythingModelConfig()
    return replace(
        described_by(model.config),
        name=name,
        url=model.url or "",
        # The same numbers in float32, without the digits that dividing by 255 brings.
        mean=default.mean,
        std=default.std,
    )
