"""How shards are given to actors of Ray; a real one is in `test_ray_cluster`."""

import sys
from types import SimpleNamespace

import pytest
from tiny import make, tiny_sam2

from samkit.bulk.places import Place
from samkit.bulk.ray_engine import by_ray
from samkit.bulk.shards import Shard
from samkit.bulk.tables import Origin
from samkit.bulk.work import Outcome, Task
from samkit.errors import InputError, MissingDependencyError, SamkitError

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
        done: (actor, shard) in turn.
        killed: actors.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, script=lambda actor, shard: None, **resources):
        self.resources = resources or {"CPU": 2}
        self.script, self.done, self.killed, self.begun = script, [], [], 0
        self.is_initialized = lambda: True

    def cluster_resources(self):
        return self.resources

    def nodes(self):
        return [{"Alive": True}, {"Alive": False}]

    def put(self, value):
        return value

    def remote(self, **options):
        self.options = options
        return lambda cls: SimpleNamespace(remote=self._actor)

    def _actor(self):
        number = self.begun
        self.begun += 1

        def call(shard):
            self.done.append((number, shard and shard.number))
            return (number, shard, len(self.done))

        return SimpleNamespace(
            number=number,
            begin=SimpleNamespace(remote=lambda *about: call(None)),
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


def outcomes(monkeypatch, ray, *, actors=None, device="auto", shards=SHARDS):
    monkeypatch.setitem(sys.modules, "ray", ray)
    origin = Origin(model="m", fingerprint="", settings="")
    task = Task(kind="everything", dest=Place(None, "x"), origin=origin, model="m", device=device)
    lines = []
    found = list(by_ray(None, actors, make(tiny_sam2()), lines.append, task, shards))
    return sorted(found, key=lambda one: one.number), lines


def test_every_shard_is_done_once(monkeypatch):
    ray = FakeRay(CPU=3)
    found, lines = outcomes(monkeypatch, ray)
    assert found == [Outcome(number=i, images=1) for i in range(5)]
    assert lines == ["3 actors of Ray on 1 node"]
    assert sorted(shard for _, shard in ray.done if shard is not None) == [0, 1, 2, 3, 4]
    assert sorted(ray.killed) == [0, 1, 2]
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
    outcomes(monkeypatch, ray, device=device)
    assert (ray.options["num_gpus"], ray.options["num_cpus"]) == (gpus, 1 - gpus)
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
        ({"CPU": 2}, {"actors": 3}, "a cluster with 3 CPUs, one for each actor, got 2"),
        ({"CPU": 0.5}, {}, "a cluster with 1 CPU, one for each actor, got none"),
        ({"CPU": 2}, {"device": "cuda"}, "a cluster with 1 GPU, one for each actor, got none"),
    ],
)
def test_what_the_cluster_lacks(monkeypatch, resources, arguments, message):
    with pytest.raises(InputError, match=message):
        outcomes(monkeypatch, FakeRay(**resources), **arguments)


def test_ray_is_not_installed(monkeypatch):
    with pytest.raises(MissingDependencyError, match=r"pip install 'samkit\[bulk\]'"):
        outcomes(monkeypatch, None)
