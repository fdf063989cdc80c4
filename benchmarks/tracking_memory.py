"""Resident memory of tracking after 100 frames and at the end.

    python benchmarks/tracking_memory.py                              # sam2.1-tiny, 300 frames
    python benchmarks/tracking_memory.py --frames 10000               # hours on a CPU

Networks have random weights, which changes no size, so nothing is downloaded. Frames are made as
they are needed. One object stays; every 20 frames another comes, is corrected once, and goes.
"""

import argparse
import gc
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import samkit
from samkit import Prompt
from samkit.nn import build
from samkit.weights import find_model

EARLY = 100


def resident() -> int:
    """Resident memory of this process in bytes (Linux)."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def moving_square(size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 without end."""
    height, width = size
    noise = np.random.default_rng(0).integers(0, 90, (height, width, 3), np.uint8)
    side = height // 4
    t = 0
    while True:
        frame = np.roll(noise, t, axis=1)
        x = 5 * t % (width - side)
        frame[side : 2 * side, x : x + side] += 120
        yield frame
        t += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sam2.1-tiny", help="sizes; weights are random")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 854), metavar=("H", "W"))
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    if options.frames <= EARLY:
        parser.error(f"--frames: expected more than {EARLY}")

    torch.manual_seed(0)
    network = build(find_model(options.model).config)
    predictor = samkit.ImagePredictor(network, dtype=options.dtype)
    tracker = samkit.VideoPredictor(predictor, moving_square(options.size))
    side = options.size[0] // 4
    tracker.prompt(0, 0, Prompt.box(0, side, side, 2 * side))
    began, early = time.perf_counter(), 0
    for frame, _ in tracker.track(stop=options.frames + 1):
        if frame % 20 == 5:
            tracker.prompt(frame, frame, Prompt.point(side, side))
        if frame % 20 == 10:
            tracker.prompt(frame, frame - 5, Prompt.point(side, 2 * side, label=0))
        if frame % 20 == 19:
            tracker.remove(frame - 14)
        if frame == EARLY:
            early = resident()
            print(f"{early / 2**20:7.0f} MB after {frame} frames", flush=True)
    late, seconds = resident(), time.perf_counter() - began
    print(
        f"{late / 2**20:7.0f} MB after {options.frames} frames, {100 * (late / early - 1):+.1f} %"
    )
    print(f"{predictor}\n{seconds / options.frames:.2f} s a frame")


if __name__ == "__main__":
    main()
