"""A program that asks a server: masks of a photograph, then a video that is tracked.

    python examples/client.py                           # starts a server itself
    python examples/client.py http://127.0.0.1:8000     # asks one; its token is in SAMKIT_TOKEN

It needs samkit[serve] only where it starts the server; to ask, what comes with Python is enough.
"""

import argparse
import base64
import contextlib
import http.client
import io
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent


class Server:
    """A server by its address, such as http://127.0.0.1:8000."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def post(self, path: str, body: object) -> http.client.HTTPResponse:
        """Send bytes as they are, or anything else as JSON."""
        is_file = isinstance(body, bytes)
        request = urllib.request.Request(
            self.address + path, body if is_file else json.dumps(body).encode(), method="POST"
        )
        kind = "application/octet-stream" if is_file else "application/json"
        request.add_header("Content-Type", kind)
        if token := os.environ.get("SAMKIT_TOKEN"):
            request.add_header("Authorization", f"Bearer {token}")
        try:
            return urllib.request.urlopen(request, timeout=300)
        except urllib.error.HTTPError as error:
            sys.exit(f"{path}: {error.code} {error.read().decode()}")

    def masks(self, image: bytes, prompts: list[dict], **options: object) -> dict:
        """Look at an image, and ask for masks. The id serves for any number of prompts."""
        with self.post("/v1/embeddings", image) as answer:
            name = json.load(answer)["id"]
        body = {"prompts": prompts, **options}
        with self.post(f"/v1/embeddings/{name}/masks", body) as answer:
            return json.load(answer)

    def track(self, name: str, **options: object) -> Iterator[dict]:
        """The frames of a session, each as soon as it is tracked."""
        with self.post(f"/v1/videos/{name}/track", options) as events:
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

        with server.post("/v1/videos", (HERE / "coffee.mp4").read_bytes()) as video:
            name = json.load(video)["id"]
        prompt = {"frame": 0, "object_id": 1, "prompt": {"box": [114, 0, 303, 188]}}
        server.post(f"/v1/videos/{name}/prompts", prompt).close()
        for frame in server.track(name, stop=8):
            (cup,) = frame["masks"]
            print(f"frame {frame['frame']}: {cup['area']} pixels, there {cup['presence']:.2f}")


if __name__ == "__main__":
    main()
