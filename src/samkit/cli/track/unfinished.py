"""An unfinished run of `samkit track`, kept in the folder that it writes to.

The same command goes on with it. In the folder lies a hidden one with

    run.json                 what the run is (`about`), the first and last frame that were written,
                             a hash of their PNGs, the session after them and a hash of it; all but
                             the first null before there is a session
    session-*.safetensors    that session

Sessions are written when it is time, and the run is pointed to them once they are there, so that
whenever a process is killed there is a session and the frames that go with it. Frames written since
are written again, and come out the same. A process locks the hidden folder while it works there
(not on Windows, which has no such locks).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samkit.cli.usage import usage_error
from samkit.errors import InputError
from samkit.files import open_file, read_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from samkit import VideoPredictor
    from samkit.cli.track.prompts import FramePrompt

__all__ = ["UnfinishedRun", "digest_of_files", "digest_of_prompts", "digest_of_run"]

_FOLDER, _RUN, _VERSION = ".samkit-unfinished", "run.json", 2
_SESSION = re.compile(r"session-\d+-\d+\.safetensors")
# Seconds between sessions, and how many times longer than writing one it has to be.
_SECONDS, _TIMES = 10.0, 20
_PIECE = 2**20


class UnfinishedRun:
    """The state of a run in its folder.

    Args:
        folder: the output.

    Attributes:
        about: what the run is, by the words for it in messages.
        frames: the first and last frame that are known to be written, or None.
        session: the session after them, or None.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._place = folder, folder / _FOLDER
        self.frames: tuple[int, int] | None = None
        self.session: Path | None = None
        self.about: dict[str, str] = {}
        self._was_there = True
        self._lock: int | None = None
        self._is_begun = False
        self._written: tuple[int, int] | None = None  # all frames tracked so far, or None
        self._pngs = 0  # the sum of the hashes of their PNGs
        self._hashes: tuple[str, str] | None = None  # of the PNGs and the session that are there
        self._saved_at, self._took = time.monotonic(), 0.0

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a folder holds an unfinished run."""
        return os.path.isfile(folder / _FOLDER / _RUN)

    def read(self) -> dict[str, str]:
        """Read what is there -> its `about`.

        Raises:
            typer.BadParameter: it is damaged, or of another version.
            InputError: another process writes to it.
        """
        self._claim()
        try:
            run = read_json(self._place / _RUN)
            if run["version"] != _VERSION:
                raise ValueError("of another version")
            about = {str(key): str(value) for key, value in run["about"].items()}
            if run["session"] is not None:
                first, last = (int(frame) for frame in run["frames"])
                if not _SESSION.fullmatch(run["session"]):
                    raise ValueError("of another version")
                self.frames, self.session = (first, last), self._place / run["session"]
                self._hashes = str(run["pngs_hash"]), str(run["session_hash"])
        except (
            InputError,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            OverflowError,
        ) as error:
            raise self.refusal(f"that is damaged ({error})") from None
        self._is_begun = True
        return about

    def check(self, there: Mapping[str, str]) -> None:
        """Check that the run that is there is this one, as far as this one is known.

        Args:
            there: what `read` gave.

        Raises:
            typer.BadParameter: they differ.
        """
        others = [key for key, value in self.about.items() if there.get(key) != value]
        if others:
            raise self.refusal(f"with another {' and another '.join(others)}")

    def check_files(self, png_of: Callable[[int], Path]) -> None:
        """Check that the PNGs and the session that are there are those that the run wrote.

        Args:
            png_of: number of a frame -> its PNG.

        Raises:
            typer.BadParameter: one is missing, or was changed.
        """
        if self._hashes is None or self.frames is None or self.session is None:
            return
        try:
            self._pngs = 0
            for frame in range(self.frames[0], self.frames[1] + 1):
                self._add(png_of(frame))
            found = _text_of(self._pngs), digest_of_files([self.session])
        except InputError as error:
            raise self.refusal(f"that cannot be gone on with ({error})") from None
        for there, known, what in zip(
            found, self._hashes, ("PNGs that were", "a session that was"), strict=True
        ):
            if there != known:
                raise self.refusal(f"with {what} changed since")

    def refusal(self, what: str) -> Exception:
        """An error of usage."""
        return usage_error(
            f"{self._folder} holds an unfinished run {what}; repeat the command that began it, or "
            "begin anew with --overwrite",
            "-o",
        )

    def begin(self) -> None:
        """Mark the folder; to be called before each frame is written.

        Raises:
            InputError: it cannot be written.
        """
        self._written = None
        if not self._is_begun:
            self._was_there = os.path.exists(self._folder)
            self._claim()
            self._point_to(None, None)
            self._is_begun = True
            self._saved_at = time.monotonic()

    def keep(self, tracker: VideoPredictor, frames: tuple[int, int], png: Path) -> None:
        """Write the session, if it is time; to be called after each frame.

        Args:
            tracker: as it is after these frames.
            frames: the first and the last frame that are written.
            png: of the one that was written just now.

        Raises:
            InputError: it cannot be written.
        """
        self._add(png)
        self._written = frames
        if time.monotonic() >= self._saved_at + max(_SECONDS, _TIMES * self._took):
            self._save(tracker, frames)

    def end(self, tracker: VideoPredictor) -> None:
        """Write the session of a run that ends early, unless its last frame could not be written.

        Raises:
            InputError: it cannot be written.
        """
        if self._written is not None and self._written != self.frames:
            self._save(tracker, self._written)

    def remove(self) -> None:
        """Forget the run, when it is finished or another one begins.

        Raises:
            InputError: another process writes to it.
        """
        if os.path.isdir(self._place):
            self._claim()
        shutil.rmtree(self._place, ignore_errors=True)
        self.close()
        self.frames = self.session = None
        self._is_begun = False
        if not self._was_there:
            with suppress(OSError):  # it is not empty
                self._folder.rmdir()

    def close(self) -> None:
        """Let other processes go on with the run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _claim(self) -> None:
        if fcntl is None or self._lock is not None:
            return
        lock = None
        try:
            self._place.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if lock is None:
                reason = error.strerror or error
                raise InputError(f"cannot write {self._place}: {reason}") from error
            if isinstance(error, BlockingIOError):
                os.close(lock)
                raise InputError(f"another samkit track is writing to {self._folder}") from None
        self._lock = lock  # also where the file system has no locks

    def _save(self, tracker: VideoPredictor, frames: tuple[int, int]) -> None:
        began = time.monotonic()
        path = self._place / f"session-{frames[0]}-{frames[1]}.safetensors"
        tracker.save(path)
        self._hashes = _text_of(self._pngs), digest_of_files([path])
        self._point_to(path.name, frames)
        for other in self._place.glob("session-*"):
            if not other.name.startswith(path.name):
                other.unlink(missing_ok=True)
        self.frames, self.session = frames, path
        self._saved_at = time.monotonic()
        self._took = self._saved_at - began

    def _add(self, png: Path) -> None:
        # A sum, because frames come in one order and are checked in another.
        self._pngs += int(digest_of_files([png]), 16)

    def _point_to(self, session: str | None, frames: tuple[int, int] | None) -> None:
        from samkit.media import write_atomically

        pngs_hash, session_hash = self._hashes or (None, None)
        run = {
            "version": _VERSION,
            "about": self.about,
            "session": session,
            "session_hash": session_hash,
            "frames": frames,
            "pngs_hash": pngs_hash,
        }
        with write_atomically(self._place / _RUN) as path:
            path.write_text(json.dumps(run), encoding="utf-8")


def _text_of(hashes: int) -> str:
    return f"{hashes % 2**128:032x}"


def digest_of_files(paths: Iterable[Path]) -> str:
    """A hash of the names and contents of files.

    Raises:
        InputError: one cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        with open_file(path) as file:
            digest.update(path.name.encode(errors="surrogateescape") + b"\0")
            try:
                while piece := file.read(_PIECE):
                    digest.update(piece)
            except OSError as error:
                raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def digest_of_run(about: Mapping[str, str]) -> str:
    """A hash of what a run is."""
    text = json.dumps(about, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def digest_of_prompts(prompts: Iterable[FramePrompt]) -> str:
    """A hash of prompts, as they are understood."""
    values: list[Any] = [(one.frame, one.object_id, one.prompt.to_dict()) for one in prompts]
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=16).hexdigest()
