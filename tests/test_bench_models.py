"""The bench of all models drives processes and tells; one of them is run here, with pico."""

import subprocess
import sys
from pathlib import Path

import pytest

from samkit.weights import MODELS

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import models

    return models


class Told:
    """A process that answers without doing anything, and fails at its n-th job."""

    def __init__(self, name, log, jobs, *, fails=None):
        self.name, self.log, self.fails = name, log, fails
        self.first = {"imports": 100e6, "loading": 300e6, "jobs": jobs}
        self.count = 0

    def do(self, job):
        self.log.append((self.name, job))
        self.count += 1
        if self.count == self.fails:
            from models import FailedError

            raise FailedError("no room")
        return {"seconds": float(self.count), "peak": 1e6 * self.count}


def test_every_network_once(bench):
    names = bench.networks(every=True)
    configs = [MODELS[name].config for name in names]
    assert len(configs) == len(set(configs))
    assert set(configs) == {model.config for model in MODELS.values()}
    few = bench.networks(every=False)
    assert set(few) < set(names)
    encoders = {type(model.config.image_encoder) for model in MODELS.values()}
    assert {type(MODELS[name].config.image_encoder) for name in few} == encoders


def test_programs_take_turns_job_by_job(bench):
    log = []
    own = Told("a", log, ["photograph", "click", "tracked frame"])
    found = bench.measure({"samkit": own, "other": Told("b", log, ["photograph", "click"])}, 3)
    turn = [("a", "photograph"), ("b", "photograph"), ("a", "click"), ("b", "click")]
    assert log == [*turn, ("a", "tracked frame")] * 4
    # Their numbers are counted: the first turn is left out.
    assert found["samkit"]["seconds"] == {"photograph": 7, "click": 8, "tracked frame": 9}
    assert found["other"]["seconds"] == {"photograph": 5, "click": 6}
    assert found["samkit"]["peak"] == 12e6


def test_program_that_fails_is_asked_no_more(bench):
    log = []
    other = Told("b", log, ["photograph", "click"], fails=3)
    found = bench.measure({"samkit": Told("a", log, ["photograph", "click"]), "other": other}, 2)
    assert log.count(("a", "click")) == 3
    assert [job for name, job in log if name == "b"] == ["photograph", "click", "photograph"]
    assert found["other"]["error"] == "photograph: no room"


def test_row_has_both_programs(bench):
    own = {"imports": 2e8, "loading": 3e8, "peak": 5e8, "seconds": {"photograph": 0.5, "click": 2}}
    other = {"imports": 3e8, "loading": 9e8, "seconds": {"photograph": 2.0}}
    row = bench.table_row("sam3", 200_000_000, {"samkit": own, "transformers": other})
    assert row == (
        "| sam3 | 200 MB | 500 ms / 2 s (4x) | 2 s / - |  |  |  |  |  "
        "| 200 MB / 300 MB | 300 MB / 900 MB | 500 MB / - | 1.50 / - |"
    )


def test_row_without_the_other_program(bench):
    own = {"imports": 2e8, "loading": 3e8, "peak": 5e8, "seconds": {"box": 0.5}}
    row = bench.table_row("pico", 200_000_000, {"samkit": own})
    assert row == ("| pico | 200 MB |  |  | 500 ms |  |  |  |  | 200 MB | 300 MB | 500 MB | 1.50 |")
    assert bench.table_row("pico", 0, {}).startswith("| pico | failed |")


def test_pico(tmp_path):
    """Of a process all that is asked for arrives; what it takes is not looked at."""
    record = tmp_path / "record.md"
    options = ["--runs", "1", "--threads", "1", "--record", record]
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "models.py", "pico", *options],
        capture_output=True,
        text=True,
        check=True,
    )
    assert record.read_text() == done.stdout
    head, _, row = (line.split("|")[1:-1] for line in done.stdout.splitlines()[-3:])
    cells = dict(zip((cell.strip() for cell in head), map(str.strip, row), strict=True))
    assert cells.pop("") == "pico"
    assert cells.pop("weights") == "25 MB"
    assert {name for name, cell in cells.items() if not cell} == {"first word", "second word"}
