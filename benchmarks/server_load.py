"""Latency, refusals and memory of `samkit serve` under load, over the loopback.

    python benchmarks/server_load.py                              # 50 clients, 2,000 requests
    python benchmarks/server_load.py --clients 8 --requests 100

A server is started with pico. Clients send what programs send (embeddings, masks of one and of
twenty prompts, now and then a short video that is tracked), and what they should not: junk, what is
too large, bodies that stop half-way; and some leave. A client that is refused (503)
waits as it is told and asks again, which counts as one request; the time is that of the last try.
Exits with 1 if an answer is none of those that are expected.
"""

import argparse
import http.client
import io
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
JSON = {"Content-Type": "application/json"}
# Of a hundred requests, how many are of a kind.
SHARES = {
    "embed": 20,
    "masks": 50,
    "masks of 20": 12,
    "video": 1,
    "junk": 7,
    "too large": 4,
    "slow": 2,
    "leaves": 4,
}


class Client:
    """A program that asks one thing after the other.

    Args:
        port: of the server.
        seed: of what it asks.
    """

    def __init__(self, port: int, seed: int) -> None:
        self.port, self.random = port, random.Random(seed)
        with Image.open(EXAMPLES / "coffee.jpg") as image:
            turned = np.roll(np.asarray(image), self.random.randrange(600), 1)
        file = io.BytesIO()
        Image.fromarray(turned).save(file, "JPEG", quality=80)
        self.image, self.id, self.refused = file.getvalue(), "", 0
        self.seconds = 0.0

    def ask(
        self, url: str, body: bytes, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Ask until it is not refused."""
        while True:
            began = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
            try:
                connection.request("POST", url, body, headers or {})
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            self.seconds = time.perf_counter() - began
            if answer.status != 503:
                return answer.status, content
            self.refused += 1
            time.sleep(float(answer.headers["Retry-After"] or 1))

    def embed(self) -> bool:
        status, content = self.ask("/v1/embeddings", self.image)
        self.id = json.loads(content)["id"]
        return status == 201

    def masks(self, count: int = 1) -> bool:
        boxes = [
            [x, y, x + 150, y + 120]
            for x, y in (
                (self.random.randrange(450), self.random.randrange(280)) for _ in range(count)
            )
        ]
        body = json.dumps({"prompts": [{"box": box} for box in boxes]}).encode()
        status, content = self.ask(f"/v1/embeddings/{self.id}/masks", body, JSON)
        return status == 200 and len(json.loads(content)["masks"]) == count

    def video(self) -> bool:
        """A video whose object is tracked through six frames; the time is that of tracking."""
        status, content = self.ask("/v1/videos", (EXAMPLES / "coffee.mp4").read_bytes())
        url = f"/v1/videos/{json.loads(content)['id']}"
        prompt = {"frame": 0, "object_id": 1, "prompt": {"box": [114, 0, 303, 188]}}
        self.ask(f"{url}/prompts", json.dumps(prompt).encode(), JSON)
        status, content = self.ask(f"{url}/track", b'{"stop": 6}', JSON)
        return status == 200 and content.count(b"event: frame") == 6 and b"event: end" in content

    def junk(self) -> bool:
        url, body = self.random.choice(
            [
                ("/v1/embeddings", self.image[:500]),
                ("/v1/embeddings", os.urandom(5000)),
                (f"/v1/embeddings/{self.id}/masks", b"[" * 50_000),
                (f"/v1/embeddings/{self.id}/masks", b'{"prompts": [{"points": [[NaN, 1]]}]}'),
                ("/v1/videos", os.urandom(5000)),
            ]
        )
        return self.ask(url, body, JSON if "masks" in url else {})[0] in (400, 422)

    def too_large(self) -> bool:
        """More than is allowed, which the server hears before it comes."""
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", self.port), timeout=300) as half:
            half.sendall(self._head(10**9))
            status = half.recv(12)
        self.seconds = time.perf_counter() - began
        return status.endswith((b"413", b"503"))

    def slow(self) -> bool:
        """Half an image, and no more."""
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", self.port), timeout=300) as half:
            half.sendall(self._head(len(self.image)) + self.image[:1000])
            status = half.recv(12)
        self.seconds = time.perf_counter() - began
        return status.endswith((b"408", b"503"))

    def leaves(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=300) as gone:
            gone.sendall(self._head(len(self.image)) + self.image)
        return True

    def _head(self, size: int) -> bytes:
        return (
            f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
        ).encode()

    def kinds(self) -> dict[str, Callable[[], bool]]:
        """What it can ask, by the names of `SHARES`."""
        return {
            "embed": self.embed,
            "masks": self.masks,
            "masks of 20": lambda: self.masks(20),
            "video": self.video,
            "junk": self.junk,
            "too large": self.too_large,
            "slow": self.slow,
            "leaves": self.leaves,
        }


def started() -> tuple["subprocess.Popen[str]", int]:
    """A server and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "samkit", "serve", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
    assert found
    return process, int(found[1])


def memory(process: "subprocess.Popen[str]") -> dict[str, int]:
    """Resident memory of a process now, and the most that it had, in MB (Linux)."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return {name: int(size) // 1024 for name, size in re.findall(r"Vm(RSS|HWM):\s+(\d+)", text)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=2000, help="of all clients")
    options = parser.parse_args()

    process, port = started()
    times: dict[str, list[float]] = defaultdict(list)
    wrong: Counter[str] = Counter()
    wanted = random.Random(0).choices(list(SHARES), list(SHARES.values()), k=options.requests)
    clients = [Client(port, seed) for seed in range(options.clients)]
    lock = threading.Lock()

    def work(client: Client, share: list[str]) -> None:
        kinds = client.kinds()
        for kind in ["embed", *share]:
            try:
                is_right = kinds[kind]()
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                is_right = False
                print(f"{kind}: {error!r}", file=sys.stderr)
            with lock:
                times[kind].append(client.seconds)
                wrong[kind] += not is_right

    try:
        Client(port, 0).embed()
        start, began = memory(process)["RSS"], time.perf_counter()
        threads = [
            threading.Thread(target=work, args=(client, wanted[i :: options.clients]))
            for i, client in enumerate(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        end = memory(process)
    finally:
        process.terminate()
        process.wait()
    print(f"{'kind':14}{'number':>7}{'p50':>8}{'p90':>8}{'p99':>8} s{'wrong':>8}")
    for kind in SHARES:
        if times[kind] and kind != "leaves":
            p50, p90, p99 = np.percentile(times[kind], (50, 90, 99))
            print(f"{kind:14}{len(times[kind]):7}{p50:8.2f}{p90:8.2f}{p99:8.2f}{wrong[kind]:10}")
    print(f"{options.requests + options.clients} requests in {took:.0f} s")
    print(f"refused and asked again: {sum(client.refused for client in clients)} times")
    print(f"memory: {start} MB at the start, {end['HWM']} MB at most, {end['RSS']} MB at the end")
    if wrong.total():
        sys.exit(f"{wrong.total()} answers were not as expected")


if __name__ == "__main__":
    main()
