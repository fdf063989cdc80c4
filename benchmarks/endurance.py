"""Memory, threads and open files of long runs. Exits with 1 if one of them grows.

    python benchmarks/endurance.py                          # everything
    python benchmarks/endurance.py open load --share 0.1    # two parts, a tenth of the rounds

Everything is done with pico at a small input size, so that all of it takes minutes. Resident memory
is shown after 10 %, 50 % and 100 % of the rounds; after the first 10 %, in which caches fill up, it
may grow by 3 % or 15 MB, whichever is more. Threads and open files may not grow at all (Linux).
"""

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import torch
from tracking_memory import moving_square, resident

import samkit
from samkit import Prompt
from samkit.media.video_writer import VideoWriter
from samkit.weights.adapting import with_input_size

SIZE, INPUT_SIZE = (60, 80), (96, 128)
GROWTH, GROWTH_BYTES = 0.03, 15 * 2**20
MARKS = (0.1, 0.5, 1.0)
SETTLED = 30  # rounds before the first reading at least: a tracker holds what 16 frames gave it


@dataclass(frozen=True)
class Reading:
    """What a process holds at one time."""

    memory: int
    threads: int
    files: int


def reading() -> Reading:
    # Before garbage is collected, which `resident` does: what is closed has to be gone.
    threads, files = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
    return Reading(resident(), threads, files)


def predicts(predictor: samkit.ImagePredictor, clip: Path) -> Generator[None, None, None]:
    """Another picture and another click each time."""
    for i, frame in enumerate(moving_square(SIZE)):
        predictor.predict(frame, Prompt.point(i % SIZE[1], i % SIZE[0]))
        yield


def tracking(objects: int) -> Callable[[samkit.ImagePredictor, Path], Generator[None, None, None]]:
    def tracking(predictor: samkit.ImagePredictor, clip: Path) -> Generator[None, None, None]:
        """Frames of a stream without end."""
        with samkit.VideoPredictor(predictor, moving_square(SIZE)) as tracker:
            for i in range(objects):
                x, y = 20 * (i % 4), 30 * (i // 4)
                tracker.prompt(0, i, Prompt.box(x, y, x + 20, y + 30))
            for _ in tracker.track():
                yield

    return tracking


def loads(predictor: samkit.ImagePredictor, clip: Path) -> Generator[None, None, None]:
    """The bundled weights from their file."""
    while True:
        samkit.load("pico", device="cpu")
        yield


def opens(predictor: samkit.ImagePredictor, clip: Path) -> Generator[None, None, None]:
    """A video file, opened, looked at and closed."""
    while True:
        with samkit.VideoPredictor(predictor, clip) as tracker:
            tracker.prompt(1, 1, Prompt.point(10, 10))
        yield


PARTS = {
    "predict": (predicts, 3000),
    "track": (tracking(1), 3000),
    "track 8 objects": (tracking(8), 3000),
    "load": (loads, 200),
    "open": (opens, 700),
}


def write_clip(path: Path) -> None:
    with VideoWriter(path) as writer:
        for _, frame in zip(range(10), moving_square(SIZE), strict=False):
            writer.write(frame)


def endure(name: str, rounds: Generator[None, None, None], count: int) -> list[str]:
    """Do a part and print its table -> what grew."""
    began = time.perf_counter()
    marks = [min(count, max(SETTLED, round(mark * count))) for mark in MARKS]
    readings = []
    for i, _ in zip(range(1, count + 1), rounds, strict=False):
        for _ in range(marks.count(i)):
            readings.append(reading())
            show = readings[-1]
            print(
                f"{name:16}{i:6}{show.memory / 2**20:10.1f} MB{show.threads:9}{show.files:8}"
                f"{(time.perf_counter() - began) / i:10.3f} s",
                flush=True,
            )
    rounds.close()
    gc.collect()
    first, last = readings[0], readings[-1]
    most = max(GROWTH * first.memory, GROWTH_BYTES)
    grown = {
        "memory": last.memory - first.memory > most,
        "threads": last.threads > first.threads,
        "open files": last.files > first.files,
    }
    return [f"{what} of {name!r}" for what, bad in grown.items() if bad]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--share", type=float, default=1, help="of the rounds")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"expected some of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")

    torch.set_num_threads(options.threads)
    network = with_input_size(samkit.load("pico", device="cpu").network, INPUT_SIZE)
    predictor = samkit.ImagePredictor(network, device="cpu")
    print(f"{'part':16}{'rounds':>6}{'resident':>13}{'threads':>9}{'files':>8}{'a round':>12}")
    grown = []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip)
        for name in options.parts or PARTS:
            part, count = PARTS[name]
            count = max(SETTLED, round(count * options.share))
            grown += endure(name, part(predictor, clip), count)
    if grown:
        sys.exit(f"grew: {', '.join(grown)}")


if __name__ == "__main__":
    main()
