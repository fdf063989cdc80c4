"""Interrupted runs go on as if nothing had been; damaged files are told of."""

import csv
from dataclasses import replace

import pytest
import torch
from tiny import make, tiny_sam2
from training.helpers import assert_same, final

from samkit.errors import CheckpointError, InputError
from samkit.training import Validation, train
from samkit.training.trainer import Trainer
from samkit.weights import save_network


@pytest.mark.parametrize("processes", [0, 1])
def test_an_interrupted_run_ends_with_the_same_weights(config, tmp_path, often, processes):
    """That of two processes is in test_tracking."""
    config = replace(config, prompts=replace(config.prompts, correction=0.5))
    whole, reports = final(train(config, tmp_path / "whole.pt", processes=processes))
    assert [report.step for report in reports] == [2, 4, 6]
    assert [report.size for report in reports] == [64, 96, 96]

    parts = tmp_path / "parts.pt"
    final(train(config, parts, processes=processes, stop_after=3))
    resumed, _ = final(train(config, parts, processes=processes, resume=True))
    assert_same(whole, resumed)
    with (tmp_path / "parts.training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6"]


def test_a_measurement_is_not_lost_by_an_interruption(config, tmp_path):
    config = replace(config, hold_out=2, validate_every=3)
    whole = [
        e.step for e in train(config, tmp_path / "a.pt", processes=1) if isinstance(e, Validation)
    ]
    parts = list(train(config, tmp_path / "b.pt", processes=1, stop_after=3))
    parts += train(config, tmp_path / "b.pt", processes=1, resume=True)
    assert whole == [e.step for e in parts if isinstance(e, Validation)] == [0, 3, 6]
    with (tmp_path / "b.validation.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "3", "6"]


def test_an_error_on_the_way_leaves_the_last_whole_step(config, tmp_path, monkeypatch):
    train_step = Trainer.train_step

    def stops(self, *arguments):
        if self.step == 4:
            raise KeyboardInterrupt
        train_step(self, *arguments)

    monkeypatch.setattr(Trainer, "train_step", stops)
    with pytest.raises(KeyboardInterrupt):
        list(train(config, tmp_path / "a.pt"))
    monkeypatch.setattr(Trainer, "train_step", train_step)
    resumed, _ = final(train(config, tmp_path / "a.pt", resume=True))
    whole, _ = final(train(config, tmp_path / "b.pt"))
    assert_same(whole, resumed)


def test_resuming_what_is_not_there_or_not_the_same(config, tmp_path):
    path = tmp_path / "c.pt"
    with pytest.raises(CheckpointError, match="no checkpoint"):
        list(train(config, path, processes=1, resume=True))
    final(train(config, path, processes=1, stop_after=1))
    with pytest.raises(CheckpointError, match="with other learning_rate, seed"):
        list(train(replace(config, learning_rate=1, seed=3), path, processes=1, resume=True))
    path.write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        list(train(config, path, processes=1, resume=True))
    save_network(make(tiny_sam2()), path)
    with pytest.raises(
        CheckpointError, match=r"not a checkpoint of a run: expected the whole file"
    ):
        list(train(config, path, processes=1, resume=True))


def with_group(optimizer, **change):
    first, *others = optimizer["param_groups"]
    return {**optimizer, "param_groups": [{**first, **change}, *others]}


def with_moment(optimizer, value):
    i, moments = next(iter(optimizer["state"].items()))
    return {**optimizer, "state": {**optimizer["state"], i: {**moments, "exp_avg": value}}}


def test_resuming_what_is_damaged(config, tmp_path):
    path = tmp_path / "c.pt"
    final(train(config, path, processes=1, stop_after=1))
    whole = torch.load(path, weights_only=True)
    moment = next(iter(whole["optimizer"]["state"].values()))["exp_avg"]
    average = whole["average"]
    name = next(iter(average))
    for change in (
        {"config": 3},
        {"config": "[" * 10**5},
        {"network": {}},
        {"average": {}},
        {"average": None},
        {"average": {**average, name: torch.zeros(1)}},
        {"average": {**average, name: "x"}},
        {"optimizer": {}},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"average": {**average, name: average[name].to_sparse()}},
        {"average": {**average, name: average[name] * float("nan")}},
        {"optimizer": with_group(whole["optimizer"], betas=None)},
        {"optimizer": with_group(whole["optimizer"], weight_decay=3.0)},
        {"optimizer": with_moment(whole["optimizer"], torch.zeros(1))},
        {"optimizer": with_moment(whole["optimizer"], torch.zeros(1).expand_as(moment))},
        {"optimizer": {**whole["optimizer"], "state": {}}},
        {"step": 10**30},
        {"measured": 2},
        {"step": "x"},
        {"step": -1},
        {"seconds": float("nan")},
        {"seconds": None},
    ):
        torch.save({**whole, **change}, path)
        with pytest.raises(CheckpointError, match=r"c\.pt is .*expected the whole file"):
            next(train(config, path, processes=1, resume=True))
    torch.save(whole, path)
    next(train(config, path, processes=1, resume=True))


@pytest.mark.parametrize("processes", [0, 2])
def test_a_run_that_diverges_stops_and_keeps_no_state(config, tmp_path, capfd, processes):
    config = replace(config, learning_rate=1e9, warmup=0)
    path = tmp_path / "a.pt"
    with pytest.raises(InputError, match=r"diverged: at step \d .*lower learning rate than 1e\+09"):
        list(train(config, path, processes=processes))
    assert not path.exists()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_checkpoint_before_a_run_diverges_is_kept(config, tmp_path, monkeypatch, value):
    """A gradient that is no number, of a loss that is one, is not learned either."""
    path = tmp_path / "a.pt"
    final(train(config, path, processes=1, stop_after=2))
    before = path.read_bytes()
    all_reduce = Trainer._all_reduce

    def overflows(self, loss):
        all_reduce(self, loss)
        if self.step == 3:
            next(iter(self.trainable.values())).grad.view(-1)[0] = value

    monkeypatch.setattr(Trainer, "_all_reduce", overflows)
    with pytest.raises(InputError, match="diverged: at step 4"):
        list(train(config, path, processes=1, resume=True))
    assert path.read_bytes() == before
