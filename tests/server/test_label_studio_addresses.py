"""From where Label Studio's images are fetched, and from where not."""

import asyncio
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from server.calls import embed, error_of, picture
from server.studio import click, predict, regions_of

from samkit.server import LabelStudio
from samkit.server.bodies import Room
from samkit.server.errors import ApiError
from samkit.server.labelstudio.fetching import Fetcher

PNG = picture()
FOUND = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(PNG), PNG)
# Tokens of three parts are personal ones; these are none of anybody's.
PERSONAL, ACCESS = "aa-1.bb_2.cc", "dd.ee.ff"


class Site:
    """A server on this machine that answers bytes by path, and remembers what it was asked."""

    def __init__(self):
        self.answers, self.seen, self.released = {}, [], threading.Event()
        self.begins = b""  # what is sent of answers that do not come
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                site.seen.append((self.command, self.path, dict(self.headers), body))
                answer = site.answers.get(self.path, b"HTTP/1.1 404 Not Found\r\n\r\n")
                self.wfile.write(site.begins if answer is None else answer)
                if answer is None:
                    site.released.wait(60)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def paths(self):
        return [path for _, path, _, _ in self.seen]

    def close(self):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site():
    one = Site()
    one.answers["/a.png"] = FOUND
    yield one
    one.close()


@pytest.fixture
def other():
    one = Site()
    one.answers["/a.png"] = FOUND
    yield one
    one.close()


@pytest.fixture
def names(monkeypatch):
    """What names mean, instead of asking the network; those that were asked are in a list."""
    meanings, asked, real = {}, [], socket.getaddrinfo

    def getaddrinfo(host, port, *arguments, **options):
        if host not in meanings:
            return real(host, port, *arguments, **options)
        asked.append(host)
        return [
            entry
            for address in meanings[host]
            for entry in real(address, port, type=socket.SOCK_STREAM)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return meanings, asked


def redirect(to):
    return b"HTTP/1.1 302 Found\r\nLocation: " + to.encode() + b"\r\nContent-Length: 0\r\n\r\n"


def ask(client, place):
    return predict(client, click(20, 20), image=place)


def test_clicks_on_one_image_fetch_it_once(serving, site):
    client = serving(label_studio=LabelStudio(origins=(site.origin,)))
    for x in (20, 21, 22):
        assert regions_of(predict(client, click(x, 20), image=f"{site.origin}/a.png"))
    assert regions_of(ask(client, "/a.png"))  # without an origin it is Label Studio's
    assert site.paths == ["/a.png"]
    assert "Authorization" not in site.seen[0][2]
    name = embed(client, PNG)["id"]  # the same one, as its bytes are the same
    client.delete(f"/v1/embeddings/{name}")
    assert regions_of(ask(client, "/a.png"))
    assert site.paths == ["/a.png"] * 2


def test_tokens_fetch_for_themselves(serving, site):
    allowed = LabelStudio(origins=(site.origin,))
    client = serving(label_studio=allowed, tokens=("first-token", "second-token"))
    for token in ("first-token", "second-token", "first-token"):
        client.headers = {"Authorization": f"Bearer {token}"}
        assert regions_of(ask(client, "/a.png"))
    assert site.paths == ["/a.png"] * 2


@pytest.mark.parametrize("place", ["/data/upload/1/ä b.png", "/data/local-files/?d=a%2Fb c.png"])
def test_paths_as_label_studio_has_them(serving, site, place):
    escaped = place.replace("ä b", "%C3%A4%20b").replace("b c", "b%20c")
    site.answers[escaped] = FOUND
    client = serving(label_studio=LabelStudio(origins=(site.origin,)))
    assert regions_of(ask(client, place))
    assert site.paths == [escaped]


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.1:1/a.png",
        "http://127.0.0.1/a.png",
        "https://127.0.0.1:{port}/a.png",
        "http://localhost:{port}/a.png",
        "http://2130706433:{port}/a.png",
        "http://127.1:{port}/a.png",
        "http://[::ffff:127.0.0.1]:{port}/a.png",
        "http://127.0.0.1.:{port}/a.png",
        "http://127.0.0.1:{port}@evil.example/a.png",
        "http://evil.example\\@127.0.0.1:{port}/a.png",
        "http://user:word@127.0.0.1:{port}/a.png",
        "http://127.0.0.1:{port}.evil.example/a.png",
        "http://127.0.0.1:{port}\\.evil.example/a.png",
        "http://169.254.169.254/latest/meta-data",
        "//evil.example/a.png",
        "///evil.example/a.png",
        "/\\evil.example/a.png",
        "http:///a.png",
        "http://[a.png",
        "http://[::1%lo]:{port}/a.png",
        "http://127.0.0.1:0{port}0/a.png",
        "file:///etc/passwd",
        "ftp://127.0.0.1:{port}/a.png",
        "gopher://127.0.0.1:{port}/a.png",
        "s3://bucket/a.png",
        "http://ev\u0456l.example/a.png",
        "http://\ud800/a.png",
        "/\ud800",
        "a.png",
        "../a.png",
        "http://127.0.0.1:{port}/a.png?" + "x" * 9000,
    ],
)
def test_no_other_places(serving, site, place):
    client = serving(label_studio=LabelStudio(origins=(site.origin,)))
    text = json.dumps(place.replace("{port}", str(site.port)))
    body = json.dumps(
        {
            "tasks": [{"data": {"image": "PLACE"}}],
            "label_config": '<a><Image name="image" value="$image"/>'
            '<BrushLabels name="b" toName="image"/></a>',
            "params": {"context": {"result": [click(1, 1)]}},
        }
    ).replace('"PLACE"', text)
    answer = client.post(
        "/predict", content=body.encode(), headers={"Content-Type": "application/json"}
    )
    assert error_of(answer)[0] in (403, 422)
    assert "/a.png" not in [path.partition("?")[0] for path in site.paths]


