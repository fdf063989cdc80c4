"""Bulk runs on many machines that come and go: the formula of docs/bulk.md beside a simulation.

    python benchmarks/bulk_plan.py            # the table of that page, the same every time

Processes take shards one after the other. A machine that ends takes the shards with it that its
processes were at; another one comes, loads, and goes on. Shards are done at least once. The seconds
of an image are random, and a few images take ten times as long.
"""

import heapq
import random
import statistics
from collections import deque
from dataclasses import dataclass

LONG_SHARE, LONG_TIMES = 0.02, 10
ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run.

    Attributes:
        images: of all shards.
        shard: images in one.
        seconds: of an image, on average.
        machines: at work at a time.
        processes: of each machine.
        life: seconds until a machine ends, on average.
        gap: seconds until another one is there and has loaded.
        writing: seconds of a shard beside its images: it is put, and the next one begins.
    """

    images: int
    shard: int = 256
    seconds: float = 1.2
    machines: int
    processes: int = 16
    life: float
    gap: float = 180
    writing: float = 0.5

    @property
    def shard_seconds(self) -> float:
        return self.shard * self.seconds + self.writing

    @property
    def expected(self) -> float:
        """Seconds, by the formula of the page."""
        work = self.images / self.shard * self.shard_seconds
        lost = (self.shard_seconds / 2 + self.gap) / self.life
        return work / (self.machines * self.processes) * (1 + lost) + self.shard_seconds / 2


@dataclass(frozen=True)
class Simulated:
    """What came of a run.

    Attributes:
        seconds: until the last shard.
        again: shards that were begun more than once.
    """

    seconds: float
    again: int


def shard_seconds(plan: Plan, rng: random.Random) -> float:
    """Seconds of one shard: a sum of many images, some of them long, and so nearly normal."""
    usual = plan.seconds / (1 + LONG_SHARE * (LONG_TIMES - 1))
    long = LONG_SHARE * (1 - LONG_SHARE) * ((LONG_TIMES - 1) * usual) ** 2
    spread = (plan.shard * ((usual / 2) ** 2 + long)) ** 0.5
    return max(plan.shard * usual / 4, rng.gauss(plan.shard * plan.seconds, spread)) + plan.writing


def simulate(plan: Plan, seed: int) -> Simulated:
    """Go from event to event: a machine ends, or a process has done its shard."""
    rng = random.Random(seed)
    left = deque(range(-(-plan.images // plan.shard)))
    shards, done, again = len(left), 0, 0
    at: dict[tuple[int, int], int] = {}  # machine and process -> its shard
    events: list[tuple[float, int, int]] = []  # when, machine, process; -1: the machine ends
    born: dict[int, float] = {}

    def begin(machine: int, now: float) -> None:
        born[machine] = now
        heapq.heappush(events, (now + rng.expovariate(1 / plan.life), machine, -1))
        for process in range(plan.processes):
            take(machine, process, now)

    def take(machine: int, process: int, now: float) -> None:
        if left:
            at[machine, process] = left.popleft()
            heapq.heappush(events, (now + shard_seconds(plan, rng), machine, process))

    for machine in range(plan.machines):
        begin(machine, 0.0)
    machines, now = plan.machines, 0.0
    while done < shards:
        now, machine, process = heapq.heappop(events)
        if process >= 0:
            if (machine, process) in at:  # otherwise its machine has ended
                del at[machine, process]
                done += 1
                take(machine, process, now)
        elif machine in born:
            lost = [at.pop((machine, i)) for i in range(plan.processes) if (machine, i) in at]
            left.extendleft(lost)
            again += len(lost)
            del born[machine]
            heapq.heappush(events, (now + plan.gap, machines, -1))  # another one comes
            machines += 1
        else:
            begin(machine, now)
        for idle_machine in list(born) if left and len(at) < len(born) * plan.processes else ():
            for i in range(plan.processes):
                if (idle_machine, i) not in at:
                    take(idle_machine, i, now)
    return Simulated(now, again)


PLANS = {
    "1 million, one machine": Plan(images=10**6, machines=1, life=30 * 24 * 3600),
    "1 million, spot": Plan(images=10**6, machines=16, life=6 * 3600),
    "1 million, spot, shards of 1,024": Plan(images=10**6, shard=1024, machines=16, life=6 * 3600),
    "1 million, spot of an hour": Plan(images=10**6, machines=16, life=3600),
    "same, shards of 1,024": Plan(images=10**6, shard=1024, machines=16, life=3600),
    "a thousandth of a billion": Plan(images=10**6, machines=64, life=6 * 3600),
    "same, shards of 64": Plan(images=10**6, shard=64, machines=64, life=6 * 3600),
}


def main() -> None:
    print("| run | processes | hours, formula | hours, simulated | shards | done again |")
    print("|---|---|---|---|---|---|")
    for name, plan in PLANS.items():
        found = [simulate(plan, seed) for seed in range(ROUNDS)]
        hours = statistics.median(one.seconds for one in found) / 3600
        again = statistics.median(one.again for one in found)
        shards = -(-plan.images // plan.shard)
        print(
            f"| {name} | {plan.machines * plan.processes:,} | {plan.expected / 3600:.2f} | "
            f"{hours:.2f} | {shards:,} | {100 * again / shards:.1f} % |"
        )


if __name__ == "__main__":
    main()
