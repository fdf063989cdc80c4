"""Bulk runs on real clusters of Ray, of several nodes on this machine: `make test-ray`."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bulk.conftest import SETTINGS, rows

from samkit import bulk
from samkit.errors import InputError

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


@pytest.fixture
def cluster():
    """Three nodes of one CPU each; the first ends with the test, the others perhaps before."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.others = [made.add_node(num_cpus=1) for _ in range(2)]
    yield made
    made.shutdown()


def test_a_node_and_an_actor_are_lost(cluster, whole, photos, model, tmp_path):
    lines = []

    def lose(status):
        if status.done == 1:
            cluster.remove_node(cluster.others[0], allow_graceful=False)
        if status.done == 2:
            os.kill(_actors()[0], signal.SIGKILL)

    run = {"model": model, "settings": SETTINGS, "shard_size": 1, "engine": "ray"}
    done = bulk.run(
        photos, tmp_path, **run, cluster=cluster.address, tell=lines.append, on_progress=lose
    )
    assert any(line.startswith("3 actors of Ray on 3 nodes, about ") for line in lines)
    assert (done.shards, done.done, done.failed) == (7, 7, 2)
    assert rows(tmp_path) == rows(whole)
    assert bulk.verify(tmp_path) == []


def test_the_driver_is_killed_and_another_engine_goes_on(whole, photos, model, tmp_path):
    command = [
        sys.executable, "-m", "samkit", "bulk", photos, "-o", tmp_path, "--model", model,
        "--preset", "recall", "--points-per-side", "2", "--shard-size", "3", "--engine", "ray",
        "--jobs", "1",
    ]  # fmt: skip
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("*.parquet")) and first.poll() is None:
        time.sleep(0.01)
    first.kill()
    first.wait()
    assert list(tmp_path.glob("*.parquet"))
    run = {"model": model, "settings": SETTINGS, "shard_size": 3}
    assert bulk.run(photos, tmp_path, **run).done == 3
    assert rows(tmp_path) == rows(whole)


def test_no_such_cluster(photos, model, tmp_path):
    with pytest.raises(InputError, match="cannot connect to the cluster nonsense"):
        bulk.run(photos, tmp_path, model=model, engine="ray", cluster="nonsense")


def _actors() -> list[int]:
    """Processes of actors of samkit on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::_Actor"):
            found.append(int(path.parent.name))
    return found