def test_without_origins_nothing_is_fetched(serving, site):
    client = serving(label_studio=LabelStudio())
    for place in (f"{site.origin}/a.png", "/a.png", "/data/upload/1/a.png"):
        assert error_of(ask(client, place)) == (403, "forbidden")
    assert site.seen == []


def test_nothing_gets_into_the_request(serving, site):
    client = serving(label_studio=LabelStudio(origins=(site.origin,), token="a-token"))
    ask(client, f"{site.origin}/x HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET /y")
    ((_, path, headers, _),) = site.seen
    assert "\r" not in path
    assert "X-Evil" not in headers


def test_the_token_is_for_label_studio_alone(serving, site, other):
    allowed = LabelStudio(origins=(site.origin, other.origin), token="a-token")
    client = serving(label_studio=allowed)
    site.answers["/old.png"] = redirect("/a.png?x=1")
    site.answers["/a.png?x=1"] = FOUND
    for place in (f"{site.origin}/old.png", f"{other.origin}/a.png"):
        assert regions_of(ask(client, place))
    sent = [headers.get("Authorization") for _, _, headers, _ in site.seen + other.seen]
    assert sent == ["Token a-token", "Token a-token", None]


def test_a_personal_token_is_exchanged(serving, site):
    content = json.dumps({"access": ACCESS}).encode()
    site.answers["/api/token/refresh/"] = b"HTTP/1.0 200 OK\r\n\r\n" + content
    site.answers["/b.png"] = FOUND
    client = serving(label_studio=LabelStudio(origins=(site.origin,), token=PERSONAL))
    assert regions_of(ask(client, "/a.png"))
    assert regions_of(ask(client, "/b.png"))
    assert site.paths == ["/api/token/refresh/", "/a.png", "/b.png"]
    assert json.loads(site.seen[0][3]) == {"refresh": PERSONAL}
    sent = [headers.get("Authorization") for _, _, headers, _ in site.seen]
    assert sent == [None, f"Bearer {ACCESS}", f"Bearer {ACCESS}"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 401 Unauthorized\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n[]",
        b'HTTP/1.0 200 OK\r\n\r\n{"access": 3}',
        b'HTTP/1.0 200 OK\r\n\r\n{"access": "a.b.c\\r\\nX-Evil: 1"}',
        b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 60_000,
    ],
)
def test_a_personal_token_that_is_not_taken(serving, site, answer):
    site.answers["/api/token/refresh/"] = answer
    client = serving(label_studio=LabelStudio(origins=(site.origin,), token=PERSONAL))
    assert error_of(ask(client, "/a.png")) == (422, "image")
    assert site.paths == ["/api/token/refresh/"]


def test_redirects_do_not_lead_elsewhere(serving, site, other):
    client = serving(label_studio=LabelStudio(origins=(site.origin, other.origin), token="a-token"))
    places = {
        "/1": f"{other.origin}/a.png",
        "/2": "//evil.example/a.png",
        "/3": "https://127.0.0.1/a.png",
        "/4": "http://169.254.169.254/",
        "/5": "file:///etc/passwd",
        "/6": "/6",
        "/7": "http://[",
    }
    for path, to in places.items():
        site.answers[path] = redirect(to)
        assert error_of(ask(client, path))[0] in (403, 422), to
    assert other.seen == []
    assert site.paths == [*["/1", "/2", "/3", "/4", "/5"], *["/6"] * 4, "/7"]


