"""Verified, resumable downloads into a cache folder.

Bytes collect in ``<name>.part``, which a later call continues. The file gets its own name in one
step, after its sha256 was checked; ``<name>.verified`` then holds the checksum, size and time of
change, so that a file put there by hand, or changed since, is checked when it is next used.
"""

import hashlib
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from samkit.errors import DownloadError

__all__ = ["cache_folder", "fetch", "is_offline"]

_CHUNK = 2**20
_TIMEOUT_SECONDS = 30.0
_OFFLINE_VARIABLES = ("SAMKIT_OFFLINE", "HF_HUB_OFFLINE")


def cache_folder() -> Path:
    """Where weights are kept: ``SAMKIT_CACHE`` if set, else ``samkit`` in the user's cache."""
    chosen = os.environ.get("SAMKIT_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "samkit"


def is_offline() -> bool:
    """Whether the environment forbids downloads (``SAMKIT_OFFLINE`` or ``HF_HUB_OFFLINE``)."""
    return any(
        os.environ.get(name, "").lower() not in ("", "0", "false", "no", "off")
        for name in _OFFLINE_VARIABLES
    )


def fetch(url: str, *, filename: str, sha256: str, progress: bool | None = None) -> Path:
    """The cached file of that name, downloaded from ``url`` if it is not there yet.

    Args:
        url: where the file is published.
        filename: its name in `cache_folder`.
        sha256: what its contents must hash to, in hexadecimal digits.
        progress: draw a progress bar on stderr; None draws one if stderr is a terminal.

    Raises:
        DownloadError: it could not be fetched, or the checksum is wrong.
    """
    folder = cache_folder()
    target = folder / filename
    if _is_verified(target, sha256):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{filename}.lock"):
            # Another process may have downloaded it while this one waited.
            if not _is_verified(target, sha256):
                _complete(url, target, sha256, progress)
    except OSError as error:
        raise DownloadError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def _complete(url: str, target: Path, sha256: str, progress: bool | None) -> None:
    part = _beside(target, ".part")
    if target.is_file():
        if _hash(target) == sha256:
            _mark_verified(target, sha256)
            return
        target.unlink()
        _beside(part, ".json").unlink(missing_ok=True)
    if is_offline():
        raise DownloadError(
            f"{target.name} is not in the cache and downloads are turned off "
            f"({' or '.join(_OFFLINE_VARIABLES)} is set). {_by_hand(url, target)}"
        )
    _download(url, part, target, progress)
    actual = _hash(part)
    _beside(part, ".json").unlink(missing_ok=True)
    if actual != sha256:
        part.unlink()
        raise DownloadError(
            f"wrong checksum of {url}: expected sha256 {sha256}, got {actual}. "
            "What arrived was removed"
        )
    os.replace(part, target)
    _mark_verified(target, sha256)


def _download(url: str, part: Path, target: Path, progress: bool | None) -> None:
    validator = _read_validator(part, url)
    start = part.stat().st_size if validator and part.is_file() else 0
    headers = {"User-Agent": "samkit", "Accept-Encoding": "identity"}
    if start and validator:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    request = urllib.request.Request(url, headers=headers)
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            # The part is as long as the file, or longer: begin again.
            part.unlink()
            _download(url, part, target, progress)
            return
        raise DownloadError(
            f"the server answered {error.code} {error.reason} to {url}. {_by_hand(url, target)}"
        ) from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"cannot reach {url}: {reason}. {_by_hand(url, target)}") from error
    with response:
        continues = (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-")
        if response.status != 206 or not continues:
            start = 0
        _write_validator(part, url, response)
        _receive(response, part, start, url, progress)


def _receive(
    response: HTTPResponse, part: Path, start: int, url: str, progress: bool | None
) -> None:
    length = response.headers.get("Content-Length")
    total = None if length is None else start + int(length)
    received = start
    with part.open("ab" if start else "wb") as file, _bar(part.stem, progress) as show:
        show(received, total)
        while True:
            try:
                chunk = response.read(_CHUNK)
            except (OSError, HTTPException) as error:
                file.flush()
                raise DownloadError(_interrupted(url, received, total, str(error))) from error
            if not chunk:
                break
            file.write(chunk)
            received += len(chunk)
            show(received, total)
    if total is not None and received < total:
        raise DownloadError(_interrupted(url, received, total, "the connection was closed"))


def _interrupted(url: str, received: int, total: int | None, reason: str) -> str:
    size = "" if total is None else f" of {total}"
    return (
        f"the download of {url} was interrupted after {received}{size} bytes ({reason}). "
        "What arrived is kept, and the next call resumes there"
    )


def _by_hand(url: str, target: Path) -> str:
    return (
        f"You can fetch {url} on another machine and put it at {target}. "
        "The bundled model 'pico' works without a network"
    )


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


# ---- records of verified files and of partial downloads


def _is_verified(target: Path, sha256: str) -> bool:
    try:
        return _read_json(_beside(target, ".verified")) == _state(target, sha256)
    except OSError:
        return False


def _mark_verified(target: Path, sha256: str) -> None:
    state = json.dumps(_state(target, sha256))
    _beside(target, ".verified").write_text(state, encoding="utf-8")


def _state(target: Path, sha256: str) -> dict[str, Any]:
    status = target.stat()
    return {"sha256": sha256, "size": status.st_size, "changed": status.st_mtime_ns}


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _read_validator(part: Path, url: str) -> str | None:
    """The ETag or date of the version that the part belongs to, if it can be continued."""
    record = _read_json(_beside(part, ".json"))
    validator = record.get("validator") if record.get("url") == url else None
    return validator if isinstance(validator, str) else None


def _write_validator(part: Path, url: str, response: HTTPResponse) -> None:
    etag = response.headers.get("ETag")
    if etag and etag.startswith("W/"):
        etag = None  # a weak tag does not promise equal bytes
    record = {"url": url, "validator": etag or response.headers.get("Last-Modified")}
    _beside(part, ".json").write_text(json.dumps(record), encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


# ---- one process at a time, and the progress bar


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock; a process that ends releases it."""
    with path.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError:  # gave up after ten seconds
                    continue
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file releases the lock


@contextmanager
def _bar(name: str, progress: bool | None) -> Iterator[Callable[[int, int | None], None]]:
    if not (sys.stderr.isatty() if progress is None else progress):
        yield lambda received, total: None
        return
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.BarColumn(),
        rich.DownloadColumn(),
        rich.TransferSpeedColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress("{task.description}", *columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda received, total: bar.update(task, completed=received, total=total)
