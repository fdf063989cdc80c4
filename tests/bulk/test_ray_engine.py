"""How shards are given to actors of Ray; a real one is in `test_ray_cluster`."""

import pickle
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import pytest
import torch
from tiny import (
    make,
    tiny_edge_tam,
    tiny_efficient_tam,
    tiny_efficient_vit_sam,
    tiny_hq_sam,
    tiny_hq_sam2,
    tiny_mobile_sam,
    tiny_pico,
    tiny_rep_vit_sam,
    tiny_sam,
    tiny_sam2,
    tiny_sam3,
)

from samkit.bulk.places import Place
from samkit.bulk.ray_engine import Shared, by_ray
from samkit.bulk.shards import RUN_NAME, Shard
from samkit.bulk.sources import Item
from samkit.bulk.tables import Origin
from samkit.bulk.work import Outcome, Task
from samkit.errors import InputError, MissingDependencyError, SamkitError
from samkit.processes import use_threads
from samkit.weights.tensor_file import fingerprint

SHARDS = [Shard(number, ()) for number in range(5)]


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        self.cause = cause


class FakeRay:
    """Actors that do at once what `script` says of them: begin() and do(shard) of each.

    Attributes:
        resources: of the cluster.
        script: called with the number of the actor and the shard (None: it begins); what it raises
            is raised by the actor.
        options: of the actors.
        actor: their class.
        about: what each begins with.
        done: (actor, shard) in turn.
        killed: actors.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, script=lambda actor, shard: None, **resources):
        self.resources = {"memory": 64 * 2**30, **(resources or {"CPU": 2})}
        self.script, self.done, self.killed, self.begun = script, [], [], 0
        self.is_initialized = lambda: True

    def cluster_resources(self):
        return self.resources

    def nodes(self):
        return [{"Alive": True, "Resources": self.resources}, {"Alive": False, "Resources": {}}]

    def put(self, value):
        return value

    def remote(self, **options):
        self.options = options
        return self._kind

    def _kind(self, cls):
        self.actor = cls
        return SimpleNamespace(remote=self._actor)

    def _actor(self):
        number = self.begun
        self.begun += 1

        def begin(*about):
            self.about = about
            return call(None)

        def call(shard):
            self.done.append((number, shard and shard.number))
            return (number, shard, len(self.done))

        return SimpleNamespace(
            number=number,
            begin=SimpleNamespace(remote=begin),
            do=SimpleNamespace(remote=call),
        )

    def wait(self, references):
        return references[:1], references[1:]

    def get(self, reference):
        number, shard, _ = reference
        self.script(number, shard)
        return shard and Outcome(number=shard.number, images=1)

    def kill(self, actor):
        self.killed.append(actor.number)


ORIGIN = Origin(model="m", fingerprint="", settings="")
TASK = Task(kind="everything", dest=Place(None, "x"), origin=ORIGIN, model="m")


def outcomes(monkeypatch, ray, *, actors=None, task=TASK, network=None, shards=SHARDS):
    monkeypatch.setitem(sys.modules, "ray", ray)
    lines = []
    network = network or make(tiny_sam2())
    found = list(by_ray(None, actors, network, None, lines.append, task, shards))
    return sorted(found, key=lambda one: one.number), lines


def test_every_shard_is_done_once(monkeypatch):
    ray = FakeRay(CPU=3)
    found, lines = outcomes(monkeypatch, ray)
    assert found == [Outcome(number=i, images=1) for i in range(5)]
    assert lines == ["3 actors of Ray on 1 node, about 1.3 GB each"]
    assert sorted(shard for _, shard in ray.done if shard is not None) == [0, 1, 2, 3, 4]
    assert sorted(ray.killed) == [0, 1, 2]
    assert ray.options.pop("memory") > 2**30
    assert ray.options == {"num_cpus": 1, "num_gpus": 0, "max_restarts": 0}


@pytest.mark.parametrize(
    ("device", "resources", "gpus"),
    [
        ("auto", {"CPU": 4, "GPU": 2}, 1),
        ("cuda:0", {"CPU": 4, "GPU": 2}, 1),
        ("cpu", {"CPU": 2, "GPU": 4}, 0),
    ],
)
def test_devices(monkeypatch, device, resources, gpus):
    ray = FakeRay(**resources)
    outcomes(monkeypatch, ray, task=replace(TASK, device=device))
    assert (ray.options["num_gpus"], ray.options["num_cpus"]) == (gpus, 1 - gpus)
    assert ray.begun == 2


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_actors_have_the_network_of_the_first_machine(monkeypatch, tmp_path, dtype):
    """In half precision too, in which its fingerprint would be another one."""
    network = make(tiny_sam2())
    origin = Origin(model="m", fingerprint=fingerprint(network), settings="")
    dest = Place.of(tmp_path, "x")
    task = replace(TASK, dest=dest, origin=origin, device="cpu", dtype=dtype)
    (tmp_path / RUN_NAME).touch()
    ray = FakeRay()
    outcomes(monkeypatch, ray, task=task, network=network)
    threads = torch.get_num_threads()
    try:
        ray.actor().begin(*ray.about)
        assert torch.get_num_threads() == cv2.getNumThreads() == 1
    finally:
        use_threads(threads)


@pytest.mark.parametrize("missing", [RUN_NAME, "a.png"])
def test_a_node_that_does_not_see_a_folder(monkeypatch, tmp_path, missing):
    """It would fail each of its images."""
    images = [Item(name, Place.of(tmp_path / name, "x")) for name in ("gone.png", "a.png")]
    for name in (RUN_NAME, "a.png"):
        (tmp_path / name).touch()
    ray = FakeRay()
    task = replace(TASK, dest=Place.of(tmp_path, "x"))
    outcomes(monkeypatch, ray, task=task, shards=[Shard(0, tuple(images))])
    (tmp_path / missing).unlink()
    with pytest.raises(InputError, match=f"a node does not see .*{missing}; sources and results"):
        ray.actor().begin(*ray.about)


def test_no_more_actors_than_there_is_memory_for(monkeypatch):
    ray = FakeRay(CPU=9, memory=3 * 2**30)
    outcomes(monkeypatch, ray)
    assert ray.begun == 2


def test_an_actor_that_ends_is_replaced(monkeypatch):
    def script(actor, shard):
        if actor == 0 and shard is not None:
            raise RayError("The node died.\nLong story")

    ray = FakeRay(script, CPU=2)
    found, _ = outcomes(monkeypatch, ray)
    assert found == [Outcome(number=i, images=1) for i in range(5)]
    assert ray.begun == 3
    assert sorted(ray.killed) == [0, 1, 2]


def test_a_shard_that_ends_two_actors_is_given_back(monkeypatch):
    def script(actor, shard):
        if shard is not None and shard.number == 4:
            raise RayError("killed")

    ray = FakeRay(script, CPU=1)
    found, _ = outcomes(monkeypatch, ray)
    assert found[4] == Outcome(number=4, ended="killed")
    assert found[:4] == [Outcome(number=i, images=1) for i in range(4)]
    assert [shard for _, shard in ray.done].count(4) == 2


def test_actors_that_never_begin(monkeypatch):
    def script(actor, shard):
        raise RayError("no torch here")

    with pytest.raises(SamkitError, match="end before they have begun: no torch here"):
        outcomes(monkeypatch, FakeRay(script))


def test_actors_that_begin_in_vain_while_others_work(monkeypatch):
    """A run of days may lose many machines; they are not counted together."""

    def script(actor, shard):
        if actor and shard is None:
            raise RayError("The node died.")

    shards = [Shard(number, ()) for number in range(30)]
    ray = FakeRay(script, CPU=2)
    found, _ = outcomes(monkeypatch, ray, shards=shards)
    assert found == [Outcome(number=i, images=1) for i in range(30)]
    assert ray.begun > 20


def test_what_an_actor_raises(monkeypatch):
    def script(actor, shard):
        raise RayTaskError(InputError("a node does not see it"))

    ray = FakeRay(script)
    with pytest.raises(InputError, match="a node does not see it"):
        outcomes(monkeypatch, ray)
    assert sorted(ray.killed) == [0, 1]


@pytest.mark.parametrize(
    ("resources", "arguments", "message"),
    [
        ({"CPU": 2}, {"actors": 3}, "room for 3 actors of 1 CPU and .* got room for 2: 2 CPU"),
        ({"CPU": 0.5}, {}, "room for 1 actor of 1 CPU and .* got room for none: 0.5 CPU"),
        (
            {"CPU": 2},
            {"task": replace(TASK, device="cuda")},
            "room for 1 actor of 1 GPU and .* none",
        ),
        ({"CPU": 9, "memory": 2**31}, {"actors": 2}, r"got room for 1: 9 CPU, 2\.0 GB on 1 node"),
    ],
)
def test_what_the_cluster_lacks(monkeypatch, resources, arguments, message):
    with pytest.raises(InputError, match=message):
        outcomes(monkeypatch, FakeRay(**resources), **arguments)


def test_ray_is_not_installed(monkeypatch):
    with pytest.raises(MissingDependencyError, match=r"pip install 'samkit\[bulk\]'"):
        outcomes(monkeypatch, None)


@pytest.mark.parametrize(
    "config",
    [
        *(tiny_sam(), tiny_mobile_sam(), tiny_rep_vit_sam(), tiny_efficient_vit_sam()),
        *(tiny_hq_sam(), tiny_sam2(), tiny_hq_sam2(), tiny_edge_tam(), tiny_sam3()),
        *(tiny_efficient_tam(), tiny_pico()),
    ],
)
def test_networks_are_sent_without_copies(config):
    network = make(config)
    network.has_memory = False
    sent = pickle.loads(pickle.dumps(Shared.of(network)))
    built = sent.build()
    assert (built.config, built.has_memory, built.training) == (config, False, network.training)
    ours, theirs = dict(tensors_of(network)), dict(tensors_of(built))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    assert all(theirs[name].data_ptr() == sent.arrays[name].ctypes.data for name in sent.arrays)
    assert all(tensor.is_meta for tensor in sent.empty.state_dict().values())


def tensors_of(network):
    return [*network.named_parameters(), *network.named_buffers()]