def test_what_does_not_fit_or_is_damaged(serving, site):
    # Room for one and a half images: it would be used up if anything kept some.
    client = serving(
        label_studio=LabelStudio(origins=(site.origin,)),
        body_bytes=len(PNG),
        pending_bytes=200_000,
    )
    half = PNG[: len(PNG) // 2]
    long = PNG + b"x" * 70_000
    answers = {
        "/long": (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(long), long), 413),
        "/endless": (b"HTTP/1.0 200 OK\r\n\r\n" + long, 413),
        "/chunks": (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
            % (len(long), long),
            413,
        ),
        "/cut": (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(PNG), half), 422),
        "/half": (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(half), half), 422),
        "/text": (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", 422),
        "/nothing": (b"", 422),
        "/noise": (b"\0\1\2" * 1000, 422),
        "/status": (b"HTTP/1.1 200000 OK\r\n\r\n", 422),
        "/headers": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, 422),
        "/switch": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 422),
        "/empty": (b"HTTP/1.1 204 No Content\r\n\r\n", 422),
        "/refused": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 422),
        "/nowhere": (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", 422),
    }
    for path, (answer, status) in answers.items():
        site.answers[path] = answer
        for _ in range(3):
            assert error_of(ask(client, path))[0] == status, path
    assert regions_of(ask(client, "/a.png"))


@pytest.mark.parametrize("begins", [None, FOUND[:-50]])
def test_who_does_not_answer_is_not_waited_for(site, begins):
    site.answers["/never"], site.begins = None, begins or b""
    room = Room(10**6)
    allowed = LabelStudio(origins=(site.origin,))
    fetcher = Fetcher(allowed, most=10**6, seconds=0.3, room=room)
    with pytest.raises(ApiError, match=r"0\.3 seconds") as caught:
        asyncio.run(fetcher.get(fetcher.address("/never")))
    assert (caught.value.status_code, caught.value.code) == (422, "image")
    room.take(10**6)  # all of it is there again


def test_nobody_listens_there(serving):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = serving(label_studio=LabelStudio(origins=(origin,)))
    assert error_of(ask(client, "/a.png")) == (422, "image")


@pytest.mark.parametrize(
    ("origin", "meaning", "is_own", "status"),
    [
        ("studio.example", ["127.0.0.1"], True, 200),
        ("studio.example", ["::1", "127.0.0.1"], True, 200),  # the first of them does not answer
        ("studio.example", ["169.254.169.254"], True, 403),
        ("studio.example", ["0.0.0.0"], True, 403),
        ("studio.example", ["224.0.0.1", "fe80::1"], True, 403),
        ("pictures.example", ["127.0.0.1"], False, 403),
        ("pictures.example", ["10.0.0.1", "192.168.1.1", "fd00::1"], False, 403),
        ("pictures.example", ["::ffff:127.0.0.1", "::1"], False, 403),
        ("pictures", ["127.0.0.1"], False, 200),
        ("pictures", ["169.254.169.254"], False, 403),
        ("127.0.0.1", None, False, 200),
    ],
)
def test_private_addresses(serving, site, names, origin, meaning, is_own, status):
    meanings, asked = names
    if meaning is not None:
        meanings[origin] = meaning
    place = f"http://{origin}:{site.port}"
    origins = (place,) if is_own else ("https://studio.example", place)
    answer = ask(serving(label_studio=LabelStudio(origins=origins)), f"{place}/a.png")
    assert answer.status_code == status, answer.text
    assert bool(site.seen) == (status == 200)
    assert asked == [] if meaning is None else [origin]


def test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to(
    serving, site, names, monkeypatch
):
    meanings, asked = names
    meanings["pictures.example"] = ["8.8.8.8"]
    connected, real = [], asyncio.open_connection

    async def open_connection(host, port, **options):
        connected.append((host, port, options))
        meanings["pictures.example"] = ["127.0.0.1"]  # what it means from now on
        return await real("127.0.0.1", site.port)

    monkeypatch.setattr(asyncio, "open_connection", open_connection)
    origins = ("https://studio.example", "http://pictures.example")
    client = serving(label_studio=LabelStudio(origins=origins))
    assert regions_of(ask(client, "http://PICTURES.example:80/a.png#part"))
    assert connected == [("8.8.8.8", 80, {"ssl": None, "server_hostname": None})]
    assert asked == ["pictures.example"]
    assert site.seen[0][2]["Host"] == "pictures.example"


def test_certificates_are_those_of_the_name(serving, site, names):
    """The server speaks no TLS, so that nothing is sent to it."""
    meanings, _ = names
    meanings["studio.example"] = ["127.0.0.1"]
    origin = f"https://studio.example:{site.port}"
    client = serving(label_studio=LabelStudio(origins=(origin,), token="a-token"))
    assert error_of(ask(client, "/a.png")) == (422, "image")
    assert site.seen == []
