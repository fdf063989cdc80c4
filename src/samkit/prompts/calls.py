"""Calls with missing or unknown arguments: an error that says the right call."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from samkit.errors import PromptError

P = ParamSpec("P")
R = TypeVar("R")


def written(form: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Raise a `PromptError` where a function is called with arguments that it does not have.

    Args:
        form: how it is called, for the message.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError:
                try:
                    inspect.signature(function).bind(*args, **kwargs)
                except TypeError as reason:
                    raise PromptError(f"{reason}; write {form}") from None
                raise

        return call

    return decorate
