"""Time and memory of many boxes on one image.

    python benchmarks/many_prompts.py                       # pico, 10,000 boxes, 1200 x 1800
    python benchmarks/many_prompts.py --sizes sam-vit-b --boxes 10000

With --sizes a network of a registered model's sizes is used with random weights, so that nothing
is downloaded. Memory is the highest resident size above that with the model and image in memory.
"""

import argparse
import threading
import time
from pathlib import Path

import numpy as np
import torch

import samkit
from samkit.nn import build
from samkit.weights import find_model


def resident() -> int:
    """Resident memory of this process in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Peak(threading.Thread):
    """Watches the resident memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.start_bytes = self.peak_bytes = resident()
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.02):
            self.peak_bytes = max(self.peak_bytes, resident())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="pico", help="pico, or sizes with random weights")
    parser.add_argument("--boxes", type=int, default=10_000)
    parser.add_argument("--image", type=int, nargs=2, default=(1200, 1800), metavar=("H", "W"))
    options = parser.parse_args()

    torch.manual_seed(0)
    if options.sizes == "pico":
        predictor = samkit.load("pico")
    else:
        predictor = samkit.ImagePredictor(build(find_model(options.sizes).config))
    height, width = options.image
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    corners = rng.uniform(0, 0.8, (options.boxes, 2))
    sizes = rng.uniform(0.05, 0.2, (options.boxes, 2))
    boxes = np.hstack([corners, corners + sizes]) * [width, height, width, height]
    prompts = [samkit.Prompt.box(*box) for box in boxes]
    embedding = predictor.embed(image)
    predictor.predict(embedding, prompts[:16])

    peak = Peak()
    peak.start()
    began = time.perf_counter()
    masks = predictor.predict(embedding, prompts)
    seconds = time.perf_counter() - began
    peak.done.set()
    peak.join()
    print(predictor)
    print(f"{masks}")
    print(f"{seconds:.1f} s, {1000 * seconds / options.boxes:.1f} ms a box")
    print(f"{(peak.peak_bytes - peak.start_bytes) / 2**20:.0f} MB above the model and the image")


if __name__ == "__main__":
    main()
