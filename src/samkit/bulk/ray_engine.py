"""The engine of many machines: actors of Ray, each of which loads the model once."""

from __future__ import annotations

import copy
import importlib
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import nn

import samkit
from samkit.bulk.places import Place
from samkit.bulk.shards import RUN_NAME, Shard
from samkit.bulk.work import Outcome, Segmenter, Task
from samkit.errors import InputError, MissingDependencyError, SamkitError, count_of
from samkit.nn import Network
from samkit.nn.detector import Detector
from samkit.processes import WORKING_BYTES, use_threads
from samkit.runtimes import is_exported

__all__ = ["by_ray", "import_ray"]

Module = TypeVar("Module", bound=nn.Module)

# As often a shard may be in an actor that ends, and so many actors may end before their first.
_TRIES = 2
_STARTS = 8
# What an actor takes to begin, without weights: Python, torch and samkit.
_BEGUN_BYTES = 2**29


def by_ray(
    cluster: str | None,
    actors: int | None,
    network: Network,
    detector: Detector | None,
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
        network, detector: of the task, in float32, which all actors take from the object store.
        tell: called with a line about the actors.
        task, shards: of the run.

    Raises:
        InputError: there is no such cluster, or it has not enough CPUs, GPUs or memory.
        MissingDependencyError: ray is not installed.
        SamkitError: actors end before they have begun.
    """
    with _connected(cluster) as ray:
        # An export is a folder, which each actor opens.
        parts = (None if is_exported(network) else network, detector)
        gpus = _gpus_of_an_actor(ray, task.device)
        memory = _bytes_of_an_actor(task, parts)
        count = min(_count(ray, actors, gpus, memory), len(shards))
        nodes = count_of(sum(node["Alive"] for node in ray.nodes()), "node")
        tell(f"{count_of(count, 'actor')} of Ray on {nodes}, about {memory / 2**30:.1f} GB each")
        image = next((one.place for one in shards[0].items if one.place.is_file()), None)
        sent = [None if part is None else ray.put(Shared.of(part)) for part in parts]
        about = (task, *sent, image, samkit.__version__)
        options = {
            "num_cpus": 0 if gpus else 1,
            "num_gpus": gpus,
            "memory": memory,
            "max_restarts": 0,
        }
        crew = _Crew(ray, ray.remote(**options)(_Actor), about)
        try:
            yield from crew.do(shards, count)
        finally:
            crew.end()


class _Actor:
    """Runs in a process of the cluster."""

    def begin(
        self,
        task: Task,
        network: Shared[Network] | None,
        detector: Shared[Detector] | None,
        image: Place | None,
        version: str,
    ) -> None:
        """Load the model, on one thread, so that rows do not depend on the machine's number.

        Args:
            task: of the run.
            network, detector: of the task; None: it is loaded, or not needed.
            image: a file that the first machine sees; None: it sees none.
            version: of samkit on the first machine.
        """
        use_threads(1)
        if version != samkit.__version__:
            raise SamkitError(f"expected samkit {version} on all nodes, got {samkit.__version__}")
        for place in (task.dest / RUN_NAME, image):
            if place is not None and not place.is_file():
                raise InputError(
                    f"a node does not see {place}; sources and results have to be in a folder that "
                    "all nodes share, or in an object store"
                )
        self._segmenter = Segmenter(
            task,
            None if network is None else network.build(),
            None if detector is None else detector.build,
        )

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
class Shared(Generic[Module]):
    """A network, or a detector, that many processes of a machine read from the same memory.

    Attributes:
        empty: it, with tensors that have no numbers.
        arrays: its weights, by name; as arrays Ray copies none of them.
    """

    empty: Module
    arrays: dict[str, Any]

    @classmethod
    def of(cls, module: Module) -> Shared[Module]:
        """Share a module of the CPU, whose weights are not copied."""
        state = module.state_dict(keep_vars=True)
        # What a copy takes instead of the weights.
        memo: dict[int, Any] = {
            id(tensor): nn.Parameter(tensor.detach().to("meta"), tensor.requires_grad)
            if isinstance(tensor, nn.Parameter)
            else tensor.to("meta")
            for tensor in state.values()
        }
        arrays = {name: tensor.detach().numpy() for name, tensor in state.items()}
        return cls(copy.deepcopy(module, memo), arrays)

    def build(self) -> Module:
        """The module, on top of the shared memory, which is not written to."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
            state = {name: torch.from_numpy(array) for name, array in self.arrays.items()}
        module = copy.deepcopy(self.empty)
        module.load_state_dict(state, assign=True)
        return module


def import_ray() -> Any:
    """The package ray.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingDependencyError(
            "many machines need the package ray: pip install 'samkit[bulk]'"
        ) from error


@contextmanager
def _connected(cluster: str | None) -> Generator[Any, None, None]:
    """Ray, connected until the block ends; a connection that is there is used, and kept."""
    ray = import_ray()
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


def _bytes_of_an_actor(task: Task, parts: Iterable[nn.Module | None]) -> int:
    """Memory that an actor takes for itself."""
    weights = sum(
        weight.nbytes for part in parts if part is not None for weight in part.state_dict().values()
    )
    is_shared = task.device == "cpu" and task.dtype == "float32"  # a machine has them once
    return _BEGUN_BYTES + WORKING_BYTES + (0 if is_shared else weights)


def _count(ray: Any, wanted: int | None, gpus: int, memory: int) -> int:
    """How many actors; all that there is room for, if not said.

    An actor takes a whole CPU or GPU, and memory. Nothing else of a run is scheduled by Ray, so
    nothing waits for what they hold.
    """
    resource = "GPU" if gpus else "CPU"
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(int(min(node.get(resource, 0), node.get("memory", 0) // memory)) for node in nodes)
    if wanted is None and room:
        return room
    if wanted is None or wanted > room:
        has = [sum(node.get(name, 0) for node in nodes) for name in (resource, "memory")]
        raise InputError(
            f"expected a cluster with room for {count_of(wanted or 1, 'actor')} of 1 {resource} "
            f"and {memory / 2**30:.1f} GB of memory each, got room for {room or 'none'}: "
            f"{has[0]:g} {resource}, {has[1] / 2**30:.1f} GB on {count_of(len(nodes), 'node')}"
        )
    return wanted
