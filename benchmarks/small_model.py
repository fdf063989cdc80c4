"""Milliseconds of a model for one image, one click and one tracked frame.

    python benchmarks/small_model.py [--model pico] [--image examples/coffee.jpg] [--runs 25]

One image at a time, on the CPU, in float32, as `pico` always runs. The tracked frames show the same
picture again, one object in it. Prints medians and the least.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import samkit
from samkit import Prompt


def milliseconds(job: Callable[[], object], runs: int) -> list[float]:
    for _ in range(4):
        job()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        job()
        times.append(1e3 * (time.perf_counter() - began))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pico")
    parser.add_argument("--image", default="examples/coffee.jpg")
    parser.add_argument("--runs", type=int, default=25)
    args = parser.parse_args()
    predictor = samkit.load(args.model, device="cpu", dtype="float32")
    image = samkit.read_image(args.image)
    height, width = image.shape[:2]
    embedding, click = predictor.embed(image), Prompt.point(width / 2, height / 2)
    times = {
        "image": milliseconds(lambda: predictor.embed(image), args.runs),
        "click": milliseconds(lambda: predictor.predict(embedding, click), args.runs),
    }
    with samkit.VideoPredictor(predictor, [image] * (args.runs + 10)) as video:
        video.prompt(0, 1, click)
        frames = iter(video.track())
        # The first frames fill the memory.
        times["frame"] = milliseconds(lambda: next(frames), args.runs)
    print(f"{args.model}, {torch.get_num_threads()} threads, median and least of {args.runs}")
    for name, each in times.items():
        print(f"{name:<6} {statistics.median(each):6.1f} ms {min(each):6.1f} ms")


if __name__ == "__main__":
    main()
