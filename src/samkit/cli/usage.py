"""Errors of usage, which exit with 2.

They are what can be said of the command line before any work: an option or value that a command
does not have, options that do not go together, a name that no input and no model has, a prompt
that means nothing. Whatever fails later, or because of what a file holds, exits with 1.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import typer

from samkit.errors import InputError, SamkitError

__all__ = ["as_usage_error", "check_choice", "check_there", "usage_error"]

Choice = TypeVar("Choice", bound=str)


def usage_error(message: str, option: str | None = None) -> typer.BadParameter:
    """Wrong usage of the command, or of one option such as `--clicks`."""
    return typer.BadParameter(message, param_hint=option)


@contextmanager
def as_usage_error(
    option: str | None = None, kind: type[SamkitError] = InputError
) -> Iterator[None]:
    """Turn an error of this kind in the block into an error of usage."""
    try:
        yield
    except kind as error:
        raise usage_error(str(error), option) from None


def check_choice(value: str, choices: Collection[Choice], option: str) -> Choice:
    """The value, if it is one of the choices; otherwise an error of usage."""
    for choice in choices:
        if choice == value:
            return choice
    raise usage_error(f"expected one of {', '.join(choices)}, got {value}", option)


def check_there(path: str | Path, option: str) -> None:
    """An error of usage where no file or folder has this name."""
    if not os.path.exists(path):
        raise usage_error(f"no such file or folder: {path}", option)
