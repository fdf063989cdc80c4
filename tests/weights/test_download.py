"""Downloads, against a server on this machine."""

import contextlib
import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from samkit.errors import DownloadError
from samkit.weights.download import cache_folder, fetch, is_offline

NAME = "weights.pt"


class Server:
    """Serves one file and can misbehave; remembers what was asked of it."""

    def __init__(self, contents: bytes) -> None:
        self.contents = contents
        self.etag: str | None = '"v1"'
        self.supports_range = True
        self.lengths: list[str] | None = None  # in place of the right one
        self.cut_after: int | None = None
        self.status = 200
        self.ranges: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/{NAME}"
        self.thread = threading.Thread(
            target=self.http.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        if self.status != 200:
            request.send_error(self.status)
            return
        start = 0
        same = request.headers.get("If-Range") == self.etag
        if asked and self.supports_range and same:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.contents):
                request.send_error(416)
                return
            request.send_response(206)
            end = len(self.contents)
            request.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        else:
            request.send_response(200)
        for length in [str(len(self.contents) - start)] if self.lengths is None else self.lengths:
            request.send_header("Content-Length", length)
        if self.etag:
            request.send_header("ETag", self.etag)
        request.end_headers()
        body = self.contents[start:]
        if self.cut_after is not None:
            body = body[: self.cut_after]
        with contextlib.suppress(ConnectionError):  # the other side has heard enough
            request.wfile.write(body)
        request.close_connection = True

    def stop(self) -> None:
        if self.thread.is_alive():
            self.http.shutdown()
            self.thread.join()
            self.http.server_close()


@pytest.fixture
def server(contents):
    server = Server(contents)
    yield server
    server.stop()


@pytest.fixture
def get(server, contents):
    digest = hashlib.sha256(contents).hexdigest()

    def get(sha256: str = digest) -> Path:
        return fetch(server.url, filename=NAME, sha256=sha256)

    return get


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def test_complete(get, contents, cache):
    path = get()
    assert path == cache / NAME
    assert path.read_bytes() == contents
    assert names(cache) == {NAME, f"{NAME}.verified", f"{NAME}.lock"}


def test_second_use_needs_no_network(server, get, contents):
    get()
    server.stop()
    assert get().read_bytes() == contents
    assert len(server.ranges) == 1


def test_interrupted_then_resumed(server, get, contents, cache):
    server.cut_after = 100_000
    with pytest.raises(DownloadError, match=r"interrupted after 100000 of 307200.*resumes"):
        get()
    assert (cache / f"{NAME}.part").stat().st_size == 100_000
    assert not (cache / NAME).exists()
    with pytest.raises(DownloadError, match="interrupted after 200000 of 307200"):
        get()
    server.cut_after = None
    assert get().read_bytes() == contents
    assert server.ranges == [None, "bytes=100000-", "bytes=200000-"]
    assert names(cache) == {NAME, f"{NAME}.verified", f"{NAME}.lock"}


def test_server_without_ranges_starts_over(server, get, contents):
    server.cut_after = 100_000
    with pytest.raises(DownloadError, match="interrupted"):
        get()
    server.cut_after, server.supports_range = None, False
    assert get().read_bytes() == contents


def test_file_that_changed_meanwhile_starts_over(server, get, contents):
    server.cut_after = 100_000
    server.contents = contents[::-1]
    with pytest.raises(DownloadError, match="interrupted"):
        get()
    server.cut_after, server.contents, server.etag = None, contents, '"v2"'
    assert get().read_bytes() == contents


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_no_strong_validator_starts_over(server, get, contents, etag):
    server.etag = etag
    server.cut_after = 100_000
    with pytest.raises(DownloadError, match="interrupted"):
        get()
    server.cut_after = None
    assert get().read_bytes() == contents
    assert server.ranges == [None, None]


def test_part_that_is_whole_already(server, get, contents, cache):
    server.cut_after = 100_000
    with pytest.raises(DownloadError, match="interrupted"):
        get()
    server.cut_after = None
    (cache / f"{NAME}.part").write_bytes(contents)
    assert get().read_bytes() == contents


def test_wrong_checksum(get, cache):
    with pytest.raises(DownloadError, match=r"wrong checksum.*expected sha256 0{64}.*removed"):
        get("0" * 64)
    assert names(cache) == {f"{NAME}.lock"}


def test_an_address_is_named_once(server, get, monkeypatch):
    server.status = 404
    with pytest.raises(DownloadError) as missing:
        get()
    server.stop()
    with pytest.raises(DownloadError) as unreachable:
        get()
    monkeypatch.setenv("SAMKIT_OFFLINE", "1")
    with pytest.raises(DownloadError) as forbidden:
        get()
    for caught in (missing, unreachable, forbidden):
        assert str(caught.value).count("http://") == 1


def test_not_found(server, get, cache):
    server.status = 404
    with pytest.raises(DownloadError, match=rf"404.*put it at {cache / NAME}.*pico"):
        get()
    assert names(cache) == {f"{NAME}.lock"}


def test_no_network(server, get, cache):
    server.stop()
    with pytest.raises(DownloadError, match=rf"cannot reach.*put it at {cache / NAME}.*pico"):
        get()


