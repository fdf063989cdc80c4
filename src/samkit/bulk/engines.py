"""Who does the shards of a run. An engine only schedules; the work is in `work`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from samkit.bulk.shards import Shard, shard_name
from samkit.bulk.work import Outcome, Segmenter, Task, process_shard
from samkit.processes import Ended, in_processes

__all__ = ["Engine", "all_outcomes", "by_processes"]

Engine = Callable[[Task, Sequence[Shard]], Generator[Outcome, None, None]]
"""Has `process_shard` done for all shards and gives their outcomes, in any order. A shard in which
processes end is tried twice and then given back with `Outcome.ended`; one whose machine was lost is
done elsewhere, however often. Closing the generator ends all work."""


def all_outcomes(
    engine: Engine, task: Task, shards: Sequence[Shard], tell: Callable[[str], object]
) -> Generator[Outcome, None, None]:
    """Do all shards by an engine; at last, image by image, those in which processes ended."""
    ended = []
    with closing(engine(task, shards)) as outcomes:
        for outcome in outcomes:
            if outcome.ended is None:
                yield outcome
            else:
                ended.append(outcome)
    by_number = {shard.number: shard for shard in shards}
    for outcome in ended:
        shard = by_number[outcome.number]
        tell(f"{shard_name(shard.number)}: again, image by image ({outcome.ended})")
        # The rest of a cluster may have what this machine has not.
        begin = partial(Segmenter, task if task.device == "cpu" else replace(task, device="auto"))
        with closing(in_processes(begin, shard.items, 1, lambda _: None, threads=1)) as results:
            yield process_shard(results, task, shard)


def by_processes(
    processes: int, tell: Callable[[str], object], task: Task, shards: Sequence[Shard]
) -> Generator[Outcome, None, None]:
    """The engine of this machine: plain processes of one thread."""
    with closing(
        in_processes(partial(_begin, task), shards, min(processes, len(shards)), tell, threads=1)
    ) as results:
        for shard, result in zip(shards, results, strict=True):
            if isinstance(result, Ended):
                result = Outcome(number=shard.number, ended=result.reason)
            yield result


def _begin(task: Task) -> Callable[[Shard], Outcome]:
    return Segmenter(task).shard
