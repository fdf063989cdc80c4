"""The `overrides` of a predictor, and their meaning in samkit."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch

from samkit.errors import InputError, shown
from samkit.files import checked_path
from samkit.weights.registry import name_elsewhere

__all__ = [
    "DEFAULT_CFG",
    "Settings",
    "device_name",
    "input_size",
    "model_source",
    "read_settings",
]


@dataclass(kw_only=True)
class Settings:
    """Settings of a predictor, its `args`.

    Attributes:
        task, mode, batch, retina_masks: fixed; other values are replaced.
        model: a name or a checkpoint, see `model_source`; None for the predictor's default.
        imgsz: size of the network's input, one number or (h, w), rounded up to what the network
            can take; None for the size it was trained at.
        device: such as "cpu", "cuda:0", 0 or "0"; None for the fastest.
        half: run the image encoder in float16.
        conf: the score from which a mask is `Results.confident`. No mask is left out.
        iou: of masks of one crop whose boxes overlap more than this, everything mode keeps one.
        save: write a picture of each result.
        project, name: the folder for them, ``project/name``, by default ``runs/segment/predict``;
            a number is added where it exists.
        verbose: print a line for each result.
    """

    task: str = "segment"
    mode: str = "predict"
    batch: int = 1
    model: Any = None
    imgsz: Any = None
    device: Any = None
    half: bool = False
    conf: float = 0.25
    iou: float = 0.7
    retina_masks: bool = True
    save: bool = False
    project: str | Path | None = None
    name: str | None = None
    verbose: bool = True


DEFAULT_CFG = Settings()
"""The default settings."""


def read_settings(cfg: Any, overrides: Mapping[str, Any] | None) -> Settings:
    """New settings: those of `cfg` (`Settings`, a mapping or a namespace), with `overrides`.

    Raises:
        InputError: an unknown key, or a value that is out of range.
    """
    settings = replace(cfg) if isinstance(cfg, Settings) else _changed(Settings(), cfg, "cfg")
    settings = _changed(settings, {} if overrides is None else overrides, "overrides")
    input_size(settings.imgsz)
    for name in ("conf", "iou"):
        value = getattr(settings, name)
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= 1:  # type: ignore[operator]
            raise InputError(f"{name}: expected a number from 0 to 1, got {shown(value)}")
    for name in ("half", "save", "verbose"):
        if not isinstance(getattr(settings, name), bool):
            raise InputError(
                f"{name}: expected True or False, got {shown(getattr(settings, name))}"
            )
    for name in ("project", "name"):
        value = getattr(settings, name)
        if not (value is None or (isinstance(value, str) and not value)):
            checked_path(value, name)
    return replace(settings, task="segment", mode="predict", batch=1, retina_masks=True)


def model_source(model: str | Path) -> str | Path:
    """The `model` as an argument of `samkit.load`: an existing file, else samkit's name for it.

    >>> model_source("sam2.1_b.pt"), model_source("pico")
    ('sam2.1-base-plus', 'pico')
    """
    if os.path.exists(model):
        return model
    return name_elsewhere(str(model)) or model


def device_name(device: Any) -> str | torch.device:
    """The name of a device in torch. Numbers are GPUs.

    >>> device_name(None), device_name("0"), device_name("cpu")
    ('auto', 'cuda:0', 'cpu')
    """
    if device is None or device == "":
        return "auto"
    if isinstance(device, Integral) or (isinstance(device, str) and device.isdecimal()):
        return f"cuda:{int(device)}"
    if isinstance(device, (str, torch.device)):
        return device
    raise InputError(f"device: expected a name or the number of one GPU, got {shown(device)}")


def input_size(imgsz: Any) -> tuple[int, int] | None:
    """`imgsz` as (height, width).

    Raises:
        InputError: neither a positive whole number nor two of them.
    """
    if imgsz is None:
        return None
    sides = list(imgsz) if isinstance(imgsz, (list, tuple)) else [imgsz]
    whole = all(isinstance(side, Integral) and not isinstance(side, bool) for side in sides)
    if not whole or len(sides) not in (1, 2) or min(sides) < 1:
        raise InputError(f"imgsz: expected a whole number or (height, width), got {shown(imgsz)}")
    return int(sides[0]), int(sides[-1])


def _changed(settings: Settings, values: Any, what: str) -> Settings:
    if not isinstance(values, Mapping):
        if isinstance(values, (str, Path)) or not hasattr(values, "__dict__"):
            kind = type(values).__name__
            raise InputError(f"{what}: expected a dict or a namespace of settings, got {kind}")
        values = vars(values)
    known = [field.name for field in fields(Settings)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise InputError(f"{what}: expected some of {', '.join(known)}, got {shown(unknown[0])}")
    return replace(settings, **values)
