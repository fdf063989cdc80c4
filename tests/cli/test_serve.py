"""`samkit serve`: over a real socket, as a program of its own."""

import base64
import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from samkit import limits
from samkit.masks.brush import decode_brush

IMAGE = Path(__file__).parents[2] / "examples" / "coffee.jpg"


@pytest.fixture
def started():
    """Start `samkit serve`, and give its process and port; end it."""
    processes = []

    def start(*arguments, command="serve"):
        command = [sys.executable, "-m", "samkit", command, "--port", "0", *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)(?:/#token=(\S+))?", line)
        assert found, line + process.stderr.read()
        if command[3] == "annotate":
            return process, int(found[1]), found[2]
        return process, int(found[1])

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def ask(port, method, url, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        for _ in range(200):
            try:
                connection.request(method, url, body, headers or {})
                break
            except ConnectionRefusedError:  # it listens before it serves
                time.sleep(0.05)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def check_label_studio(port):
    password = base64.b64encode(b"labels:a-long-token").decode()
    headers = {"Authorization": f"Basic {password}", "Content-Type": "application/json"}
    assert ask(port, "GET", "/health")[0] == 401
    assert ask(port, "GET", "/health", headers=headers)[1]["status"] == "UP"
    config = """<View><Image name="image" value="$image"/>
                <BrushLabels name="tag" toName="image"><Label value="cup"/></BrushLabels></View>"""
    region = {"type": "rectanglelabels", "to_name": "image"}
    region |= {"original_width": 600, "original_height": 400}
    value = {"x": 28.7, "y": 4.5, "width": 42, "height": 66.75, "rectanglelabels": ["cup"]}
    body = {
        "tasks": [{"id": 1, "data": {"image": "/data/local-files/?d=coffee.jpg"}}],
        "label_config": config,
        "params": {"context": {"result": [region | {"value": value}]}},
    }
    status, answer = ask(port, "POST", "/predict", json.dumps(body), headers)
    assert status == 200
    (found,) = answer["results"][0]["result"]
    mask = decode_brush(found["value"]["rle"], (400, 600), "the cup")
    assert 40_000 < mask.sum() < 60_000


def test_a_photograph_is_segmented_and_the_server_ends_cleanly(started):
    """By a program and by Label Studio, whose password is the token."""
    options = ("--label-studio", "--root", str(IMAGE.parent))
    process, port = started("--token", "a-long-token", "--models", "pico", *options)
    assert ask(port, "GET", "/healthz")[0] == 200
    assert ask(port, "GET", "/v1/models")[0] == 401
    headers = {"Authorization": "Bearer a-long-token"}
    status, image = ask(port, "POST", "/v1/embeddings", IMAGE.read_bytes(), headers)
    assert (status, image["image_size"]) == (201, [400, 600])
    body = json.dumps({"prompts": [{"box": [172, 18, 424, 285]}]})
    url = f"/v1/embeddings/{image['id']}/masks"
    status, found = ask(port, "POST", url, body, {**headers, "Content-Type": "application/json"})
    assert status == 200
    (mask,) = found["masks"]
    assert 40_000 < mask["area"] < 60_000  # the cup
    check_label_studio(port)
    # A client that sends half a request and leaves does no harm.
    with socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nx"
        )
    assert ask(port, "GET", "/v1/models", headers=headers)[0] == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err
    assert process.returncode in (0, 130, -signal.SIGINT)


def test_a_server_after_a_killed_one(started, tmp_path, monkeypatch):
    """It removes what that one left, and refuses a picture that would take too much."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process, _ = started()
    (left,) = tmp_path.glob(".samkit-*")
    assert left.stat().st_mode & 0o077 == 0  # what clients sent is nobody else's
    process.kill()
    process.wait()
    _, port = started()
    (new,) = tmp_path.glob(".samkit-*")
    assert new != left
    bits = Image.new("1", (9000, 9000))  # 10 kB, and within the library's own limit
    file = io.BytesIO()
    bits.save(file, "PNG")
    status, answer = ask(port, "POST", "/v1/embeddings", file.getvalue())
    assert (status, answer["error"]["code"]) == (422, "image")
    assert "SAMKIT_MAX_IMAGE_PIXELS" in answer["error"]["message"]


def test_the_page_of_a_folder_is_for_whoever_has_its_address(started, tmp_path):
    arguments = (str(IMAGE), "-o", str(tmp_path / "out"), "--classes", "cup, plate", "--no-browser")
    _, port, token = started(*arguments, command="annotate")
    assert ask(port, "GET", "/v1/project")[0] == 401
    headers = {"Authorization": f"Bearer {token}"}
    status, project = ask(port, "GET", "/v1/project", headers=headers)
    assert status == 200
    assert project["classes"] == ["cup", "plate"]
    assert [one["name"] for one in project["images"]] == ["coffee.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--label-studio-origin", "https://a.example"), "--label-studio"),
        (("--label-studio", "--label-studio-origin", "a.example"), "https://example.org"),
        (("--host", "0.0.0.0"), "--token"),
        (("--token", "short"), "8 characters"),
        (("--memory", "much"), "500MB"),
        (("--memory", "-1GB"), "500MB"),
        (("--models", "no-such-model"), "no-such-model"),
        (("--port", "70000"), "65535"),
        (("--root", "no-such-folder"), "no-such-folder"),
    ],
)
def test_wrong_usage(run, arguments, message):
    code, _, err = run("serve", *arguments)
    assert code == 2
    assert message in " ".join(err.replace("│", " ").split())


def test_a_port_that_is_taken(run, monkeypatch):
    monkeypatch.setattr(limits, "_set", {})
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, _, err = run("serve", "--port", str(other.getsockname()[1]))
    assert code == 1
    assert "cannot listen" in err
