"""Whether values have the types and ranges of sizes."""

from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["check_types"]

# Far above that of any published network.
_LARGEST = 2**16


def check_types(name: str, part: Any) -> None:
    """Raise ValueError where a field has another type than its default, or is out of range."""
    for each in fields(part):
        value, path = getattr(part, each.name), f"{name}.{each.name}".lstrip(".")
        if is_dataclass(value):
            check_types(path, value)
            continue
        if not isinstance(each.default, tuple):
            _check_value(path, value, each.default)
        elif not isinstance(value, tuple):
            raise ValueError(f"{path}: expected several numbers, got {value!r}")
        else:
            for one in value:
                _check_value(path, one, each.default[0] if each.default else 0)


def _check_value(name: str, value: object, like: object) -> None:
    kinds = (int, float) if isinstance(like, float) else (type(like),)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(like, bool):
        raise ValueError(f"{name}: expected a value such as {like!r}, got {value!r}")
    if isinstance(value, (int, float)):
        low = -_LARGEST if name.endswith(("sigmoid_bias", "mean")) else 0
        if not low <= value <= _LARGEST:
            raise ValueError(f"{name}: expected a number from {low} to {_LARGEST}, got {value!r}")
        if name.endswith(("dropout", "drop_path")) and value >= 1:
            raise ValueError(f"{name}: expected a rate below 1, got {value!r}")
