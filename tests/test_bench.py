"""The bench counts, times and tells; what it tells of is not run here."""

import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench

    return bench


@pytest.fixture
def measuring(bench):
    import bench_measure

    return bench_measure


def settings(measuring, clock):
    return measuring.Settings(dtype=torch.float32, threads=1, runs=3, clock=clock)


def test_operations_of_attention_and_layers_are_counted(measuring):
    q, k, v = torch.ones(2, 3, 10, 8), torch.ones(2, 3, 20, 8), torch.ones(2, 3, 20, 8)
    x, weight = torch.ones(5, 7), torch.ones(11, 7)

    def work():
        F.scaled_dot_product_attention(q, k, v)
        F.linear(x, weight)

    with torch.inference_mode():
        assert measuring.flops_of(work) == 2 * 2 * 3 * 10 * 20 * (8 + 8) + 2 * 5 * 7 * 11


def test_contenders_take_turns_and_first_turns_do_not_count(measuring):
    turns = []
    ticks = itertools.count()
    job = measuring.Job(
        contenders={"samkit": lambda: turns.append("a"), "other": lambda: turns.append("b")}, warm=2
    )
    result = measuring.measure(job, settings(measuring, lambda: next(ticks)))
    assert turns == ["a", "b"] * 5
    assert result.values == {"samkit": 1, "other": 1}
    assert result.limit is None


def test_values_that_contenders_give_are_taken(measuring):
    values = iter([100.0, 3.0, 1.0, 2.0])
    job = measuring.Job(contenders={"samkit": lambda: next(values)}, is_value=True)
    result = measuring.measure(job, settings(measuring, lambda: 0))
    assert result.values == {"samkit": 2.0}
    assert result.spread == 3.0


def test_row_tells_part_of_the_limit_and_the_best_peer(bench, measuring):
    job = measuring.Job(contenders={})
    values = {"samkit": 2.0, "slow": 6.0, "quick": 3.0}
    result = measuring.Result(values=values, limit=0.5, rate=2e11, spread=1.25, product_spread=1.02)
    row = bench.table_row("a job", job, result)
    assert row == (
        "| a job | 2 s | 1.25 (1.02) | 500 ms at 200 GFLOP/s | 25% | slow 6 s, quick 3 s | 1.50x |"
    )


def test_row_that_fails_does_not_end_the_others(bench, measuring, monkeypatch, capsys):
    def fails(folder, settings):
        raise OSError("no room")

    monkeypatch.setitem(bench.JOBS, "a job", fails)
    row = bench.row("a job", settings(measuring, lambda: 0))
    assert row.startswith("| a job | failed: OSError |")
    assert row.count("|") == len(bench._COLUMNS) + 1
    assert "no room" in capsys.readouterr().err
