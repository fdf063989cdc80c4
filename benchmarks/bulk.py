"""Throughput, memory and kills of `samkit bulk`. Exits with 1 if rows are not the same.

    python benchmarks/bulk.py throughput PHOTOS --images 2000 --jobs 1 2   # beside a plain loop
    python benchmarks/bulk.py kills PHOTOS --images 200 --kills 20
    python benchmarks/bulk.py listing --images 1000000

PHOTOS is a folder of photographs, with all in it; they are repeated with changes (a crop, a mirror
image, another brightness) until there are enough, at most 256 pixels wide and high. Two files more
are no images: one is damaged, one is empty.
"""

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow
import pyarrow.parquet as pq

from samkit import AutomaticMaskGenerator, bulk, load
from samkit.bulk.shards import plan
from samkit.bulk.sources import list_items
from samkit.media import IMAGE_SUFFIXES, read_image, write_image

SIDE = 256
SECONDS_BETWEEN_READINGS = 0.5


def make_photos(source: Path, folder: Path, count: int) -> None:
    """Photographs with changes, the same every time, and two files that are none."""
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    folder.mkdir(exist_ok=True)
    for i in range(count):
        image = read_image(found[i % len(found)])
        rng = np.random.default_rng(i)
        height, width = image.shape[:2]
        y, x = (int(rng.integers(0, size // 4 + 1)) for size in (height, width))
        image = image[y : y + height * 3 // 4, x : x + width * 3 // 4]
        scale = SIDE / max(image.shape[:2])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = image[:, :: rng.choice([1, -1])]
        image = (image * rng.uniform(0.6, 1.0)).astype(np.uint8)
        write_image(folder / f"{i:07}.jpg", np.ascontiguousarray(image))
    (folder / "damaged.jpg").write_bytes(b"no picture")
    (folder / "empty.jpg").touch()


@dataclass(frozen=True)
class Measured:
    """A command that ended.

    Attributes:
        seconds: on the clock.
        cpu: seconds of all its processes.
        memory: bytes of the first process, and of the largest other one, from time to time.
    """

    seconds: float
    cpu: float
    memory: list[tuple[int, int]]


def bulk_command(photos: Path, dest: Path, points: int, jobs: int) -> list[str]:
    return [
        *(sys.executable, "-m", "samkit", "bulk", str(photos), "-o", str(dest)),
        *("--points-per-side", str(points), "--jobs", str(jobs)),
    ]


def loop_command(photos: Path, points: int) -> list[str]:
    return [sys.executable, __file__, "loop", str(photos), "--points", str(points)]


def loop(photos: Path, points: int) -> None:
    """What a user would write: one process of one thread, and nothing is kept."""
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    generator = AutomaticMaskGenerator(load("pico"), points_per_side=points)
    for path in sorted(photos.iterdir()):
        try:
            generator(path).to_rle()
        except ValueError as error:
            print(error)


def measure(command: Sequence[str]) -> Measured:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    memory: list[tuple[int, int]] = []
    ended = threading.Event()
    watcher = threading.Thread(target=watch, args=(process.pid, memory, ended))
    watcher.start()
    code = process.wait()
    ended.set()
    watcher.join()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(time.monotonic() - began, cpu, memory)


def watch(first: int, memory: list[tuple[int, int]], ended: threading.Event) -> None:
    while not ended.wait(SECONDS_BETWEEN_READINGS):
        others = [resident(child) for child in children(first)]
        memory.append((resident(first), max(others, default=0)))


def children(process: int) -> list[int]:
    try:
        return [
            int(child)
            for thread in Path(f"/proc/{process}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    except OSError:  # it has ended
        return []


def resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    except (OSError, IndexError):
        return 0


def table_of(dest: Path) -> pyarrow.Table:
    return pyarrow.concat_tables(pq.read_table(path) for path in sorted(dest.glob("*.parquet")))


def check_same(one: Path, other: Path) -> None:
    if not table_of(one).equals(table_of(other)):
        raise SystemExit(f"the rows of {one} and {other} are not the same")


def throughput(folder: Path, photos: Path, points: int, rounds: int, jobs: list[int]) -> None:
    """Interleaved runs; medians."""
    count = len(list(photos.iterdir()))
    names = ["loop", *(f"bulk, {n} processes" for n in jobs)]
    found: dict[str, list[Measured]] = {name: [] for name in names}
    dests = []
    for i in range(rounds):
        found["loop"].append(measure(loop_command(photos, points)))
        for n in jobs:
            dests.append(folder / f"{n}-{i}")
            command = bulk_command(photos, dests[-1], points, n)
            found[f"bulk, {n} processes"].append(measure(command))
            check_same(dests[0], dests[-1])
        print(f"round {i + 1}, load {os.getloadavg()[0]:.1f}", flush=True)
    basis = statistics.median(run.cpu for run in found["loop"])
    masks = bulk.status(dests[0]).masks
    size = sum(path.stat().st_size for path in dests[0].glob("*.parquet"))
    print(f"{count} images, {masks} masks of {size / masks:.0f} bytes, {rounds} rounds, medians")
    for name, runs in found.items():
        seconds = statistics.median(run.seconds for run in runs)
        cpu = statistics.median(run.cpu for run in runs)
        print(
            f"{name:20} {seconds:8.1f} s {cpu:8.1f} s of CPU, {count / seconds:6.2f} images/s, "
            f"{1000 * (cpu - basis) / count:+6.1f} ms of CPU an image beside the loop"
        )
        for what, at in (("first process", 0), ("largest other", 1)):  # after 30, 50, 70 %
            readings = [reading[at] / 2**20 for reading in runs[-1].memory]
            marks = [readings[int(part * (len(readings) - 1))] for part in (0.3, 0.5, 0.7)]
            print(f"    {what}: " + ", ".join(f"{mark:.0f} MB" for mark in marks))
    print("rows of all runs are equal")


def kills(folder: Path, photos: Path, points: int, wanted: int, jobs: int) -> None:
    """Kill the driver at random times; a run goes on until it is done, then another begins."""
    dest = folder / "whole"
    whole = measure(bulk_command(photos, dest, points, jobs))
    print(f"without kills: {whole.seconds:.1f} s", flush=True)
    rng = random.Random(0)
    killed = done = 0
    while killed < wanted:
        current = folder / f"killed-{done}"
        process = subprocess.Popen(
            bulk_command(photos, current, points, jobs),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(whole.seconds * rng.random())
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
            there = len(list(current.glob("*.parquet")))
            print(f"killed {killed}, {there} shards are there", flush=True)
            continue
        check_whole(dest, current)
        done += 1
    measure(bulk_command(photos, current, points, jobs))
    check_whole(dest, current)
    print(f"{killed} kills in {done + 1} runs, rows of all of them are equal")


def check_whole(expected: Path, found: Path) -> None:
    check_same(expected, found)
    if wrong := bulk.verify(found):
        raise SystemExit("\n".join(wrong))
    if left := [path.name for path in found.iterdir() if path.name.startswith(".")]:
        raise SystemExit(f"left in {found}: {left}")


def listing(folder: Path, count: int) -> None:
    """What a listing of so many images takes of the first process."""
    names = [f"{i // 1000:04}/{i:08}.jpg" for i in range(count)]
    pq.write_table(pyarrow.table({"path": names}), folder / "paths.parquet")
    del names
    before, began = resident(os.getpid()), time.process_time()
    shards = plan(list_items(folder / "paths.parquet", IMAGE_SUFFIXES))
    listed = time.process_time()
    digests = {shard.digest for shard in shards}
    hashed, memory = time.process_time(), resident(os.getpid()) - before
    print(
        f"{count} images, {len(digests)} shards: listed in {listed - began:.1f} s of CPU, "
        f"hashed in {hashed - listed:.1f} s, {memory / 2**20:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["throughput", "kills", "listing", "loop"])
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--points", type=int, default=4, help="points per side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    if options.mode == "loop":
        loop(options.photos, options.points)
        return
    with tempfile.TemporaryDirectory() as name:
        folder, photos = Path(name), Path(name) / "photos"
        if options.mode == "listing":
            listing(folder, options.images)
            return
        make_photos(options.photos, photos, options.images)
        if options.mode == "throughput":
            throughput(folder, photos, options.points, options.rounds, options.jobs)
        else:
            kills(folder, photos, options.points, options.kills, options.jobs[-1])


if __name__ == "__main__":
    main()
