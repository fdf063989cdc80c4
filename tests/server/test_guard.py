"""Who may call, how much, and that a failure tells nothing."""

import base64
import errno
import hashlib
import html
import re
from pathlib import Path

import pytest
from server.calls import begin, embed, error_of, masks, picture, prompt

from samkit import ImagePredictor
from samkit.errors import InputError
from samkit.server import ServerSettings, create_app

ONE, TWO = ({"Authorization": f"Bearer {token}"} for token in ("first-token", "second-token"))


@pytest.fixture
def guarded(serving):
    return serving(tokens=("first-token", "second-token"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic first-token"},
        {"Authorization": "first-token"},
        {"Authorization": "Bearer first-tokenX"},
        {"Authorization": "Bearer first-tok\xe9n"},
    ],
)
def test_a_token_is_needed(guarded, headers):
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    for url in ("/v1/models", "/v1/embeddings", "/metrics", "/openapi.json", "/docs", "/no"):
        answer = guarded.get(url, headers=encoded)
        assert error_of(answer) == (401, "unauthorized"), url
        assert answer.headers["www-authenticate"] == "Bearer"
    assert guarded.get("/healthz").status_code == 200


def test_tokens_see_their_own_only(guarded, clip):
    guarded.headers = ONE
    image, video = embed(guarded)["id"], begin(guarded, clip)["id"]
    assert prompt(guarded, video).status_code == 200
    guarded.headers = TWO
    assert error_of(masks(guarded, image)) == (404, "expired")
    assert error_of(prompt(guarded, video)) == (404, "expired")
    assert error_of(guarded.get(f"/v1/videos/{video}/frames/0")) == (404, "expired")
    for url in (f"/v1/embeddings/{image}", f"/v1/videos/{video}"):
        assert guarded.delete(url).status_code == 204  # as of anything that is not there
    guarded.headers = ONE
    assert masks(guarded, image).status_code == 200
    assert guarded.get(f"/v1/videos/{video}").json()["object_ids"] == [1]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("localhost@evil.example", 403),
        ("", 403),
        ("[::2]", 403),
    ],
)
def test_the_name_of_the_server(client, host, status):
    assert client.get("/v1/models", headers={"Host": host}).status_code == status


def test_other_names_can_be_allowed(serving):
    named = serving(hosts=("samkit.example",))
    assert named.get("/healthz", headers={"Host": "samkit.example:443"}).status_code == 200
    assert named.get("/healthz").status_code == 403
    assert serving(hosts=("*",)).get("/healthz", headers={"Host": "any"}).status_code == 200


def test_pages_of_other_places_may_not_call(serving):
    client = serving(origins=("https://good.example",))
    good = ("http://localhost", "https://good.example")
    bad = ("https://evil.example", "null", "http://localhost:99", "http://[")
    for origin, status in [(one, 201) for one in good] + [(one, 403) for one in bad]:
        answer = client.post("/v1/embeddings", content=picture(), headers={"Origin": origin})
        assert answer.status_code == status, origin
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == ("https://good.example" if "good" in origin else None)


def test_what_was_refused_is_counted_by_reason(guarded):
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "https://evil.example", **ONE},
        {},
        {"Authorization": "Bearer wrong"},
        ONE,
    ):
        guarded.get("/v1/models", headers=headers)
    assert refused(guarded, ONE) == {"host": 1, "origin": 1, "token": 2}


def refused(client, headers=None):
    """Reason -> number."""
    lines = client.get("/metrics", headers=headers).text.splitlines()
    found = (re.match(r'samkit_refused_total{reason="(.*)"} (.*)', line) for line in lines)
    return {one[1]: float(one[2]) for one in found if one}


