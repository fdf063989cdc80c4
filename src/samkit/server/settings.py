"""What a server allows."""

from dataclasses import dataclass, fields
from pathlib import Path

from samkit.errors import InputError, shown

__all__ = ["LOOPBACK", "ServerSettings"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names of this machine in the Host header of a request."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What a server allows. The defaults are for programs on the same machine.

    Attributes:
        tokens: one of these has to come with each request (`Authorization: Bearer TOKEN`); without
            any, everybody who reaches the server may use it. What one token has sent, and its
            sessions, no other one sees.
        hosts: names by which the server may be called, without the port; "*" allows all. A web page
            that makes its own name mean this machine is so kept out.
        origins: web pages of other places, such as "https://example.org", that may call it.
        root: folder whose files requests may name instead of sending them; None for no files.
        body_bytes, video_bytes: the largest image, and the largest video that is sent.
        json_bytes: the largest request of another kind.
        body_seconds: how long sending a request may pause.
        pending_bytes: of all requests that are received, wait or are worked on, in memory; more are
            answered 503. JSON counts 32 times, which is about what it takes once it is read.
        waiting: requests that may wait for the network; more are answered 503.
        prompts: the most prompts in one request, and in one video session.
        memory_bytes: of embeddings in memory; beyond it the least recently used go to disk.
        disk_bytes: of embeddings there; beyond it the least recently used are forgotten.
        sessions, open_sessions: the most video sessions, and those of them in memory; no more are
            tracked at once.
        seconds: after which an embedding or session that nobody uses is forgotten.
        folder: where what is moved to disk lies, in a folder of its own; None for the system's
            temporary folder.
    """

    tokens: tuple[str, ...] = ()
    hosts: tuple[str, ...] = LOOPBACK
    origins: tuple[str, ...] = ()
    root: Path | None = None
    body_bytes: int = 64 * 2**20
    video_bytes: int = 2 * 2**30
    json_bytes: int = 4 * 2**20
    body_seconds: float = 20.0
    pending_bytes: int = 2**30
    waiting: int = 64
    prompts: int = 1000
    memory_bytes: int = 2**30
    disk_bytes: int = 8 * 2**30
    sessions: int = 64
    open_sessions: int = 8
    seconds: float = 3600.0
    folder: Path | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(each.default, (int, float)):
                is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
                if not is_number or not 0 < value < float("inf"):
                    raise InputError(f"{each.name}: expected a number above 0, got {shown(value)}")
            elif isinstance(each.default, tuple) and (
                not isinstance(value, tuple) or not all(isinstance(v, str) and v for v in value)
            ):
                raise InputError(f"{each.name}: expected a tuple of texts, got {shown(value)}")
        for name in ("root", "folder"):
            folder = getattr(self, name)
            if folder is not None and not Path(folder).is_dir():
                raise InputError(f"{name}: expected a folder that exists, got {shown(folder)}")
