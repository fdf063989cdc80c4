"""Bulk runs on local clusters of Ray: throughput, and kills of everything that may be killed.

    python benchmarks/bulk_ray.py throughput PHOTOS --images 2000   # processes, one node, three
    python benchmarks/bulk_ray.py kills PHOTOS --images 200 --kills 20

PHOTOS is as of benchmarks/bulk.py. Exits with 1 if rows are not the same.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bulk import bulk_command, check_same, check_whole, make_photos, measure
from ray.cluster_utils import Cluster

NODES = 3


def begin_cluster() -> Cluster:
    """Nodes of one CPU each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.others = [cluster.add_node(num_cpus=1) for _ in range(NODES - 1)]
    return cluster


def ray_command(
    photos: Path, dest: Path, points: int, jobs: int, address: str | None = None
) -> list[str]:
    command = [*bulk_command(photos, dest, points, jobs), "--engine", "ray"]
    return command if address is None else [*command, "--cluster", address]


def throughput(folder: Path, photos: Path, points: int, rounds: int, jobs: int) -> None:
    """Interleaved runs; medians on the clock, from the first line of the command to its last."""
    cluster = begin_cluster()
    names = ["1 process", f"{jobs} processes", f"Ray, {jobs} actors on 1 node"]
    names.append(f"Ray, {NODES} actors on {NODES} nodes")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    try:
        for i in range(rounds):
            dests = [folder / f"{number}-{i}" for number in range(len(names))]
            commands = [
                bulk_command(photos, dests[0], points, 1),
                bulk_command(photos, dests[1], points, jobs),
                ray_command(photos, dests[2], points, jobs),
                ray_command(photos, dests[3], points, NODES, cluster.address),
            ]
            for name, command, dest in zip(names, commands, dests, strict=True):
                seconds[name].append(measure(command).seconds)
                check_same(folder / "0-0", dest)
            print(f"round {i + 1}, load {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        cluster.shutdown()
    count = len(list(photos.iterdir()))
    for name, runs in seconds.items():
        median = statistics.median(runs)
        print(f"{name:30} {median:8.1f} s, {count / median:6.2f} images/s")
    print(f"{count} images, {rounds} rounds, medians; rows of all runs are equal")


def kills(folder: Path, photos: Path, points: int, wanted: int) -> None:
    """Kill the driver, an actor or a node at random times, until so many were."""
    measure(bulk_command(photos, folder / "whole", points, 1))
    cluster, rng = begin_cluster(), random.Random(0)
    done = killed = 0
    process: subprocess.Popen[bytes] | None = None
    try:
        without = ray_command(photos, folder / "without", points, NODES, cluster.address)
        seconds = measure(without).seconds
        print(f"without kills: {seconds:.1f} s", flush=True)
        while killed < wanted or process is not None:
            current = folder / f"killed-{done}"
            if process is None:
                process = subprocess.Popen(
                    ray_command(photos, current, points, NODES, cluster.address),
                    stdout=subprocess.DEVNULL,
                )
            try:
                process.wait(seconds * rng.random() if killed < wanted else None)
            except subprocess.TimeoutExpired:
                what = rng.choice(["driver", "actor", "node"])
                there = len(list(current.glob("*.parquet")))
                if not kill(what, process, cluster, rng):
                    continue
                killed += 1
                print(f"kill {killed}, {what}: {there} shards are there", flush=True)
                if what == "driver":
                    process = None
                continue
            if process.returncode:
                raise SystemExit(f"the run ended with {process.returncode}")
            check_whole(folder / "whole", current)
            process, done = None, done + 1
    finally:
        if process is not None:
            process.kill()
        cluster.shutdown()
    print(f"{killed} kills in {done} runs, rows of all of them are equal")


def kill(what: str, driver: subprocess.Popen[bytes], cluster: Cluster, rng: random.Random) -> bool:
    """Whether there was one to be killed."""
    if what == "driver":
        driver.kill()
        driver.wait()
    elif what == "actor":
        found = actors()
        if not found:
            return False
        os.kill(rng.choice(found), signal.SIGKILL)
    else:
        lost = cluster.others.pop(rng.randrange(len(cluster.others)))
        cluster.remove_node(lost, allow_graceful=False)
        cluster.others.append(cluster.add_node(num_cpus=1))
    return True


def actors() -> list[int]:
    """Processes of actors of samkit on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes()
        except OSError:  # it has just ended
            continue
        if title.startswith(b"ray::_Actor"):
            found.append(int(path.parent.name))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=["throughput", "kills"])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--points", type=int, default=4, help="points per side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, photos = Path(name), Path(name) / "photos"
        make_photos(options.photos, photos, options.images)
        began = time.monotonic()
        if options.mode == "throughput":
            throughput(folder, photos, options.points, options.rounds, options.jobs)
        else:
            kills(folder, photos, options.points, options.kills)
        print(f"{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