@pytest.mark.parametrize("variable", ["SAMKIT_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_by_choice(server, get, contents, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(DownloadError, match=rf"turned off.*{variable}"):
        get()
    assert server.ranges == []
    monkeypatch.setenv(variable, "0")
    get()
    monkeypatch.setenv(variable, "1")
    assert get().read_bytes() == contents


def test_file_put_there_by_hand_is_checked(server, get, contents, cache):
    cache.mkdir()
    (cache / NAME).write_bytes(contents)
    assert get().read_bytes() == contents
    assert server.ranges == []
    (cache / NAME).write_bytes(b"something else")
    assert get().read_bytes() == contents
    assert server.ranges == [None]


def test_damaged_file_is_fetched_again(server, get, contents, cache):
    get()
    (cache / NAME).write_bytes(contents[:-1])
    assert get().read_bytes() == contents


def test_two_at_once_fetch_once(server, get, contents):
    threads = [threading.Thread(target=get) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get().read_bytes() == contents
    assert len(server.ranges) == 1


def test_cache_that_cannot_be_created(server, get, cache):
    cache.write_text("a file")
    with pytest.raises(DownloadError, match="cannot write"):
        get()


def test_progress_bar_goes_to_stderr(server, contents, capsys):
    digest = hashlib.sha256(contents).hexdigest()
    fetch(server.url, filename=NAME, sha256=digest, progress=True)
    captured = capsys.readouterr()
    assert NAME in captured.err
    assert captured.out == ""


def test_no_progress_bar_outside_a_terminal(get, capsys):
    get()
    assert capsys.readouterr().err == ""


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMKIT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SAMKIT_CACHE")
    assert cache_folder().name == "samkit"


@pytest.mark.parametrize("value", ["", "0", "false", "No"])
def test_offline_can_be_switched_off(monkeypatch, value):
    monkeypatch.setenv("SAMKIT_OFFLINE", value)
    assert not is_offline()


# Servers and caches that others have a hand in


@pytest.mark.parametrize(
    "lengths", [[], ["abc"], ["-1"], ["1e9"], ["9" * 5000], ["²"], [""], ["307200", "5"]]
)
def test_lengths_that_are_none(server, get, contents, lengths):
    """What arrives is checked anyway."""
    server.lengths = lengths
    assert get().read_bytes() == contents


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc",
        b"HTTP/1.1 302 Found\r\nLocation: " + NAME.encode() + b"\r\n\r\n",
        b"HTTP/1.1 500 \x1b[31mred\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"hello\r\n",
        b"",
    ],
)
def test_answers_that_are_none(server, get, answer):
    def respond(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(answer)
        request.close_connection = True

    server.answer = respond
    for _ in range(2):
        with pytest.raises(DownloadError) as caught:
            get()
        assert str(caught.value).isprintable()  # one line


def test_a_folder_in_place_of_the_file(get, cache):
    (cache / NAME).mkdir(parents=True)
    with pytest.raises(DownloadError, match="expected a file, but it is a folder"):
        get()
    assert names(cache) == {NAME, f"{NAME}.lock"}


def test_more_than_is_said(server, get, cache):
    server.lengths = ["1000"]
    with pytest.raises(DownloadError, match="wrong checksum"):
        get()
    assert names(cache) == {f"{NAME}.lock"}


@pytest.mark.parametrize("lengths", [None, [], ["999999999999"]])
def test_more_than_is_allowed(server, get, cache, contents, monkeypatch, lengths):
    server.lengths = lengths
    monkeypatch.setenv("SAMKIT_MAX_DOWNLOAD_BYTES", "307199")
    with pytest.raises(DownloadError, match=r"at most 307199 bytes, got .* or more"):
        get()
    assert names(cache) == {f"{NAME}.lock"}
    sha256 = hashlib.sha256(contents).hexdigest()
    with pytest.raises(DownloadError, match="at most 1000 bytes"):
        fetch(server.url, filename=NAME, sha256=sha256, most_bytes=1000)
    server.lengths = None
    monkeypatch.setenv("SAMKIT_MAX_DOWNLOAD_BYTES", "307200")
    assert get().read_bytes() == contents


@pytest.mark.parametrize("suffix", [".part", ".lock", ".verified", ".part.json"])
def test_links_in_the_cache_are_not_followed(server, get, cache, tmp_path, suffix):
    other = tmp_path / "other"
    other.write_text("mine")
    cache.mkdir()
    (cache / f"{NAME}{suffix}").symlink_to(other)
    with pytest.raises(DownloadError, match=r"samkit's own, got a link or the like: remove it"):
        get()
    assert other.read_text() == "mine"


def test_pipes_in_the_cache_do_not_block(server, get, cache):
    cache.mkdir()
    os.mkfifo(cache / f"{NAME}.part")
    with pytest.raises(DownloadError):
        get()


def test_the_file_itself_may_be_a_link(server, get, cache, tmp_path, contents):
    (tmp_path / "elsewhere.pt").write_bytes(contents)
    cache.mkdir()
    (cache / NAME).symlink_to(tmp_path / "elsewhere.pt")
    assert get().read_bytes() == contents
    assert (cache / NAME).is_symlink()
    assert server.ranges == []


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "3", "[" * 10**5, '{"url": 3}', '{"validator": 3}']
)
def test_damaged_records(server, get, cache, contents, text):
    server.cut_after = 1000
    with pytest.raises(DownloadError, match="interrupted"):
        get()
    (cache / f"{NAME}.part.json").write_text(text)
    (cache / f"{NAME}.verified").write_text(text)
    server.cut_after = None
    assert get().read_bytes() == contents


@pytest.mark.parametrize("folder", ["~nosuchuser/x", "~nosuchuser"])
def test_a_folder_of_nobody(monkeypatch, folder):
    monkeypatch.setenv("SAMKIT_CACHE", folder)
    with pytest.raises(DownloadError, match=r"no folder for weights: ~nosuchuser.*SAMKIT_CACHE"):
        cache_folder()


@pytest.mark.parametrize("folder", ["/dev/null/x", "x" * 300, "/dev/null"])
def test_a_folder_that_cannot_be(server, get, monkeypatch, folder, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAMKIT_CACHE", folder)
    with pytest.raises(DownloadError, match="cannot write"):
        get()
