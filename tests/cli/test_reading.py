"""Pages, bands and scales on the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

import samkit
from samkit.cli import app
from samkit.media import read_image

RNG = np.random.default_rng(0)
DISC = np.hypot(*(np.mgrid[:60, :80] - np.array([30, 40])[:, None, None])) < 15
# A bright disc in 12 of 16 bits; a band without it comes first.
STACK = (RNG.integers(0, 200, (4, 60, 80, 2)) + 3000 * (DISC[:, :, None] * [0, 1])).astype(
    np.uint16
)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", planarconfig="contig")
    return path


def _run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_predict(stack: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    prompt = ("--point", "40,30", "-o", out)
    done = _run("predict", stack, *prompt)
    assert done.exit_code == 1
    assert "4 pages" in done.stderr
    done = _run("predict", stack, *prompt, "--page", 2)
    assert "2 bands" in done.stderr
    done = _run("predict", stack, *prompt, "--page", 2, "--bands", 1, "--scale", "minmax")
    assert done.exit_code == 0, done.stderr
    image = read_image(stack, page=2, bands=1, scale="minmax")
    expected = samkit.load("pico").predict(image, samkit.Prompt.point(40, 30))
    masks = samkit.Masks.load(out)
    assert np.array_equal(masks.masks, expected.masks)
    assert (masks.masks[0] & DISC).sum() / (masks.masks[0] | DISC).sum() > 0.8


def test_everything(stack: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.npz"
    options = ("--page", 1, "--bands", "1,1,0", "--scale", "0,3200", "--points-per-side", 4)
    done = _run("everything", stack, "-o", out, *options)
    assert done.exit_code == 0, done.stderr
    found = samkit.Masks.load(out).masks
    assert max((one & DISC).sum() / (one | DISC).sum() for one in found) > 0.8


def test_track(stack: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--bands", 1, "--scale", "0,3200")
    done = _run("track", stack, "--point", "1:7:40,30", "--direction", "both", "-o", out, *options)
    assert done.exit_code == 0, done.stderr
    names = sorted(path.name for path in out.iterdir())
    assert names == [f"{i:05d}.png" for i in range(4)]
    for name in names:
        mask = np.asarray(Image.open(out / name)) == 7
        assert (mask & DISC).sum() / (mask | DISC).sum() > 0.8


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--page", "-1"),
        ("--page", "x"),
        ("--bands", "1,2"),
        ("--bands", "x"),
        ("--bands", "-1"),
        ("--bands", "9" * 5000),
        ("--scale", "max"),
        ("--scale", "1,2,3"),
        ("--scale", "5,1"),
        ("--scale", "nan,1"),
        ("--scale", "0," + "9" * 5000),
    ],
)
def test_what_cannot_be(stack: Path, tmp_path: Path, option: str, value: str) -> None:
    commands = [("predict", "--point", "4,5"), ("everything",), ("track", "--point", "0:1:4,5")]
    for command, *prompt in commands:
        if (command, option) != ("track", "--page"):
            done = _run(command, stack, *prompt, "-o", tmp_path / "out", option, value)
            assert done.exit_code == 2, (command, done.stderr)
            assert option in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("always")  # or Python itself leaves out the others
def test_a_warning_is_one_line_and_given_once(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "dark.tif"
    tifffile.imwrite(path, STACK[..., 1], photometric="minisblack")
    code, _, err = run("track", path, "--point", "0:1:40,30", "-o", tmp_path / "out")
    assert code == 0
    assert err.count("\nwarning: " + str(path)) == 1
    assert "--scale percentile" in err
    assert "UserWarning" not in err
