"""Sizes as plain JSON values, and back."""

from dataclasses import asdict, fields, is_dataclass
from typing import Any

from samkit.sizes.image_encoders import (
    EfficientNetLiteConfig,
    EfficientViTConfig,
    HieraConfig,
    ImageEncoderConfig,
    PeViTConfig,
    PlainViTConfig,
    RepViTConfig,
    RepViTSamConfig,
    TinyViTConfig,
    ViTConfig,
)
from samkit.sizes.networks import NetworkConfig, Sam2Config, Sam3Config, Sam31Config, SamConfig
from samkit.sizes.parts import MaskDecoderConfig, MemoryConfig, PromptEncoderConfig

__all__ = ["differences", "from_dict", "to_dict"]

_ENCODERS_BY_KIND: dict[str, type[ImageEncoderConfig]] = {
    cls.kind: cls
    for cls in (
        EfficientNetLiteConfig,
        EfficientViTConfig,
        HieraConfig,
        PeViTConfig,
        PlainViTConfig,
        RepViTConfig,
        RepViTSamConfig,
        TinyViTConfig,
        ViTConfig,
    )
}
_FAMILIES: dict[str, type[NetworkConfig]] = {
    cls.family: cls for cls in (SamConfig, Sam2Config, Sam3Config, Sam31Config)
}
_PARTS: dict[str, type[Any]] = {
    "prompt_encoder": PromptEncoderConfig,
    "mask_decoder": MaskDecoderConfig,
    "memory": MemoryConfig,
}


def differences(config: NetworkConfig) -> dict[str, Any]:
    """What sizes have other than by default, as JSON values: an option added later is not in it."""
    encoder = config.image_encoder
    return {
        "family": config.family,
        "kind": encoder.kind,
        **_differences(config),
        "image_encoder": _differences(encoder),
    }


def to_dict(config: NetworkConfig) -> dict[str, Any]:
    """Sizes as plain JSON values."""
    values = asdict(config)
    values["image_encoder"]["kind"] = config.image_encoder.kind
    return {**values, "family": config.family}


def from_dict(values: dict[str, Any]) -> NetworkConfig:
    """The inverse of `to_dict`; lists become tuples.

    Raises:
        KeyError, TypeError: a field is missing or unknown.
    """
    values = {name: _tuples(value) for name, value in values.items()}
    encoder = dict(values.pop("image_encoder"))
    values["image_encoder"] = _ENCODERS_BY_KIND[encoder.pop("kind")](**encoder)
    family = _FAMILIES[values.pop("family")]
    for name in _PARTS.keys() & {each.name for each in fields(family)}:
        values[name] = _PARTS[name](**values[name])
    return family(**values)


def _differences(part: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in fields(part):
        value = getattr(part, each.name)
        if value != each.default:
            values[each.name] = _differences(value) if is_dataclass(value) else value
    return values


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value
