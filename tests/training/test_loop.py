"""Runs on a small world: what is learned, how it is shared, and what is logged."""

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from tiny import make, tiny_sam, tiny_sam2
from training.helpers import assert_same, final
from typer.testing import CliRunner

from samkit.cli import app
from samkit.errors import InputError, SamkitError
from samkit.sizes import to_dict
from samkit.training import DataSource, Stage, fine_tuning, train
from samkit.training import log as log_module
from samkit.training.config import MEMORY_PARTS, TRUNK
from samkit.training.trainer import Trainer
from samkit.weights import load_network, save_network


def test_who_prepares_batches_does_not_matter(config, tmp_path):
    ahead, _ = final(train(config, tmp_path / "a.pt", processes=0))
    inline, _ = final(train(config, tmp_path / "b.pt", processes=1))
    assert_same(ahead, inline)


def test_it_learns_and_leaves_the_memory_alone(config, tmp_path, often):
    config = replace(
        config, steps=60, frozen=MEMORY_PARTS, learning_rate=3e-3, ema=0.9,
        stages=(Stage(size=64, images=4, prompts=4),),
    )  # fmt: skip
    torch.manual_seed(config.seed)
    network = make(tiny_sam2(draw_prompts=True))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    after, reports = final(train(config, tmp_path / "c.pt", processes=1, start=network))
    assert reports[-1].loss < 0.7 * reports[0].loss
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), "the network that was given is not changed"
        if name.startswith(MEMORY_PARTS):
            assert torch.equal(after[name], tensor)
    changed = [name for name in after if not torch.equal(after[name], before[name])]
    assert any(name.startswith("image_encoder") for name in changed)
    assert any(name.startswith("mask_decoder") for name in changed)


def test_a_batch_in_parts_teaches_the_same(config, tmp_path):
    config = replace(
        config,
        steps=2,
        prompts=replace(config.prompts, correction=0.0),
        stages=(Stage(size=64, images=4, prompts=3),),
    )
    whole, _ = final(train(config, tmp_path / "a.pt", processes=1))
    parts, _ = final(train(replace(config, accumulate=2), tmp_path / "b.pt", processes=1))
    other, _ = final(train(replace(config, seed=9), tmp_path / "c.pt", processes=1))
    name = "image_encoder.trunk.patch_embed.proj.weight"
    near = (whole[name] - parts[name]).abs().max()
    assert near < 0.02 * (whole[name] - other[name]).abs().max()


def test_a_bad_file_is_left_out_and_said(config, photos, tmp_path):
    shutil.copytree(photos / "classes", tmp_path / "set")
    (tmp_path / "set" / "images" / "2.png").write_bytes(b"no picture")
    config = replace(config, sources=(DataSource(path=str(tmp_path / "set")),), steps=12)
    with pytest.warns(UserWarning, match="left out: cannot read .*2.png"):
        final(train(config, tmp_path / "a.pt", processes=1))


def test_tensorboard_gets_what_the_csv_gets(config, photos, tmp_path, often):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = replace(config, validation=(str(photos / "coco"),), validate_every=6)
    folder = tmp_path / "board"
    final(train(config, tmp_path / "a.pt", processes=1, tensorboard=folder, stop_after=4))
    final(train(config, tmp_path / "a.pt", processes=1, tensorboard=folder, resume=True))
    found = EventAccumulator(str(folder)).Reload()
    losses = [(event.step, event.value) for event in found.Scalars("train/loss")]
    with (tmp_path / "a.training.csv").open() as file:
        rows = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
    assert losses == [(step, pytest.approx(loss, rel=1e-4)) for step, loss in rows]
    assert [step for step, _ in rows] == [2, 4, 6]
    assert [event.step for event in found.Scalars("validation/box")] == [0, 6]


def test_half_precision_learns_too(config, tmp_path):
    config = replace(config, steps=2, precision="bfloat16")
    weights, _ = final(train(config, tmp_path / "c.pt", processes=1))
    assert all(tensor.isfinite().all() for tensor in weights.values())
    assert weights["mask_decoder.iou_token.weight"].dtype == torch.float32


def test_torchrun_shares_batches_as_our_own_processes_do(photos, tmp_path):
    """Two processes started by torchrun, with gloo on the CPU."""
    model, ours, theirs = (tmp_path / f"{name}.safetensors" for name in ("tiny", "a", "b"))
    save_network(make(tiny_sam2()), model)
    command = ["train", "--data", photos / "coco", "--from", model, "--steps", 2, "--device", "cpu"]
    command = [str(part) for part in command]
    done = CliRunner().invoke(app, [*command, "-o", str(ours), "--processes", "2"])
    assert done.exit_code == 0, done.output
    start = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "samkit"]
    done = subprocess.run(
        [sys.executable, "-m", *start, *command, "-o", str(theirs)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    weights = [load_network(path).state_dict() for path in (ours, theirs)]
    start_weights = load_network(model).state_dict()
    name = "mask_decoder.iou_token.weight"
    assert not torch.equal(weights[0][name], start_weights[name])
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-6)


def test_sam_can_be_fine_tuned(photos, tmp_path):
    network = make(tiny_sam())
    config = fine_tuning(to_dict(network.config), (str(photos / "coco"),), steps=2)
    config = replace(config, stages=(Stage(size=64, images=2, prompts=3),))
    after, _ = final(train(config, tmp_path / "c.pt", processes=1, start=network))
    assert after.keys() == network.state_dict().keys()


def test_a_run_in_minutes_ends(config, tmp_path):
    config = replace(config, steps=None, minutes=0.01)
    final(train(config, tmp_path / "c.pt", processes=1))


def test_a_log_that_can_no_longer_be_written(config, tmp_path, often, monkeypatch):
    def full(path, values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_module, "_append", full)
    with pytest.raises(InputError, match=r"cannot write .*a\.training\.csv: No space left"):
        list(train(config, tmp_path / "a.pt"))


def test_the_trunk_has_a_learning_rate_of_its_own(config, tmp_path):
    config = replace(config, steps=2, ema=0.0, weight_decay=0.0)
    start = make(tiny_sam2(draw_prompts=True))
    before = start.state_dict()
    still, _ = final(
        train(replace(config, trunk_learning_rate=0.0), tmp_path / "a.pt", start=start)
    )
    slow, _ = final(train(replace(config, trunk_learning_rate=0.1), tmp_path / "b.pt", start=start))
    whole, _ = final(train(config, tmp_path / "c.pt", start=start))
    trunk = [name for name in before if name.startswith(TRUNK)]
    other = "image_encoder.neck.convs.0.conv.weight"
    assert all(torch.equal(still[name], before[name]) for name in trunk)
    assert not torch.equal(still[other], before[other])

    def moved(state):
        return sum(float((state[name] - before[name]).abs().sum()) for name in trunk)

    assert moved(slow) == pytest.approx(0.1 * moved(whole), rel=0.2)


def test_a_lower_learning_rate_than_the_final_one_does_not_rise(config):
    trainer = Trainer(replace(config, learning_rate=1e-4, final_learning_rate=7e-4, warmup=0))
    rates = []
    for step in range(config.steps):
        trainer.step = step
        rates.append(trainer.learning_rate())
    assert rates == pytest.approx([1e-4] * config.steps)


def test_a_process_that_is_killed_is_told_of(config, tmp_path):
    import multiprocessing
    import os
    import signal

    events = train(replace(config, steps=10**6), tmp_path / "c.pt", processes=2)
    next(events)
    (child,) = multiprocessing.active_children()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(SamkitError, match="process 1 ended with -9"):
        list(events)
