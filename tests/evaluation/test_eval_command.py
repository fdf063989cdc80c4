import json

import numpy as np
import pytest
import typer
from PIL import Image
from tiny import make, tiny_sam2
from typer.testing import CliRunner

from samkit.cli.eval import evaluate
from samkit.errors import InputError
from samkit.weights import save_network

app = typer.Typer()
app.command()(evaluate)


def test_evaluate_a_folder(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / "set" / name).mkdir(parents=True)
    labels = np.zeros((30, 40), np.uint8)
    labels[5:20, 8:30] = 1
    for i in range(3):
        Image.fromarray(labels * 200).convert("RGB").save(tmp_path / f"set/images/{i}.png")
        Image.fromarray(labels).save(tmp_path / f"set/masks/{i}.png")
    model, out = tmp_path / "tiny.safetensors", tmp_path / "report.json"
    save_network(make(tiny_sam2()), model)
    sheet = tmp_path / "worst.png"
    arguments = [model, "--data", tmp_path / "set", "--every", "2", "--clicks", "1,2"]
    arguments += ["-o", out, "--worst", sheet, "--worst-of", "2 clicks", "--device", "cpu"]
    result = CliRunner().invoke(app, [str(value) for value in arguments])
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert report["objects"] == 2
    assert len(report["means"]) == 8
    for means in report["means"].values():
        assert f"{means['iou']:.3f}" in result.output
    with Image.open(sheet) as picture:
        assert picture.width == 480


def test_evaluate_everything(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / "set" / name).mkdir(parents=True)
    labels = np.zeros((30, 40), np.uint8)
    labels[5:20, 8:30] = 1
    Image.fromarray(labels * 200).convert("RGB").save(tmp_path / "set/images/0.png")
    Image.fromarray(labels).save(tmp_path / "set/masks/0.png")
    model, out = tmp_path / "tiny.safetensors", tmp_path / "report.json"
    save_network(make(tiny_sam2()), model)
    arguments = [model, "--data", tmp_path / "set", "--everything", "--preset", "recall"]
    arguments += ["--points-per-side", "3", "-o", out, "--device", "cpu"]
    result = CliRunner().invoke(app, [str(value) for value in arguments])
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert report["objects"] == 1
    assert report["proposals_per_image"] >= 1
    assert f"{report['recall_50']:.3f}" in result.output
    wrong = [*arguments[:-6], "--points-per-side", "2000", "--device", "cpu"]
    result = CliRunner().invoke(app, [str(value) for value in wrong])
    assert result.exit_code == 2
    wrong = [*arguments, "--worst", str(tmp_path / "x.png")]
    result = CliRunner().invoke(app, [str(value) for value in wrong])
    assert result.exit_code == 2
    (tmp_path / "set/images/0.png").write_bytes(b"damaged")
    result = CliRunner().invoke(app, [str(value) for value in arguments])
    assert isinstance(result.exception, InputError)
    assert not result.stderr  # no progress, beside the line about the error


def test_evaluate_tracking(tmp_path):
    """Two objects in unpadded frames, one without a mask."""
    for name in ("images", "masks"):
        (tmp_path / "set/cars" / name).mkdir(parents=True)
    labels = np.zeros((30, 40), np.uint8)
    labels[5:20, 8:20] = 1
    labels[5:20, 25:38] = 3
    for i in range(8, 12):
        Image.fromarray(labels * 60).convert("RGB").save(tmp_path / f"set/cars/images/{i}.png")
        if i != 10:
            Image.fromarray(labels).save(tmp_path / f"set/cars/masks/{i}.png")
    model, out = tmp_path / "tiny.safetensors", tmp_path / "report.json"
    save_network(make(tiny_sam2()), model)
    arguments = [model, "--data", tmp_path / "set", "--video", "box", "-o", out]
    result = CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert [row["name"] for row in report["objects"]] == ["cars/1", "cars/3"]
    assert report["first_mask_repeated"]["mean"]["j"] == 1
    for row in (*report["objects"], report["mean"]):
        assert f"{row['j_and_f']:.3f}" in result.output


def test_what_cannot_end_well_does_not_begin(tmp_path):
    """There is no data and no such model, which would be found out only when work begins."""
    (tmp_path / "file").write_text("x")
    start = ["nothing", "--data", str(tmp_path / "none")]
    for option in ("-o", "--worst"):
        result = CliRunner().invoke(app, [*start, option, str(tmp_path / "file" / "x.png")])
        assert isinstance(result.exception, InputError)
        with pytest.raises(InputError, match="cannot write"):
            raise result.exception
    start += ["--worst", str(tmp_path / "x.png"), "--clicks", "2"]
    result = CliRunner().invoke(app, [*start, "--worst-of", "1 click"])
    assert result.exit_code == 2
    assert "--worst-of" in result.output
    result = CliRunner().invoke(app, [*start, "--worst-of", "2 clicks, best of 3"])
    assert result.exit_code == 2
    assert "no such file" in result.output


def test_wrong_usage(tmp_path):
    assert CliRunner().invoke(app, ["pico"]).exit_code == 2
    for clicks in ("x", "0,1", "", "-2"):
        result = CliRunner().invoke(app, ["pico", "--data", str(tmp_path), "--clicks", clicks])
        assert result.exit_code == 2, clicks
