"""What clients send: bytes, a form with a file, or the name of a file of the server."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from samkit.errors import InputError
from samkit.server.errors import ApiError
from samkit.server.state import ServerState
from samkit.server.wire import File

__all__ = ["file_or_bytes", "received_file", "unnamed"]

_NOTHING = ApiError(422, "invalid", "expected a file in the body, got nothing")


async def file_or_bytes(request: Request, state: ServerState) -> Path | bytes:
    """The image that a request sends or names.

    Raises:
        ApiError: it has none.
    """
    kind = _kind(request)
    if kind == "application/json":
        return state.file(_named(await request.body()))
    if kind == "multipart/form-data":
        async with _form(request) as form:
            return await _sent(form).read()
    content = await request.body()
    if not content:
        raise _NOTHING
    return content


async def received_file(request: Request, state: ServerState, path: Path) -> Path:
    """The file that a request sends, written to a path, or the one that it names.

    Raises:
        ApiError: it has none.
    """
    kind = _kind(request)
    if kind == "application/json":
        return state.file(_named(await request.body()))
    with path.open("wb") as file:
        if kind == "multipart/form-data":
            async with _form(request) as form:
                shutil.copyfileobj(_sent(form).file, file)
        else:
            async for part in request.stream():
                file.write(part)
        if not file.tell():
            raise _NOTHING
    return path


@contextmanager
def unnamed(path: Path | bytes, name: str = "the file") -> Iterator[None]:
    """Errors about a file call it so, and do not say where the server has it."""
    try:
        yield
    except InputError as error:
        raise type(error)(str(error).replace(str(path), name)) from error


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _named(body: bytes) -> str:
    try:
        return File.model_validate_json(body).path
    except ValidationError:
        raise ApiError(422, "invalid", 'expected {"path": "FILE"}') from None


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[FormData]:
    try:
        form = await request.form(max_files=1, max_fields=4)
    except (HTTPException, MultiPartException) as error:
        if isinstance(error, ApiError):
            raise
        raise ApiError(422, "invalid", f"expected a form with one file: {error}") from None
    try:
        yield form
    finally:
        await form.close()


def _sent(form: FormData) -> UploadFile:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise ApiError(422, "invalid", "expected a form with a file called file")
    return file