def test_too_much_is_refused_before_it_is_read(serving):
    client = serving(body_bytes=1000, video_bytes=5000, json_bytes=1000)

    def sent(bytes_):  # without saying how much it will be
        for _ in range(bytes_ // 100):
            yield b"x" * 100

    for content in (b"x" * 1001, sent(1100)):
        assert error_of(client.post("/v1/embeddings", content=content)) == (413, "too_large")
    assert error_of(client.post("/v1/embeddings", content=sent(900))) == (422, "image")
    assert error_of(client.post("/v1/videos", content=sent(4900))) == (422, "invalid")
    assert error_of(client.post("/v1/videos", content=sent(5100))) == (413, "too_large")
    for url in ("/v1/videos", "/v1/videos/x/prompts"):  # JSON is never written to disk
        answer = client.post(url, content=b"x" * 2000, headers={"Content-Type": "application/json"})
        assert error_of(answer) == (413, "too_large")
    assert refused(client) == {"too_large": 5}


def test_an_unexpected_failure_tells_nothing(serving, predictors, monkeypatch):
    client = serving()

    def broken(*_, **__):
        raise RuntimeError("the secret path /home/somebody")

    monkeypatch.setattr(ImagePredictor, "embed", broken)
    answer = client.post("/v1/embeddings", content=picture())
    assert error_of(answer) == (500, "internal")
    assert "secret" not in answer.text
    assert client.get("/healthz").status_code == 200


def test_wrong_methods_and_addresses(client):
    assert error_of(client.get("/v1/embeddings"))[0] == 405
    assert error_of(client.get("/nothing")) == (404, "not_found")
    assert client.get("/v1/models").headers["x-content-type-options"] == "nosniff"


def test_it_describes_itself(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert "/v1/embeddings/{name}/masks" in paths
    assert "/v1/videos/{name}/track" in paths
    page = client.get("/docs")
    assert all(path in page.text for path in paths)
    assert "Look at an image once" in page.text
    assert 'rle | png | polygons = "rle"' in html.unescape(page.text)
    # Nothing of elsewhere, not even if there were a script: the style is the page's own.
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    (style,) = re.findall("<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert not re.search("https?://|<script|<link", page.text)
    assert client.get("/redoc").status_code == 404


@pytest.mark.parametrize(
    "settings",
    [
        {"tokens": "abc"},
        {"tokens": ("",)},
        {"hosts": None},
        {"body_bytes": 0},
        {"seconds": float("inf")},
        {"seconds": float("nan")},
        {"waiting": True},
        {"waiting": "3"},
        {"root": "/no/such/folder"},
    ],
)
def test_bad_settings(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        ServerSettings(**settings)


@pytest.mark.parametrize("predictors", [{}, None, "pico", {"a": 1}])
def test_bad_predictors(predictors):
    with pytest.raises(InputError, match="predictors"):
        create_app(predictors)


def test_browsers_ask_before_they_send_a_token(serving):
    client = serving(tokens=("a-long-token",), origins=("https://good.example",))
    headers = {
        "Origin": "https://good.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = client.options("/v1/embeddings", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://good.example"
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert client.options("/v1/models").status_code == 405


def test_errors_with_halves_of_characters(client):
    body = b'{"prompts": [{"\\ud800": 1}]}'
    headers = {"Content-Type": "application/json"}
    name = embed(client)["id"]
    answer = client.post(f"/v1/embeddings/{name}/masks", content=body, headers=headers)
    assert error_of(answer) == (422, "prompt")


def test_a_full_disk(serving, clip, monkeypatch):
    client = serving(tokens=("a-long-token",))
    client.headers = {"Authorization": "Bearer a-long-token"}

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    content = clip.read_bytes()
    monkeypatch.setattr(Path, "open", full)
    assert error_of(client.post("/v1/videos", content=content)) == (507, "full")
    monkeypatch.undo()
    assert begin(client, clip)["frames"] == 12


def test_a_folder_that_cannot_be_written_to(predictors, tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(InputError, match="cannot write in"):
        create_app(predictors, ServerSettings(folder=tmp_path))
