"""The engine of many machines: actors of Ray, each of which loads the model once."""

from __future__ import annotations

import importlib
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

import samkit
from samkit.bulk.shards import RUN_NAME, Shard
from samkit.bulk.work import Outcome, Segmenter, Task
from samkit.errors import InputError, MissingDependencyError, SamkitError, count_of
from samkit.nn import Network, build
from samkit.runtimes import is_exported
from samkit.sizes import NetworkConfig

__all__ = ["by_ray"]

# As often a shard may be in an actor that ends, and so many actors may end before their first.
_TRIES = 2
_STARTS = 8


def by_ray(
    cluster: str | None,
    actors: int | None,
    network: Network,
    tell: Callable[[str], object],
    task: Task,
    shards: Sequence[Shard],
) -> Generator[Outcome, None, None]:
    """The engine of a cluster of Ray, or of a Ray of this machine alone.

    Actors that end, with their node or without, are replaced as soon as there is room.

    Args:
        cluster: its address, as `ray.init` takes it; None: that in ``RAY_ADDRESS``, or else a Ray
            is begun on this machine and ends with the run.
        actors: how many; None: one for each CPU of the cluster, or for each GPU.
        network: of the task, in float32, which all actors take from the object store.
        tell: called with a line about the actors.
        task, shards: of the run.

    Raises:
        InputError: there is no such cluster, or it has not enough CPUs or GPUs.
        MissingDependencyError: ray is not installed.
        SamkitError: actors end before they have begun.
    """
    with _connected(cluster) as ray:
        gpus = _gpus_of_an_actor(ray, task.device)
        count = min(_count(ray, actors, gpus), len(shards))
        nodes = sum(node["Alive"] for node in ray.nodes())
        tell(f"{count_of(count, 'actor')} of Ray on {count_of(nodes, 'node')}")
        options = {"num_cpus": 0 if gpus else 1, "num_gpus": gpus, "max_restarts": 0}
        # An export is a folder, which each actor opens.
        shared = None if is_exported(network) else ray.put(_SharedNetwork.of(network))
        crew = _Crew(ray, ray.remote(**options)(_Actor), (task, shared, samkit.__version__))
        try:
            yield from crew.do(shards, count)
        finally:
            crew.end()


class _Actor:
    """Runs in a process of the cluster."""

    def begin(self, task: Task, network: _SharedNetwork | None, version: str) -> None:
        """Load the model, on one thread, so that rows do not depend on the machine's number."""
        torch.set_num_threads(1)
        if version != samkit.__version__:
            raise SamkitError(f"expected samkit {version} on all nodes, got {samkit.__version__}")
        if not (task.dest / RUN_NAME).is_file():
            raise InputError(
                f"a node does not see {task.dest}; sources and results have to be in a folder that "
                "all nodes share, or in an object store"
            )
        self._segmenter = Segmenter(task, None if network is None else network.build())

    def do(self, shard: Shard) -> Outcome:
        """Make the file of a shard."""
        return self._segmenter.shard(shard)


class _Crew:
    """The actors, and the shards between them."""

    def __init__(self, ray: Any, kind: Any, about: tuple[Any, ...]) -> None:
        self._ray, self._kind, self._about = ray, kind, about
        self._actors: list[Any] = []
        self._idle: list[Any] = []
        # What the others do; None: they begin.
        self._busy: dict[Any, tuple[Any, Shard | None]] = {}
        self._waiting: deque[Shard] = deque()
        self._tries: Counter[int] = Counter()
        self._ended_early = 0

    def do(self, shards: Sequence[Shard], actors: int) -> Generator[Outcome, None, None]:
        """The outcomes of all shards, as they come."""
        self._waiting.extend(shards)
        for _ in range(actors):
            self._start()
        left = len(shards)
        while left:
            (reference, *_), _ = self._ray.wait(list(self._busy))
            outcome = self._result(reference)
            while self._waiting and self._idle:
                actor, shard = self._idle.pop(), self._waiting.popleft()
                self._busy[actor.do.remote(shard)] = (actor, shard)
            if outcome is not None:
                left -= 1
                yield outcome

    def end(self) -> None:
        """End all actors, whatever they do."""
        for actor in self._actors:
            self._ray.kill(actor)

    def _start(self) -> None:
        actor = self._kind.remote()
        self._actors.append(actor)
        self._busy[actor.begin.remote(*self._about)] = (actor, None)

    def _result(self, reference: Any) -> Outcome | None:
        """What became of a shard; None: nothing yet."""
        actor, shard = self._busy.pop(reference)
        try:
            outcome: Outcome | None = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:  # what the actor's own code raised
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            self._replace(actor)
            return self._ended(shard, str(error).strip().splitlines()[0])
        self._idle.append(actor)
        self._ended_early = 0
        return outcome

    def _replace(self, actor: Any) -> None:
        self._actors.remove(actor)
        self._ray.kill(actor)  # if only its node cannot be reached, it could come back
        self._start()

    def _ended(self, shard: Shard | None, reason: str) -> Outcome | None:
        if shard is None:
            self._ended_early += 1
            if self._ended_early == _STARTS:
                raise SamkitError(f"actors of Ray end before they have begun: {reason}")
            return None
        self._tries[shard.number] += 1
        if self._tries[shard.number] == _TRIES:
            return Outcome(number=shard.number, ended=reason)
        self._waiting.append(shard)
        return None


@dataclass(frozen=True)
class _SharedNetwork:
    """A network that many processes of a machine read from the same memory.

    Attributes:
        config: its sizes.
        arrays: its weights; as arrays Ray copies none of them.
        has_memory: as of the network.
    """

    config: NetworkConfig
    arrays: dict[str, Any]
    has_memory: bool

    @classmethod
    def of(cls, network: Network) -> _SharedNetwork:
        state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        return cls(network.config, state, network.has_memory)

    def build(self) -> Network:
        """The network, on top of the shared memory, which is not written to."""
        with torch.device("meta"):
            network = build(self.config)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
            state = {name: torch.from_numpy(array) for name, array in self.arrays.items()}
        network.load_state_dict(state, assign=True)
        network.has_memory = self.has_memory
        return network.eval()


@contextmanager
def _connected(cluster: str | None) -> Generator[Any, None, None]:
    """Ray, connected until the block ends; a connection that is there is used, and kept."""
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise MissingDependencyError(
            "many machines need the package ray: pip install 'samkit[bulk]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    # Not None, by which Ray would join whatever cluster somebody has begun on this machine.
    there = cluster or os.environ.get("RAY_ADDRESS", "local")
    try:
        ray.init(address=there, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"cannot connect to the cluster {there}: {reason}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _gpus_of_an_actor(ray: Any, device: str) -> int:
    if device == "auto":
        return int(ray.cluster_resources().get("GPU", 0) >= 1)
    return int(device.startswith("cuda"))


def _count(ray: Any, wanted: int | None, gpus: int) -> int:
    """How many actors; all that there is room for, if not said.

    An actor takes a whole CPU or GPU. Nothing else of a run is scheduled by Ray, so nothing waits
    for a CPU that they hold.
    """
    resource = "GPU" if gpus else "CPU"
    room = int(ray.cluster_resources().get(resource, 0))
    if wanted is None and room:
        return room
    if wanted is None or wanted > room:
        expected = count_of(1 if wanted is None else wanted, resource)
        raise InputError(
            f"expected a cluster with {expected}, one for each actor, got {room or 'none'}"
        )
    return wanted
