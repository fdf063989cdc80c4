"""Models by name."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samkit.compat.arrays import array_of
from samkit.compat.tfimm.config import SegmentAnythingModelConfig, core_config, described_by
from samkit.compat.tfimm.model import SegmentAnythingModel
from samkit.errors import ImageError, InputError, UnknownModelError, shown
from samkit.weights import find_model

__all__ = ["create_model", "create_preprocessing", "list_models"]

_NAMES = ("sam_vit_b", "sam_vit_h", "sam_vit_l")
_MODULE = "sam"
_FIELDS = tuple(field.name for field in fields(SegmentAnythingModelConfig))


def list_models(
    name_filter: str | Sequence[str] = "",
    module: str = "",
    pretrained: bool | str = False,
    exclude_filters: str | Sequence[str] = "",
) -> list[str]:
    """Names that `create_model` knows, in order.

    Args:
        name_filter: patterns such as "sam*"; a name has to match one of them. Empty for all.
        module: only models of this part of tfimm; these are of "sam".
        pretrained: only models with released weights, which all have; "timm" for those with weights
            in timm, which none has.
        exclude_filters: patterns of names to leave out.

    Raises:
        InputError: a filter that is no text.

    >>> list_models()
    ['sam_vit_b', 'sam_vit_h', 'sam_vit_l']
    >>> list_models("*vit*", exclude_filters=["*_h", "*_l"])
    ['sam_vit_b']
    """
    wanted = _patterns(name_filter, "name_filter") or ("*",)
    unwanted = _patterns(exclude_filters, "exclude_filters")
    if module not in ("", _MODULE) or pretrained == "timm":
        return []
    return [name for name in _NAMES if _matches(name, wanted) and not _matches(name, unwanted)]


def create_model(
    model_name: str,
    pretrained: bool = False,
    model_path: str | Path = "",
    *,
    in_channels: int | None = None,
    nb_classes: int | None = None,
    **changes: Any,
) -> SegmentAnythingModel:
    """A model by name.

    Args:
        model_name: "sam_vit_b", "sam_vit_l" or "sam_vit_h".
        pretrained: load the released weights, which are downloaded at first use, verified and kept.
        model_path: load these weights instead: a checkpoint file or folder.
        in_channels: of the images; None for the model's own.
        nb_classes: has no effect, as SAM has no classes.
        changes: other values for fields of `SegmentAnythingModelConfig`; None changes nothing.

    Raises:
        UnknownModelError: there is no such model.
        DownloadError, CheckpointError: the weights could not be fetched or do not fit.
        InputError: a value that is not valid, or no field has this name.
    """
    unknown = sorted(changes.keys() - set(_FIELDS))
    if unknown:
        raise InputError(f"expected fields of the config, {', '.join(_FIELDS)}; got {unknown}")
    changes["in_channels"] = in_channels
    given = {name: value for name, value in changes.items() if value is not None}
    cfg = replace(_config(model_name), **given)
    if not pretrained and not model_path:
        return SegmentAnythingModel(cfg)
    return SegmentAnythingModel.from_pretrained(model_path or cfg.url, cfg)


def create_preprocessing(
    model_name: str, *, in_channels: int | None = None, dtype: Any = None
) -> Callable[[ArrayLike], NDArray[Any]]:
    """A function from pixels 0..255 to normalised pixels, as a model takes them.

    It takes (..., C) and gives floats of the same shape.

    Args:
        model_name: as for `create_model`.
        in_channels: C; None for the model's own.
        dtype: of the result, such as "float64"; None for float32.

    Raises:
        UnknownModelError: there is no such model.
        InputError: a dtype that is none of floats, or an impossible number of channels.
    """
    cfg = _config(model_name)
    if in_channels is not None:
        cfg = replace(cfg, in_channels=in_channels)
    wanted = _float_dtype(dtype)
    # Half precision is too coarse to compute in.
    exact = np.promote_types(wanted, np.float32)
    config = core_config(cfg)
    mean, std = np.array(config.mean, exact), np.array(config.std, exact)

    def preprocess(image: ArrayLike) -> NDArray[Any]:
        array = array_of(image, "image", ImageError)
        if array.dtype.kind not in "iuf" or array.shape[-1:] != mean.shape:
            raise ImageError(
                f"image: expected numbers of shape (..., {len(mean)}), "
                f"got {array.dtype} of shape {array.shape}"
            )
        normalised: NDArray[Any] = (array.astype(exact) / 255 - mean) / std
        return normalised.astype(wanted, copy=False)

    return preprocess


def _patterns(value: str | Sequence[str], what: str) -> tuple[str, ...]:
    patterns = (value,) if isinstance(value, str) else value
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(p, str) for p in patterns):
        raise InputError(f"{what}: expected a pattern or a list of them, got {shown(value)}")
    return tuple(filter(None, patterns))


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _float_dtype(dtype: Any) -> np.dtype[Any]:
    if dtype is None:
        return np.dtype(np.float32)
    try:
        # The attribute is TensorFlow's.
        found: np.dtype[Any] = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
    except (TypeError, ValueError):
        found = np.dtype(object)
    if found.kind != "f":
        raise InputError(f"dtype: expected one of floats, such as 'float32', got {shown(dtype)}")
    return found


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
