"""Errors of usage, which exit with 2."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer

from samkit.errors import InputError

__all__ = ["as_usage_error", "check_choice", "usage_error"]

Choice = TypeVar("Choice", bound=str)


def usage_error(message: str, option: str | None = None) -> typer.BadParameter:
    """Wrong usage of the command, or of one option such as `--clicks`."""
    return typer.BadParameter(message, param_hint=option)


@contextmanager
def as_usage_error(option: str | None = None) -> Iterator[None]:
    """Turn an `InputError` in the block into an error of usage."""
    try:
        yield
    except InputError as error:
        raise usage_error(str(error), option) from None


def check_choice(value: str, choices: Collection[Choice], option: str) -> Choice:
    """The value, if it is one of the choices; otherwise an error of usage."""
    for choice in choices:
        if choice == value:
            return choice
    raise usage_error(f"expected one of {', '.join(choices)}, got {value}", option)
