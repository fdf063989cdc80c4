"""Videos at addresses: read once, given up when nothing comes, and never kept waiting for."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import pytest
from videos import make_video, number_of, served

from samkit.errors import InputError
from samkit.media.frames import open_frames


def test_an_address_is_read_once(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", 6)
    with served(tmp_path) as address:
        threads = threading.active_count()
        frames = open_frames(f"{address}/a.mp4")
        assert (frames.count, frames.seekable) == (None, False)
        assert frames.format.rate == 25
        assert number_of(frames.read(3)) == 3
        assert (frames.time(3), frames.time(2)) == (Fraction(3, 25), None)
        with pytest.raises(InputError, match="has gone by"):
            frames.read(0)
        with pytest.raises(IndexError):
            frames.read(6)
        assert frames.count == 6
        frames.close()
        frames.close()
        assert threading.active_count() <= threads
        with pytest.raises((InputError, IndexError)):
            frames.read(7)


def test_a_playlist_at_an_address_is_followed(tmp_path: Path) -> None:
    make_video(tmp_path / "part.ts", 6)
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.24,\npart.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(text)
    with served(tmp_path) as address:
        frames = open_frames(f"{address}/list.m3u8")
        assert [number_of(frames.read(i)) for i in range(6)] == list(range(6))
        frames.close()


def test_a_playlist_at_an_address_does_not_lead_to_files(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    secret = make_video(tmp_path / "secret.ts", 6)
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.24,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    (tmp_path / "site" / "list.m3u8").write_text(text)
    with served(tmp_path / "site") as address, pytest.raises(InputError, match="as a video"):
        open_frames(f"{address}/list.m3u8")


@pytest.mark.parametrize(
    "address", ["concat://a", "subfile://a.mp4", "pipe://0", "cache:file:///a.mp4", "lavfi://x"]
)
def test_other_kinds_of_addresses_are_refused(address: str) -> None:
    with pytest.raises(InputError, match="expected a path, or an address such as http://"):
        open_frames(address)


def test_an_address_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samkit.media.address._PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match="as a video: nothing came for a long time"):
            open_frames(f"http://127.0.0.1:{port}/a.mp4")


@contextmanager
def stalling(data: bytes, is_reached: threading.Event) -> Iterator[str]:
    """The address of a server that sends some bytes of a longer file, and then nothing."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100000000\r\n\r\n" + data)
            is_reached.set()
            is_over.wait()

    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        finally:
            is_over.set()
            thread.join()


def test_an_address_that_stalls_is_given_up(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("samkit.media.address._PATIENCE", 0.5)
    data = make_video(tmp_path / "a.ts", 60, size=(160, 120)).read_bytes()
    with stalling(data * 20, threading.Event()) as address:
        frames = open_frames(address)
        assert number_of(frames.read(0)) == 0
        with pytest.raises(InputError, match=r"cannot read frame \d+ .* nothing came"):
            frames.read(100_000)
        frames.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_ctrl_c_does_not_wait_for_an_address() -> None:
    """It would be waited for for 30 seconds."""
    is_reached = threading.Event()

    def interrupt() -> None:
        is_reached.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    began = time.monotonic()
    with stalling(b"", is_reached) as address:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            open_frames(address)
        assert time.monotonic() - began < 20
        thread.join()
