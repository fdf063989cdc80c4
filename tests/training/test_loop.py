import csv
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image
from tiny import make, tiny_pico, tiny_sam, tiny_sam2

from samkit.errors import CheckpointError, InputError, SamkitError
from samkit.evaluation import evaluate_interactive, open_dataset
from samkit.evaluation.datasets import Subset
from samkit.image_predictor import ImagePredictor
from samkit.sizes import to_dict
from samkit.training import (
    ClipConfig,
    DataSource,
    LossConfig,
    PromptConfig,
    Report,
    SceneConfig,
    Stage,
    Validation,
    fine_tuning,
    train,
)
from samkit.training import log as log_module
from samkit.training import loop as loop_module
from samkit.training.config import MEMORY_PARTS, TRUNK
from samkit.training.data import held_out, training_files
from samkit.training.trainer import Trainer
from samkit.weights import load_network, save_network


def final(events):
    *reports, network = events
    assert all(isinstance(report, (Report, Validation)) for report in reports)
    return network.state_dict(), reports


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(loop_module, "_LOG_EVERY", 2)


@pytest.mark.parametrize("processes", [0, 1, 2])
def test_an_interrupted_run_ends_with_the_same_weights(config, tmp_path, often, processes):
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


@pytest.mark.parametrize("processes", [1, 2])
def test_validation_is_what_eval_says_and_changes_nothing(config, photos, tmp_path, processes):
    plain, _ = final(train(config, tmp_path / "a.pt", processes=processes))
    folder = str(photos / "coco")
    config = replace(config, validation=(folder,), validate_every=4, validation_images=2)
    *_, network = events = list(train(config, tmp_path / "b.pt", processes=processes))
    assert_same(network.state_dict(), plain)
    validations = [event for event in events if isinstance(event, Validation)]
    assert [v.step for v in validations] == [0, 4, 6]
    dataset = Subset(open_dataset(folder), [0, 2])
    report = evaluate_interactive(
        ImagePredictor(network, dtype="float32"), dataset, clicks=(1,), min_area=0
    )
    assert validations[-1].objects == len(report.objects) == 6
    assert validations[-1].means == report.means()
    with (tmp_path / "b.validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "4", "6"]
    assert float(rows[2]["box"]) == pytest.approx(report.means()["box"].iou, abs=1e-5)


def test_held_out_images_are_measured_and_not_learned_from(config, tmp_path):
    config = replace(config, hold_out=2, steps=2)
    learned = training_files(config)
    held = [path for dataset in held_out(config) for path in dataset.image_paths()]
    assert len(held) == 4  # two of the four images of each source
    assert not set(held) & set(learned[:4])
    events = list(train(config, tmp_path / "a.pt", processes=1))
    assert [event.step for event in events if isinstance(event, Validation)] == [0, 2]


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


def test_all_annotations_of_an_image_are_held_out_together(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(4):
        Image.new("RGB", (40, 40)).save(tmp_path / "images" / f"{i}.png")
        for k in range(3):
            Image.new("L", (40, 40), 1).save(tmp_path / "masks" / f"{i}_{k}.png")
    config = fine_tuning(to_dict(tiny_sam2()), (str(tmp_path),), steps=1)
    config = replace(config, hold_out=3)
    held = {path for dataset in held_out(config) for path in dataset.image_paths()}
    assert {path.stem for path in held} == {"0", "3"}
    assert not held & set(training_files(config))


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
    model = tmp_path / "tiny.safetensors"
    save_network(make(tiny_sam2()), model)
    weights = []
    for name, start, options in (
        ("a", [], ["--processes", "2"]),
        ("b", ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"], []),
    ):
        out = tmp_path / f"{name}.safetensors"
        command = [sys.executable, "-m", *start, "samkit", "train", "--data", photos / "coco"]
        command += ["--from", model, "--steps", "2", "-o", out, "--device", "cpu", *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [str(part) for part in command], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        weights.append(load_network(out).state_dict())
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


@pytest.mark.parametrize(
    ("change", "processes", "message"),
    [
        ({"steps": None}, 0, "steps or in minutes"),
        ({"minutes": 1.0}, 0, "steps or in minutes"),
        ({"sources": ()}, 0, "at least one source"),
        ({"stages": (Stage(size=100),)}, 0, "multiple of 32"),
        ({"stages": (Stage(size=64, images=3),)}, 2, "cut into 2 parts"),
        ({"stages": (Stage(size=64, images=4),), "accumulate": 3}, 0, "cut into 3 parts"),
        ({"hold_out": 1}, 0, "hold_out: expected 0"),
        ({"steps": -3}, 0, "more than 0 steps"),
        ({"steps": None, "minutes": 0.0}, 0, "more than 0 steps"),
        ({"accumulate": 0}, 0, "accumulate: expected 1"),
        ({"validate_every": 0}, 0, "validate_every: expected 1"),
        ({"stages": ()}, 0, "stages: expected 1"),
        ({"stages": (Stage(size=64, images=0),)}, 0, "images: expected 1"),
        ({"steps": 3}, -1, "processes: expected 0 and more, got -1"),
        ({"learning_rate": float("inf")}, 0, "learning_rate: expected a number above 0, got inf"),
        ({"learning_rate": float("nan")}, 0, "learning_rate: expected a number above 0, got nan"),
        ({"learning_rate": 0.0}, 0, "learning_rate: expected a number above 0"),
        ({"seed": -1}, 0, "seed: expected a number"),
        ({"validation": ("nowhere",)}, 0, "no such file or folder: nowhere"),
        ({"network": {}}, 0, "network: expected what samkit.sizes"),
        ({"network": None}, 0, "network: expected dict"),
        ({"sources": "x"}, 0, "sources: expected tuple"),
        ({"hold_out": 1.5}, 0, "hold_out: expected int, got 1.5"),
        ({"precision": "half"}, 0, "precision: expected .*, got 'half'"),
        ({"stages": (Stage(size=None),)}, 0, r"stages\[0\].size: expected int, got None"),
        ({"scenes": SceneConfig(crop_area=(float("nan"), 1))}, 0, "scenes.crop_area: expected"),
        ({"scenes": SceneConfig(crop_area=(0.5, 0.1))}, 0, "scenes.crop_area: expected"),
        ({"scenes": SceneConfig(max_pastes=-1)}, 0, "scenes.max_pastes: expected"),
        ({"weight_decay": -1.0}, 0, "weight_decay: expected a number from 0 to"),
        ({"weight_decay": 1e300}, 0, "weight_decay: expected a number from 0 to"),
        ({"loss": LossConfig(spread=5.0)}, 0, "loss.spread: expected a fraction"),
        ({"prompts": PromptConfig(mask=2.0)}, 0, "prompts.mask: expected a fraction"),
        ({"prompts": PromptConfig(corrected=0)}, 0, "prompts.corrected: expected 1"),
        ({"motion": ClipConfig(camera=50.0)}, 0, "motion.camera: expected a fraction"),
        ({"stages": (Stage(size=64, until=5.0),)}, 0, "stages: expected rising fractions"),
        ({"stages": (Stage(until=0.5), Stage(until=0.4))}, 0, "stages: expected rising fractions"),
        ({"stages": (Stage(size=2**40),)}, 0, "up to 8192, got 1099511627776"),
        ({"stages": (Stage(size=64, width=50),)}, 0, r"stages\[0\]: expected a size"),
        ({"frozen": ("",)}, 0, "nothing is left to learn"),
        ({"network": to_dict(tiny_sam(patch_size=8))}, 0, "a stride of 16 pixels, got 8"),
    ],
)
def test_bad_configurations(config, tmp_path, change, processes, message):
    with pytest.raises(InputError, match=message):
        next(train(replace(config, **change), tmp_path / "c.pt", processes=processes))


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


@pytest.mark.parametrize("argument", ["start", "device", "processes", "stop_after"])
def test_arguments_of_another_type(config, tmp_path, argument):
    with pytest.raises(InputError, match=f"{argument}: expected"):
        next(train(config, tmp_path / "c.pt", **{argument: "x"}))


@pytest.mark.parametrize("network", [None, {}, {"image_size": 3}])
def test_fine_tuning_of_no_network(network):
    with pytest.raises(InputError, match="network: expected what"):
        fine_tuning(network, "x", steps=1)


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


def test_a_start_of_other_sizes(config, tmp_path):
    """Another family, other widths, and parts that are missing."""
    for other in (make(tiny_sam()), make(tiny_sam2())):
        with pytest.raises(InputError, match=r"start: expected a network of the sizes .* such as"):
            list(train(config, tmp_path / "a.pt", start=other))


def test_places_that_cannot_be_written(config, tmp_path, monkeypatch):
    """All are found before the first step."""
    monkeypatch.setattr(Trainer, "train_step", lambda *arguments: pytest.fail("it trains"))
    (tmp_path / "file").write_text("x")
    (tmp_path / "b.validation.csv").mkdir()
    for name, board in (("file/a.pt", None), ("b.pt", None), ("c.pt", tmp_path / "file")):
        with pytest.raises(InputError, match="cannot write"):
            list(train(config, tmp_path / name, tensorboard=board))


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


def test_imagenet_weights_fit_one_encoder(config, tmp_path):
    with pytest.raises(InputError, match="EfficientNet-Lite"):
        next(train(replace(config, imagenet=True), tmp_path / "a.pt"))


def test_sources_that_are_never_seen(config, tmp_path):
    sources = tuple(replace(source, weight=0.0) for source in config.sources)
    with pytest.raises(InputError, match="sources: expected weights of 0 and more, not all 0"):
        next(train(replace(config, sources=sources), tmp_path / "c.pt"))


def test_a_lower_learning_rate_than_the_final_one_does_not_rise(config):
    trainer = Trainer(replace(config, learning_rate=1e-4, final_learning_rate=7e-4, warmup=0))
    rates = []
    for step in range(config.steps):
        trainer.step = step
        rates.append(trainer.learning_rate())
    assert rates == pytest.approx([1e-4] * config.steps)


def test_a_start_that_computes_something_else(config):
    sizes = tiny_pico()
    other = replace(sizes, memory=replace(sizes.memory, residual=not sizes.memory.residual))
    config = replace(config, network=to_dict(sizes))
    with pytest.raises(InputError, match="computes something else"):
        Trainer(config, start=make(other))
    Trainer(config, start=make(replace(sizes, image_size=(64, 96))))


def test_names_that_leave_nothing_to_measure_on(config, photos, tmp_path):
    """Of four images the first and the last one are held out."""
    names = sorted(path.name for path in (photos / "classes" / "images").iterdir())
    stems = [name.split(".")[0] for name in names[1:3]]
    sources = tuple(replace(config.sources[1], names=f"{stem}*") for stem in stems)
    config = replace(config, sources=sources, hold_out=3, steps=1, validate_every=1)
    with pytest.raises(InputError, match="nothing to validate on"):
        list(train(config, tmp_path / "c.pt"))


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
