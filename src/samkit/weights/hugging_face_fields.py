"""What the tables of transformers' models consist of: fields, and how values are converted."""

# Rows are lines of any length.
# ruff: noqa: E501

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from samkit.errors import CheckpointError
from samkit.sizes import NetworkConfig
from samkit.weights.infer import ratio

__all__ = [
    "FIRST",
    "HIDDEN",
    "LIST",
    "NEAREST",
    "PAIR",
    "PATCHES",
    "SIDE",
    "SQUARED",
    "THETA",
    "Field",
    "Implied",
    "Table",
    "expect",
]

_Convert = tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]
"""(their value, sizes read so far) -> our value, and (our value, all sizes) -> their value."""


def expect(theirs: str, got: object, want: object) -> None:
    """Check the value of a field.

    Raises:
        CheckpointError: it is another one.
    """
    if got != want:
        raise CheckpointError(f"expected {theirs}={want!r}, got {theirs}={got!r}")


def _pair(value: int | list[int]) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int) else value
    return height, width


def _hidden(config: Any) -> int:
    return int(config.image_encoder.dim * config.image_encoder.mlp_ratio)


def _doubled(heads: int, config: Any) -> list[int]:
    return [heads * 2**i for i in range(len(config.image_encoder.stages))]


def _first(heads: list[int], config: Any) -> int:
    expect("num_attention_heads_per_stage", heads, _doubled(heads[0], config))
    return heads[0]


# fmt: off
SAME: _Convert = (lambda value, _: value, lambda value, _: value)
LIST: _Convert = (lambda value, _: tuple(value), lambda value, _: list(value))
PAIR: _Convert = (lambda value, _: _pair(value), lambda value, _: list(value))
SIDE: _Convert = (lambda value, _: _pair(value), lambda value, _: value[0])
HIDDEN: _Convert = (lambda value, c: ratio(c.image_encoder.dim, _hidden(c) if value is None else value), lambda _, c: _hidden(c))
THETA: _Convert = (lambda value, c: float(c.memory.rope_theta if value is None else value), lambda value, _: value)
FIRST: _Convert = (_first, _doubled)
# -1 is all of them.
NEAREST: _Convert = (lambda value, _: max(value, 0), lambda value, _: value or -1)
# Pixels, of which a patch is one position.
PATCHES: _Convert = (
    lambda value, c: tuple(side // c.image_encoder.patch_size for side in _pair(value)),
    lambda value, c: value[0] * c.image_encoder.patch_size,
)
SQUARED: _Convert = (lambda value, _: math.isqrt(value), lambda value, _: value**2)
# fmt: on


@dataclass(frozen=True)
class Field:
    """A size that both have, with the default of transformers."""

    ours: str
    theirs: str
    default: object
    convert: _Convert = SAME
    written: bool = True


@dataclass(frozen=True)
class Implied:
    """A field of theirs that our sizes imply: a constant or a function of them.

    It is written, and checked on reading if the row has the default of transformers.
    """

    theirs: str
    value: object
    default: object = None

    def of(self, config: NetworkConfig) -> object:
        return self.value(config) if callable(self.value) else self.value


@dataclass(frozen=True, kw_only=True)
class Table:
    """One type of model.

    Attributes:
        architecture: the class in transformers.
        start: our sizes where no row says otherwise.
        rows: in the order in which they are read and written; a later one overrides.
        fixed: their options that ours lack; they must be absent or have this value.
        limits: our options that theirs lack: (name, value, reason).
    """

    architecture: str
    start: NetworkConfig
    rows: tuple[Field | Implied, ...]
    fixed: dict[str, object]
    limits: tuple[tuple[str, object, str], ...]
