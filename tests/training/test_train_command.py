import json
import shutil
import warnings

import pytest
import typer
from safetensors import safe_open
from tiny import make, tiny_pico
from typer.testing import CliRunner

from samkit.cli.train import train
from samkit.errors import InputError
from samkit.training.trainer import Trainer
from samkit.weights import load_network, save_network

app = typer.Typer()
app.command()(train)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_network(make(tiny_pico()), path)
    return path


def test_fine_tune_and_go_on(photos, model, tmp_path):
    out = tmp_path / "mine.safetensors"
    common = ["--data", photos / "coco", "--from", model, "--processes", "1", "-o", out]
    arguments = [str(value) for value in (*common, "--steps", "2", "--half")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "written" in result.output
    assert (tmp_path / "mine.training.csv").is_file()
    with safe_open(out, "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["samkit.training"])["sources"][0]["path"] == "coco"
    first = load_network(out).state_dict()

    result = CliRunner().invoke(app, [*arguments, "--resume"])
    assert result.exit_code == 0, result.output
    again = load_network(out).state_dict()
    assert all((first[name] == again[name]).all() for name in first)


def test_an_earlier_run_is_not_overwritten_by_mistake(photos, model, tmp_path):
    out = tmp_path / "mine.safetensors"
    (tmp_path / "mine.csv").write_text("my own table")
    common = ["--data", photos / "coco", "--from", model, "--processes", "1", "-o", out]
    arguments = [str(value) for value in (*common, "--steps", "1", "--hold-out", "2")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "objects not learned from" in result.output
    assert (tmp_path / "mine.csv").read_text() == "my own table"
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2
    assert "--resume" in " ".join(again.output.split())
    assert CliRunner().invoke(app, [*arguments, "--overwrite"]).exit_code == 0


def test_frozen_parts_do_not_learn(photos, model, tmp_path):
    out = tmp_path / "mine.safetensors"
    arguments = ["--data", photos / "coco", "--from", model, "--processes", "1", "-o", out]
    arguments += ["--steps", "2", "--freeze", "image_encoder", "--freeze", "prompt_encoder"]
    result = CliRunner().invoke(app, [str(value) for value in arguments])
    assert result.exit_code == 0, result.output
    before, after = load_network(model).state_dict(), load_network(out).state_dict()
    changed = {name.split(".")[0] for name in before if (before[name] != after[name]).any()}
    assert changed == {"mask_decoder", "no_mem_embed"}


@pytest.mark.parametrize("part", ["nonsense", ""])
def test_parts_that_cannot_be_frozen(photos, model, tmp_path, part):
    arguments = ["--data", photos / "coco", "--from", model, "-o", tmp_path / "o.safetensors"]
    arguments += ["--steps", "1", "--freeze", part]
    result = CliRunner().invoke(app, [str(value) for value in arguments])
    assert result.exit_code == 2
    assert "--freeze" in result.output


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([], "--steps"),
        (["--steps", "1", "--minutes", "1"], "--minutes"),
        (["--steps", "1", "--preset", "nano"], "nano"),
        (["--steps", "1", "--preset", "pico", "--data", "more"], "one folder"),
        (["--steps", "1", "--preset", "pico", "--from", "pico"], "ImageNet"),
        (["--steps", "1", "--preset", "pico-memory", "--freeze", "mask_decoder"], "--freeze"),
        (["--steps", "0"], "greater"),
        *((["--steps", "1", "--learning-rate", r], "above 0") for r in ("inf", "nan", "0", "-1")),
    ],
)
def test_wrong_usage(extra, message, tmp_path):
    result = CliRunner().invoke(app, ["--data", "x", "-o", str(tmp_path / "o.safetensors"), *extra])
    assert result.exit_code == 2
    assert message in result.output


def test_the_checkpoint_is_not_the_output(tmp_path):
    out = str(tmp_path / "o.safetensors")
    arguments = ["--data", "x", "--steps", "1", "-o", out, "--checkpoint", out]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "--checkpoint" in result.output


def test_an_error_is_one_line_where_there_is_no_terminal(photos, model, tmp_path):
    (tmp_path / "instances.json").write_text("{}")
    result = invoke(photos, model, tmp_path / "o.safetensors", "--data", tmp_path)
    assert isinstance(result.exception, InputError)
    assert not result.stderr


def test_an_output_of_another_kind(tmp_path):
    result = CliRunner().invoke(app, ["--data", "x", "--steps", "1", "-o", str(tmp_path / "o.pt")])
    assert result.exit_code == 2
    assert ".safetensors" in result.output


def invoke(photos, model, out, *extra):
    arguments = ["--data", photos / "coco", "--from", model, "--steps", "2", "-o", out, *extra]
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])


def test_places_that_cannot_be_written(photos, tmp_path):
    """Found out even before the model is loaded, of which there is none."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.safetensors").mkdir()
    for out in (tmp_path / "folder.safetensors", tmp_path / "file" / "x.safetensors"):
        result = invoke(photos, "nothing", out)
        with pytest.raises(InputError, match="cannot write"):
            raise result.exception


def test_a_run_that_diverges_writes_nothing(photos, model, tmp_path):
    out = tmp_path / "mine.safetensors"
    result = invoke(photos, model, out, "--learning-rate", "1e9")
    with pytest.raises(InputError, match="diverged"):
        raise result.exception
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", [0, 1])
def test_an_interruption_is_answered_with_what_can_be_done(
    photos, model, tmp_path, monkeypatch, steps
):
    train_step = Trainer.train_step

    def stops(self, *arguments):
        if self.step == steps:
            raise KeyboardInterrupt
        train_step(self, *arguments)

    monkeypatch.setattr(Trainer, "train_step", stops)
    out = tmp_path / "mine.safetensors"
    result = invoke(photos, model, out)
    assert result.exit_code == 130
    assert not out.exists()
    assert (tmp_path / "mine.checkpoint").exists() == bool(steps)
    assert ("--resume" in result.output) == bool(steps)
    assert ("nothing is written" in result.output) != bool(steps)


def test_an_interruption_between_steps_keeps_them_too(photos, model, tmp_path, monkeypatch):
    """It comes while the progress is shown, outside of the loop that learns."""
    from rich.progress import Progress

    def stops(self, *arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "update", stops)
    result = invoke(photos, model, tmp_path / "mine.safetensors")
    assert result.exit_code == 130
    assert "--resume goes on from" in result.output
    assert (tmp_path / "mine.checkpoint").is_file()


def test_an_image_that_is_left_out_is_a_line(photos, model, tmp_path):
    shutil.copytree(photos / "coco", tmp_path / "coco")
    for i in range(3):
        (tmp_path / "coco" / "images" / f"{i}.png").write_bytes(b"no picture")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = invoke(tmp_path, model, tmp_path / "mine.safetensors")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if "left out" in line]
    assert len(lines) == 3
    assert all(line.startswith("warning: left out: cannot read ") for line in lines)
    assert "UserWarning" not in result.stderr
