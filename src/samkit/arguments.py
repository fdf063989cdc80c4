"""Numbers and switches that a caller gives."""

from operator import index as as_index

import numpy as np

from samkit.errors import InputError, shown

__all__ = ["checked_text", "switch", "whole_number"]

_INT64 = np.iinfo(np.int64)


def whole_number(name: str, value: object, least: int | None = None) -> int:
    """An integer of any kind, also numpy's, but no bool; at least `least`, and of 64 bits.

    Raises:
        InputError: anything else.
    """
    try:
        number = as_index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError, OverflowError):
        number = None
    if number is None or isinstance(value, bool) or (least is not None and number < least):
        bound = "" if least is None else f" from {least} on"
        raise InputError(f"{name}: expected a whole number{bound}, got {shown(value)}")
    if not _INT64.min <= number <= _INT64.max:
        raise InputError(f"{name}: expected a number of 64 bits, got {shown(value)}")
    return number


def switch(name: str, value: object) -> bool:
    """True or False, also numpy's, or 1 or 0.

    Raises:
        InputError: anything else, such as "no", which Python counts as true.
    """
    if not (isinstance(value, (bool, np.bool_)) or (type(value) is int and value in (0, 1))):
        raise InputError(f"{name}: expected True or False, got {shown(value)}")
    return bool(value)


def checked_text(name: str, value: object) -> str:
    """A text that UTF-8 can hold.

    Raises:
        InputError: anything else.
    """
    if not isinstance(value, str) or any("\ud800" <= one <= "\udfff" for one in value):
        raise InputError(f"{name}: expected a text, got {shown(value)}")
    return value
