"""Writers that are killed: nothing half is under a final name, and the next run tidies up."""

import time
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hostile.harness import leftovers
from hostile.writers import NAMES, exits_with, start

pytest.importorskip("fcntl")  # tidying up needs locks

KILLS = 1  # for each writer; with `-m hostile` twenty times as many


@pytest.mark.parametrize("name", NAMES)
def test_killed(name: str, whole, part: int, tallies, tmp_path: Path) -> None:
    expected = whole(name)
    tally = tallies[f"kill {name}"]
    for number in range(part * KILLS, (part + 1) * KILLS):
        rng = np.random.default_rng([zlib.crc32(name.encode()), number])
        folder, log = tmp_path / str(number), tmp_path / f"{number}.txt"
        folder.mkdir()
        child = start(partial(expected.writer.run, folder), log)
        time.sleep(expected.seconds * rng.random())
        child.kill()
        child.join()
        broken = expected.broken(folder)
        tally.partial += len(broken)
        assert broken == [], number
        code = exits_with(start(partial(expected.writer.run, folder), log), log)
        assert code == 0, log.read_text()
        left = leftovers(folder)
        tally.add(number, "left behind" if left else "result")
        expected.check(folder)


@pytest.mark.parametrize("name", NAMES)
def test_two_at_once(name: str, whole, tmp_path: Path) -> None:
    """Neither takes what the other is writing for a leftover."""
    expected = whole(name)
    if not expected.writer.shared:
        pytest.skip("a run has this folder for itself")
    folder = tmp_path / "out"
    folder.mkdir()
    logs = [tmp_path / f"{i}.txt" for i in range(2)]
    children = [start(partial(expected.writer.run, folder), log) for log in logs]
    for child, log in zip(children, logs, strict=True):
        assert exits_with(child, log) == 0, log.read_text()
    expected.check(folder)
