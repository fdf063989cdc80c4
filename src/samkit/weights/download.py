"""Verified, resumable downloads into a cache folder.

Bytes collect in ``<name>.part``, which a later call continues. The file gets its own name in one
step, after its sha256 was checked; ``<name>.verified`` then holds the checksum, size and time of
change, so that a file put there by hand, or changed since, is checked when it is next used.
"""

import hashlib
import json
import os
import re
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any

from samkit.errors import DownloadError, InputError
from samkit.files import open_file, read_json
from samkit.limits import limits

__all__ = ["OFFLINE_VARIABLES", "cache_folder", "fetch", "is_offline", "put_by_hand"]

_CHUNK = 2**20
_TIMEOUT_SECONDS = 30.0
OFFLINE_VARIABLES = ("SAMKIT_OFFLINE", "HF_HUB_OFFLINE")


def cache_folder() -> Path:
    """Where weights are kept: ``SAMKIT_CACHE`` if set, else ``samkit`` in the user's cache.

    Raises:
        DownloadError: the folder begins with ``~`` and there is no such user.
    """
    chosen = os.environ.get("SAMKIT_CACHE")
    if chosen:
        return _expanded(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return _expanded(base) / "samkit"


def _expanded(folder: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise DownloadError(
            f"no folder for weights: {folder}: {error}; SAMKIT_CACHE chooses another one"
        ) from error


def is_offline() -> bool:
    """Whether the environment forbids downloads (``SAMKIT_OFFLINE`` or ``HF_HUB_OFFLINE``)."""
    return any(
        os.environ.get(name, "").lower() not in ("", "0", "false", "no", "off")
        for name in OFFLINE_VARIABLES
    )


def fetch(
    url: str,
    *,
    filename: str,
    sha256: str,
    most_bytes: int | None = None,
    progress: bool | None = None,
) -> Path:
    """The cached file of that name, downloaded from ``url`` if it is not there yet.

    Args:
        url: where the file is published.
        filename: its name in `cache_folder`.
        sha256: what its contents must hash to, in hexadecimal digits.
        most_bytes: a file of more is not received; `samkit.limits` is a limit too.
        progress: draw a progress bar on stderr; None draws one if stderr is a terminal.

    Raises:
        DownloadError: it could not be fetched, is too large, or the checksum is wrong.
    """
    most = min(limits().download_bytes, most_bytes or limits().download_bytes)
    folder = cache_folder()
    target = folder / filename
    if _is_verified(target, sha256):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{filename}.lock"):
            # Another process may have downloaded it while this one waited.
            if not _is_verified(target, sha256):
                _complete(url, target, sha256, most, progress)
    except OSError as error:
        raise DownloadError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def put_by_hand(url: str, *, filename: str) -> Path:
    """The cached file of that name, which cannot be verified, so that it is not downloaded.

    Raises:
        DownloadError: it is not there; the message says from where to fetch it, and to where.
    """
    target = cache_folder() / filename
    if target.is_file():
        return target
    raise DownloadError(
        f"{url} was not downloaded: no sha256 of it is published, and nothing is downloaded that "
        f"cannot be verified. Fetch it yourself, and put it at {target} or give its path"
    )


def _complete(url: str, target: Path, sha256: str, most: int, progress: bool | None) -> None:
    part = _beside(target, ".part")
    if target.is_dir():
        raise DownloadError(f"cannot write {target}: expected a file, but it is a folder")
    if target.is_file():
        if _hash(target) == sha256:
            _mark_verified(target, sha256)
            return
        target.unlink()
        _beside(part, ".json").unlink(missing_ok=True)
    if is_offline():
        raise DownloadError(
            f"{url} was not downloaded before, and downloads are turned off "
            f"({' or '.join(OFFLINE_VARIABLES)} is set). {_by_hand(target)}"
        )
    _download(url, part, target, most, progress)
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


def _download(url: str, part: Path, target: Path, most: int, progress: bool | None) -> None:
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
            _download(url, part, target, most, progress)
            return
        raise DownloadError(
            f"the server answered {error.code} {_one_line(error.reason)} to {url}. "
            f"{_by_hand(target)}"
        ) from error
    except (OSError, HTTPException, ValueError) as error:  # ValueError: of where it is sent on to
        reason = _one_line(getattr(error, "reason", None) or error)
        raise DownloadError(f"cannot reach {url}: {reason}. {_by_hand(target)}") from error
    with response:
        continues = (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-")
        if response.status != 206 or not continues:
            start = 0
        _write_validator(part, url, response)
        _receive(response, part, start, url, most, progress)


def _receive(
    response: HTTPResponse, part: Path, start: int, url: str, most: int, progress: bool | None
) -> None:
    # Of what is no number nothing is expected: the checksum decides.
    length = response.headers.get("Content-Length") or ""
    total = start + int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
    received = start
    with (
        _open_own(part, os.O_WRONLY | (os.O_APPEND if start else os.O_TRUNC)) as file,
        _bar(part.stem, progress) as show,
    ):
        _check_size(total or 0, part, url, most)
        show(received, total)
        while True:
            try:
                chunk = response.read(_CHUNK)
            except (
                OSError,
                HTTPException,
                ValueError,
            ) as error:  # or a bad length
                file.flush()
                reason = _one_line(error)
                raise DownloadError(_interrupted(url, received, total, reason)) from error
            if not chunk:
                break
            received += len(chunk)
            _check_size(received, part, url, most)
            file.write(chunk)
            show(received, total)
    if total is not None and received < total:
        raise DownloadError(_interrupted(url, received, total, "the connection was closed"))


def _check_size(size: int, part: Path, url: str, most: int) -> None:
    """Give up a file that is too large, and what there is of it."""
    if size > most:
        part.unlink(missing_ok=True)
        _beside(part, ".json").unlink(missing_ok=True)
        raise DownloadError(
            f"{url}: expected at most {most} bytes, got {size} or more (download_bytes of "
            "samkit.limits)"
        )


def _one_line(reason: object) -> str:
    """What a server said, shortened, without what would steer a terminal."""
    text = " ".join(str(reason).split())[:200]
    return "".join(character for character in text if character.isprintable())


def _interrupted(url: str, received: int, total: int | None, reason: str) -> str:
    size = "" if total is None else f" of {total}"
    return (
        f"the download of {url} was interrupted after {received}{size} bytes ({reason}). "
        "What arrived is kept, and the next call resumes there"
    )


def _by_hand(target: Path) -> str:
    return (
        f"You can fetch it on another machine and put it at {target}. "
        "The bundled model 'pico' works without a network"
    )


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open_file(path, DownloadError) as file:
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
    _write_json(_beside(target, ".verified"), _state(target, sha256))


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
    _write_json(_beside(part, ".json"), record)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    with _open_own(path, os.O_WRONLY | os.O_TRUNC) as file:
        file.write(json.dumps(value).encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path) if not path.is_symlink() else None
    except InputError:
        return {}
    return content if isinstance(content, dict) else {}


def _open_own(path: Path, flags: int) -> IO[bytes]:
    """Open or create a file of our own; a link is not followed, as others may have put it there.

    Raises:
        DownloadError: it is a link, a pipe or another thing that is no file.
    """
    # A pipe without a reader is an error, instead of waiting for one.
    flags |= os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = -1
    if not path.is_symlink():
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "wb")
        os.close(descriptor)
    raise DownloadError(
        f"{path}: expected a file of samkit's own, got a link or the like: remove it"
    )


# ---- one process at a time, and the progress bar


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock; a process that ends releases it."""
    with _open_own(path, os.O_RDWR) as file:
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
