"""Errors that clients are told of: {"error": {"code": ..., "message": ...}}."""

import errno
import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from samkit.errors import ImageError, InputError, PromptError, SamkitError

__all__ = ["ApiError", "add_error_handlers", "error_response"]

_LOG = logging.getLogger("samkit.server")
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}


class ApiError(HTTPException):
    """An error with a code for programs.

    Codes: ``unauthorized`` 401, ``forbidden`` 403, ``expired`` 404 (what is named is not here, or
    not any more: send it again), ``too_slow`` 408, ``too_large`` 413, ``invalid`` 422, ``image``
    422, ``prompt`` 422, ``busy`` 503 (with Retry-After), ``full`` 507 (no room on the server's
    disk), ``internal`` 500.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code = code


def error_response(error: Exception) -> JSONResponse:
    """The answer to an error. Of an unexpected one, nothing is told but that it happened."""
    if isinstance(error, HTTPException):
        code = getattr(error, "code", _CODES.get(error.status_code, "error"))
        return _answer(error.status_code, code, str(error.detail), error.headers)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        reason = first["msg"].removeprefix("Value error, ")
        return _answer(422, "invalid", f"{where}: {reason}".lstrip(": "))
    if isinstance(error, SamkitError):
        kinds = ((PromptError, "prompt"), (ImageError, "image"), (InputError, "invalid"))
        for kind, code in kinds:
            if isinstance(error, kind):
                return _answer(422, code, str(error))
    _LOG.error("a request failed", exc_info=error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _answer(507, "full", "the server has no room on its disk")
    return _answer(500, "internal", "the server failed; its log says why")


def add_error_handlers(app: FastAPI) -> None:
    """Answer all errors in one form."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        return error_response(error)

    for kind in (HTTPException, RequestValidationError, SamkitError, Exception):
        app.add_exception_handler(kind, handle)


def _answer(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    # Of what a client sent, there may be halves of characters in it.
    message = message.encode("utf-8", "replace").decode("utf-8")
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)
