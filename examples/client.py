"""A program that asks a server: masks of a photograph, then a video that is tracked.

    python examples/client.py                           # starts a server itself
    python examples/client.py http://127.0.0.1:8000     # asks one; its token is in SAMKIT_TOKEN

It needs samkit[serve] only where it starts the server; to ask, what comes with Python is enough.
"""

import argparse
import base64
import contextlib
import hashlib
import http.client
import io
import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent


# Times that a request is sent, and seconds to wait where the server does not say how many.
ATTEMPTS, PAUSE = 8, 1.0


class Refused(Exception):
    """An answer that is an error. Code and message are the server's; see docs/server.md."""

    def __init__(self, error: urllib.error.HTTPError) -> None:
        self.status, self.pause = error.code, float(error.headers.get("Retry-After", PAUSE))
        text = error.read().decode(errors="replace")
        try:
            answer = json.loads(text)["error"]
        except (ValueError, KeyError, TypeError):  # of a proxy
            answer = {"code": "", "message": text}
        self.code = answer["code"]
        super().__init__(f"{self.status} {answer['message']}")


class Server:
    """A server by its address, such as http://127.0.0.1:8000."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self.ids: dict[str, str] = {}  # hash of an image -> its id there

    def post(self, path: str, body: object, about: str = "") -> http.client.HTTPResponse:
        """Send bytes as they are, or anything else as JSON.

        Where several servers answer behind one address, `about` says which requests belong to one.
        """
        is_file = isinstance(body, bytes)
        request = urllib.request.Request(
            self.address + path, body if is_file else json.dumps(body).encode(), method="POST"
        )
        kind = "application/octet-stream" if is_file else "application/json"
        request.add_header("Content-Type", kind)
        if about:
            request.add_header("X-Session-Id", about)
        if token := os.environ.get("SAMKIT_TOKEN"):
            request.add_header("Authorization", f"Bearer {token}")
        try:
            return urllib.request.urlopen(request, timeout=300)
        except urllib.error.HTTPError as error:
            raise Refused(error) from None

    def masks(self, image: bytes, prompts: list[dict], **options: object) -> dict:
        """Masks of an image, which is sent where the server has not seen it, or not any more."""
        about = hashlib.sha256(image).hexdigest()
        body = {"prompts": prompts, **options}
        for attempt in range(ATTEMPTS):
            try:
                if about not in self.ids:
                    with self.post("/v1/embeddings", image, about) as answer:
                        self.ids[about] = json.load(answer)["id"]
                with self.post(f"/v1/embeddings/{self.ids[about]}/masks", body, about) as answer:
                    return json.load(answer)
            except (Refused, OSError, http.client.HTTPException) as error:
                is_last = attempt == ATTEMPTS - 1
                if isinstance(error, Refused) and error.code == "expired" and not is_last:
                    self.ids.pop(about, None)
                elif is_last or (isinstance(error, Refused) and error.status < 500):
                    raise
                else:  # it is busy, restarts, or went away: all of this can be asked twice
                    time.sleep(getattr(error, "pause", PAUSE))
        raise AssertionError

    def track(self, name: str, about: str, **options: object) -> Iterator[dict]:
        """The frames of a session, each as soon as it is tracked."""
        with self.post(f"/v1/videos/{name}/track", options, about) as events:
            kind = ""
            for line in map(bytes.decode, events):
                if line.startswith("event: "):
                    kind = line[7:].strip()
                elif line.startswith("data: ") and kind == "frame":
                    yield json.loads(line[6:])
                elif line.startswith("data: ") and kind == "error":
                    sys.exit(f"tracking ended: {line[6:].strip()}")


@contextlib.contextmanager
def a_server() -> Iterator[str]:
    """Start one at any free port -> its address."""
    command = [sys.executable, "-m", "samkit", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            if not found:
                sys.exit("the server did not start")
            yield found[0]
        finally:
            process.terminate()


def picture(answer: dict, mask: dict) -> Image.Image:
    """A mask as a picture: white on black, as large as the image."""
    height, width = answer["image_size"]
    whole = Image.new("1", (width, height))
    part = Image.open(io.BytesIO(base64.b64decode(mask["png"]["data"])))
    whole.paste(part, (mask["png"]["x"], mask["png"]["y"]))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", nargs="?", help="of a server; without it one is started")
    options = parser.parse_args()
    output = Path("outputs")
    output.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        server = Server(options.address or stack.enter_context(a_server()))

        answer = server.masks(
            (HERE / "coffee.jpg").read_bytes(), [{"box": [172, 18, 424, 285]}], format="png"
        )
        (cup,) = answer["masks"]
        picture(answer, cup).save(output / "cup.png")
        print(f"outputs/cup.png: {cup['area']} pixels, score {cup['score']:.2f}")

        about = secrets.token_hex(8)
        with server.post("/v1/videos", (HERE / "coffee.mp4").read_bytes(), about) as video:
            name = json.load(video)["id"]
        prompt = {"frame": 0, "object_id": 1, "prompt": {"box": [114, 0, 303, 188]}}
        server.post(f"/v1/videos/{name}/prompts", prompt, about).close()
        for frame in server.track(name, about, stop=8):
            (cup,) = frame["masks"]
            print(f"frame {frame['frame']}: {cup['area']} pixels, there {cup['presence']:.2f}")


if __name__ == "__main__":
    try:
        main()
    except (Refused, OSError) as error:
        sys.exit(f"the server did not answer as it should: {error}")
