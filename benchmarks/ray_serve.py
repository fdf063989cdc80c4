"""Ray Serve around the server: requests a second with several replicas, and the loss of one.

    python benchmarks/ray_serve.py --replicas 2
    python benchmarks/ray_serve.py --replicas 2 --kill 5

Clients of examples/client.py ask for masks of boxes in images that each of them knows; every answer
is compared with the library's. It needs the package ray[serve].
"""

import argparse
import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

import samkit
from samkit import Prompt, rle

EXAMPLES = Path(__file__).parents[1] / "examples"
BOX = (172, 18, 424, 285)


@contextlib.contextmanager
def serving(replicas: int, port: int):
    """Run the example until the end of the block."""
    command = [sys.executable, EXAMPLES / "ray_serve.py", "--replicas", replicas, "--port", port]
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
                    break
                time.sleep(0.1)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def replica_processes() -> list[int]:
    """Ids of the processes of this user that are replicas."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == os.getuid() and path.read_bytes().startswith(
                b"ray::ServeReplica:default:samkit"
            ):
                found.append(int(path.parent.name))
    return found


def images(count: int) -> list[bytes]:
    """So many different photographs: one, brightened bit by bit."""
    with Image.open(EXAMPLES / "coffee.jpg") as photo:
        pixels = np.asarray(photo)
    files = []
    for i in range(count):
        file = io.BytesIO()
        Image.fromarray(np.minimum(pixels, 255 - i) + np.uint8(i)).save(file, "PNG")
        files.append(file.getvalue())
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--images", type=int, default=4, help="of each client")
    parser.add_argument("--requests", type=int, default=100, help="of each client")
    parser.add_argument("--kill", type=float, help="kill a replica after so many seconds")
    parser.add_argument("--port", type=int, default=8700)
    options = parser.parse_args()

    files = images(options.clients * options.images)
    predictor = samkit.load("pico")
    expected = [
        predictor.predict(predictor.embed(file), Prompt.box(*BOX)).masks[0] for file in files
    ]
    client = runpy.run_path(str(EXAMPLES / "client.py"))
    times: list[list[tuple[float, float]]] = [[] for _ in range(options.clients)]
    wrong, errors, sent = [], [], []

    class Server(client["Server"]):
        def post(self, path: str, body: object, about: str = ""):
            if path == "/v1/embeddings":
                sent.append(path)
            try:
                return super().post(path, body, about)
            except (client["Refused"], OSError) as error:
                errors.append(f"{type(error).__name__} {error}"[:70])
                raise

    def ask(which: int, begin: float) -> None:
        server = Server(f"http://127.0.0.1:{options.port}")
        for i in range(options.requests):
            number = which * options.images + i % options.images
            start = time.perf_counter()
            answer = server.masks(files[number], [{"box": BOX}])
            times[which].append((start - begin, time.perf_counter() - start))
            counts = answer["masks"][0]["rle"]["counts"].encode()
            if (rle.decode_one(counts, (400, 600)) != expected[number]).any():
                wrong.append(number)

    with serving(options.replicas, options.port):
        begin = time.perf_counter()
        threads = [threading.Thread(target=ask, args=(i, begin)) for i in range(options.clients)]
        for thread in threads:
            thread.start()
        if options.kill is not None:
            time.sleep(options.kill)
            os.kill(replica_processes()[0], signal.SIGKILL)
        for thread in threads:
            thread.join()
        took = time.perf_counter() - begin
    all_times = [seconds for mine in times for _, seconds in mine]
    p50, p99 = np.percentile(all_times, [50, 99])
    print(f"{len(all_times)} requests in {took:.1f} s, {len(all_times) / took:.1f} a second")
    print(f"p50 {p50:.3f} s, p99 {p99:.3f} s, longest {max(all_times):.2f} s")
    print(f"{len(wrong)} wrong masks; images sent {len(sent)} times for {len(files)}")
    for text in sorted(set(errors)):
        print(f"{errors.count(text)} times {text}")


if __name__ == "__main__":
    main()
