"""Sizes in the ``config.json`` of transformers, read and written.

The tables of `samkit.weights.hugging_face_tables` are used in both directions. Options that only
one of the two libraries has raise errors.
"""

from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from samkit.errors import CheckpointError
from samkit.sizes import NetworkConfig
from samkit.weights.hugging_face_fields import Field, Implied, Table, expect
from samkit.weights.hugging_face_tables import NESTED, TABLES, kind_of

__all__ = ["config_from_json", "config_to_json"]

_Json = Mapping[str, Any]


def config_from_json(values: _Json, source: str = "config.json") -> NetworkConfig:
    """Sizes from a parsed ``config.json`` of SamModel, Sam2Model or Sam2VideoModel.

    Raises:
        CheckpointError: another kind of model, or an option that samkit has no network for.
    """
    try:
        kind = values.get("model_type")
        if kind in NESTED:
            values = values[NESTED[kind]]
            kind = values.get("model_type")
        if kind in TABLES:
            return _read(values, TABLES[kind])
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot understand {source}: {error}") from error
    expected = " or ".join(map(repr, [*TABLES, *NESTED]))
    raise CheckpointError(f"{source} describes a model of type {kind!r}; expected {expected}")


def _read(values: _Json, table: Table) -> NetworkConfig:
    for theirs, want in table.fixed.items():
        expect(theirs, _find(values, theirs, want), want)
    config = table.start
    for row in table.rows:
        got = _find(values, row.theirs, row.default)
        if isinstance(row, Field):
            config = _replaced(config, row.ours, row.convert[0](got, config))
        elif row.default is not None:
            expect(row.theirs, got, row.of(config))
    return config


def _find(values: _Json, theirs: str, default: object) -> Any:
    *parts, name = theirs.split(".")
    for part in parts:
        values = values.get(part) or {}
    return values.get(name, default)


def _replaced(config: Any, ours: str, value: object) -> Any:
    """A config with another value of the attribute at a dotted path."""
    name, _, rest = ours.partition(".")
    return replace(
        config, **{name: _replaced(getattr(config, name), rest, value) if rest else value}
    )


def config_to_json(config: NetworkConfig, *, memory: bool, dtype: str) -> dict[str, Any]:
    """The ``config.json`` of these sizes; SAM 2 without its memory becomes a Sam2Model.

    Raises:
        CheckpointError: transformers has no such network.
    """
    kind = kind_of(config, memory=memory)
    table = TABLES[kind]
    reasons = [reason for ours, want, reason in table.limits if attrgetter(ours)(config) != want]
    if config.image_size[0] != config.image_size[1]:
        reasons.append(f"it needs square images, not {config.image_size}")
    if own := config.unpublished_features:
        reasons.append(f"it lacks samkit's own additions: {', '.join(own)}")
    if reasons:
        raise CheckpointError(f"transformers has no such network: {'; '.join(reasons)}")
    values = {"architectures": [table.architecture], "model_type": kind, "dtype": dtype}
    for row in table.rows:
        *parts, name = row.theirs.split(".")
        target: dict[str, Any] = values
        for part in parts:
            target = target.setdefault(part, {})
        if isinstance(row, Implied):
            target[name] = row.of(config)
        elif row.written:
            target[name] = row.convert[1](attrgetter(row.ours)(config), config)
    return values
